"""Thread pools with bounded queues, for jobs that would block the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class ThreadPoolBusyError(Exception):
    """Too many jobs are waiting. Nothing was started; the caller may retry."""


async def settled(future: asyncio.Future[T]) -> T:
    """Wait for a future; if cancelled, wait for its end before raising CancelledError.

    A cancelled caller therefore never closes a file to which a thread is still writing.
    """
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError:  # raised below, once
                continue
        raise


class _Outcome(asyncio.Future[T]):
    """The outcome of a job. A task that waits for it is cancelled only when the job has ended.

    This costs a third of what `asyncio.wrap_future` and `settled` do together, and a request waits for many jobs.
    """

    def cancel(self, msg: object = None) -> bool:
        """Refuse, so that the task remembers the cancellation until it continues."""
        del msg
        return False


class ThreadPool:
    """A named thread pool. An accepted job runs to its end even if its caller is cancelled."""

    def __init__(
        self,
        name: str,
        threads: int,
        queue_limit: int,
        busy_error: type[ThreadPoolBusyError] = ThreadPoolBusyError,
    ) -> None:
        """Start at most `threads` threads, on demand, and queue at most `queue_limit` jobs.

        Further jobs are refused with `busy_error`.
        """
        self._name = name
        self._busy_error = busy_error
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"zot-{name}")
        self._slots = threading.Semaphore(threads + queue_limit)

    async def run(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a job in a thread and return its result; a cancelled call waits for the job's end.

        Raises the job's errors, and the pool's `busy_error`, with nothing started, if too many jobs are waiting.
        """
        return await self._submit(job, *args, **kwargs)

    async def acquire(self, job: Callable[[], T], release: Callable[[T], object]) -> T:
        """Run a job that returns a resource; pass the resource to `release` if the call is cancelled.

        Raises as `run` does.
        """
        future = self._submit(job)
        try:
            return await future
        except asyncio.CancelledError:
            if future.exception() is None:
                await self.complete(release, future.result())
            raise

    async def complete(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a job that continues or ends an earlier one; it is never refused, however long the queue is."""
        outcome: _Outcome[T] = _Outcome()
        self._executor.submit(_carry_out, outcome, partial(job, *args, **kwargs))
        return await outcome

    def hint(self, job: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> bool:
        """Queue a job and ignore its outcome; return False if too many jobs are waiting."""
        try:
            self._begin(partial(self._in_slot, partial(job, *args, **kwargs)))
        except ThreadPoolBusyError:
            return False
        return True

    def close(self) -> None:
        """Finish the accepted jobs, then stop the threads."""
        self._executor.shutdown()

    def _submit(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> _Outcome[T]:
        outcome: _Outcome[T] = _Outcome()
        self._begin(partial(_carry_out, outcome, partial(self._in_slot, partial(job, *args, **kwargs))))
        return outcome

    def _begin(self, work: Callable[[], object]) -> None:
        if not self._slots.acquire(blocking=False):
            raise self._busy_error(f"too many {self._name} operations are waiting")
        try:
            self._executor.submit(work)
        except RuntimeError as error:  # the pool is closed
            self._slots.release()
            raise self._busy_error(f"{self._name} operations are stopped: the process is shutting down") from error

    def _in_slot(self, job: Callable[[], T]) -> T:
        try:
            return job()
        finally:
            self._slots.release()


def _carry_out(outcome: _Outcome[T], job: Callable[[], T]) -> None:
    """Run a job in this thread and report to the loop of `outcome`."""
    report: Callable[[], None]
    try:
        result = job()
    except BaseException as error:  # noqa: BLE001 (the caller raises it)
        report = partial(outcome.set_exception, error)
    else:
        report = partial(outcome.set_result, result)
    with suppress(RuntimeError):  # the loop is closed: the task that waited is gone
        outcome.get_loop().call_soon_threadsafe(report)
