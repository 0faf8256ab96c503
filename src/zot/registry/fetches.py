"""Fetches from upstreams that are under way in a process: requests for the same content share one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from zot.foundation.bounded_map import BoundedMap
from zot.registry.errors import Unavailable

if TYPE_CHECKING:
    from zot.registry.blob_fetch import BlobFetch

T = TypeVar("T")

MOMENT_S = 5.0
"""How long what no upstream has, or could tell, is not asked for again."""
_REMEMBERED = 4096


class Fetches:
    """Runs one task for each key. A client that goes away ends no task: others may wait for it, or will ask again."""

    def __init__(self) -> None:
        """Begin with none."""
        self.blobs: dict[Hashable, BlobFetch] = {}
        """What is known of blobs on their way, by the keys of their tasks."""
        self._tasks: dict[Hashable, asyncio.Task[Any]] = {}
        self._in_vain: BoundedMap[Hashable, tuple[float, Unavailable | None]] = BoundedMap(_REMEMBERED)

    def start(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """Return the task of a key, which is started if there is none."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(work())
            task.add_done_callback(lambda ended: self._ended(key, ended))
        return cast("asyncio.Task[T]", task)

    async def join(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T | None]]) -> T | None:
        """Return the result of a key's task, or raise its error; a cancelled call leaves the task running.

        For a moment after one that returned None or raised Unavailable the outcome is the same without a task.
        """
        return None if self.was_in_vain(key) else await asyncio.shield(self.start(key, work))

    def was_in_vain(self, key: Hashable) -> bool:
        """Return whether a task of the key returned None a moment ago. Raises Unavailable if it did."""
        until_s, failure = self._in_vain.get(key, (0.0, None))
        if asyncio.get_running_loop().time() >= until_s:
            return False
        if failure is not None:
            raise Unavailable(str(failure), retry_after_s=failure.retry_after_s)
        return True

    async def close(self) -> None:
        """Cancel the running tasks, and wait for their end."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        del self._tasks[key]
        if task.cancelled():
            return
        error = task.exception()
        if type(error) is Unavailable or (error is None and task.result() is None):
            self._in_vain[key] = (asyncio.get_running_loop().time() + MOMENT_S, error)
        else:
            self._in_vain.pop(key, None)
