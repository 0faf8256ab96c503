"""Named pools of threads with bounded queues, for jobs that would block the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class ThreadPoolBusyError(Exception):
    """Too many jobs are waiting: nothing was begun, the same call may succeed in a moment."""


async def settled(future: asyncio.Future[T]) -> T:
    """Wait until `future` is done, even when the waiting task is cancelled; then raise the cancellation.

    So a cancelled caller does not close a file to which a thread is still writing.
    """
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError:  # raised below, once for all
                continue
        raise


class ThreadPool:
    """Threads of one purpose. An accepted job is carried out even if its caller is cancelled."""

    def __init__(
        self,
        name: str,
        threads: int,
        queue_limit: int,
        busy_error: type[ThreadPoolBusyError] = ThreadPoolBusyError,
    ) -> None:
        """Use at most `threads` threads, made on demand, and let `queue_limit` jobs wait for them.

        A job beyond that is refused with `busy_error`.
        """
        self._name = name
        self._busy_error = busy_error
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"zot-{name}")
        self._slots = threading.Semaphore(threads + queue_limit)

    async def run(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a job in a thread and return its result. A cancelled call waits for the job's end.

        Raises the pool's `busy_error`, with nothing begun, when too many jobs are waiting.
        """
        return await settled(asyncio.wrap_future(self._submit(job, *args, **kwargs)))

    async def acquire(self, job: Callable[[], T], release: Callable[[T], object]) -> T:
        """Run a job that returns a resource; pass the resource to `release` if the call is cancelled.

        Raises as `run` does.
        """
        future = self._submit(job)
        try:
            return await settled(asyncio.wrap_future(future))
        except asyncio.CancelledError:
            if future.exception() is None:
                await self.complete(release, future.result())
            raise

    async def complete(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a job that continues or ends an earlier one: it is never refused, however many are waiting."""
        return await settled(asyncio.wrap_future(self._executor.submit(job, *args, **kwargs)))

    def hint(self, job: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> bool:
        """Run a job at some time and ignore its outcome; return False if too many jobs are waiting."""
        try:
            self._submit(job, *args, **kwargs)
        except ThreadPoolBusyError:
            return False
        return True

    def close(self) -> None:
        """Wait for the accepted jobs, then end the threads."""
        self._executor.shutdown()

    def _submit(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        if not self._slots.acquire(blocking=False):
            raise self._busy_error(f"too many {self._name} operations are waiting")
        try:
            future = self._executor.submit(job, *args, **kwargs)
        except RuntimeError as error:  # the pool is closed
            self._slots.release()
            raise self._busy_error(f"{self._name} operations have ended: the process is stopping") from error
        future.add_done_callback(lambda _: self._slots.release())
        return future
