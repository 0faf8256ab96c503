"""Run work that several requests wait for once, each of them waiting a bounded time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from zot.oci.names import Repository
from zot.registry.errors import Unavailable

_log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)


class SingleFlight(Generic[K]):
    """Runs one task for each key; concurrent requests for a key wait for the same task."""

    def __init__(self, doing: str, wait_s: float) -> None:
        """Let a request wait for `wait_s`; then the error says what it is `doing`."""
        self._doing = doing
        self._wait_s = wait_s
        self._tasks: dict[K, asyncio.Task[None]] = {}

    async def wait(self, key: K, repository: Repository, start: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Wait for the key's task, starting it if there is none.

        Raises Unavailable after `wait_s`, while the task continues; else what the task raises. Failures are logged.
        """
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(start())
            task.add_done_callback(lambda ended: self._ended(key, repository, ended))
        done, _ = await asyncio.wait({task}, timeout=self._wait_s)
        if not done:
            raise Unavailable(self._doing, name=repository)
        task.result()

    async def close(self) -> None:
        """Cancel the running tasks: they start again with the next call."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, key: K, repository: Repository, task: asyncio.Task[None]) -> None:
        del self._tasks[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("%s: %s, and failed: %s", repository, self._doing, error)
