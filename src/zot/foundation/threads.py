"""Thread pools with bounded queues, for jobs that would block the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

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
    """A named thread pool. An accepted job runs to its end even if its caller is cancelled.

    The jobs of a request are short and many, so that handing them over counts: an executor's futures, with a condition
    each, took most of the time of a pull's jobs.
    """

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
        self._limit = threads + queue_limit
        self._threads_limit = threads
        self._threads: list[threading.Thread] = []
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        # Guards what follows, also against jobs that come while the pool is closed.
        self._lock = threading.Lock()
        self._limited = 0
        """Accepted jobs that count against the limit and have not ended."""
        self._unfinished = 0
        """All accepted jobs that have not ended."""
        self._closed = False

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
        """Run a job that continues or ends an earlier one; it is not refused, however long the queue is."""
        outcome: _Outcome[T] = _Outcome()
        self._begin(_Job(partial(job, *args, **kwargs), outcome, limited=False))
        return await outcome

    def hint(self, job: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> bool:
        """Queue a job and ignore its outcome; return False if too many jobs are waiting."""
        try:
            self._begin(_Job(partial(job, *args, **kwargs), None, limited=True))
        except ThreadPoolBusyError:
            return False
        return True

    def close(self) -> None:
        """Finish the accepted jobs, then stop the threads."""
        with self._lock:
            self._closed = True
            for _ in self._threads:
                self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _submit(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> _Outcome[T]:
        outcome: _Outcome[T] = _Outcome()
        self._begin(_Job(partial(job, *args, **kwargs), outcome, limited=True))
        return outcome

    def _begin(self, job: _Job) -> None:
        with self._lock:
            if self._closed:
                raise self._busy_error(f"{self._name} operations are stopped: the process is shutting down")
            if job.limited:
                if self._limited == self._limit:
                    raise self._busy_error(f"too many {self._name} operations are waiting")
                self._limited += 1
            self._unfinished += 1
            self._queue.put(job)
            if len(self._threads) < min(self._unfinished, self._threads_limit):
                name = f"zot-{self._name}-{len(self._threads)}"
                self._threads.append(threading.Thread(target=self._work, name=name, daemon=True))
                self._threads[-1].start()

    def _work(self) -> None:
        """Carry out jobs until the pool is closed."""
        while (job := self._queue.get()) is not None:
            report = job.carry_out()
            with self._lock:
                self._unfinished -= 1
                self._limited -= job.limited
            if report is not None and job.outcome is not None:
                with suppress(RuntimeError):  # the loop is closed: the task that waited is gone
                    job.outcome.get_loop().call_soon_threadsafe(report)
            del job, report  # or this thread would keep them until its next job


class _Job:
    """A job of a pool, and the future that waits for its outcome."""

    __slots__ = ("_call", "limited", "outcome")

    def __init__(self, call: Callable[[], Any], outcome: _Outcome[Any] | None, *, limited: bool) -> None:
        self._call = call
        self.outcome = outcome
        self.limited = limited

    def carry_out(self) -> Callable[[], None] | None:
        """Run the job in this thread; return what reports its outcome in the loop, None if no caller waits for it."""
        try:
            result = self._call()
        except BaseException as error:  # noqa: BLE001 (the caller raises it)
            return None if self.outcome is None else partial(self.outcome.set_exception, error)
        return None if self.outcome is None else partial(self.outcome.set_result, result)
