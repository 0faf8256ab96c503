"""The threads that block on the disk so that the event loop does not: few, named, and with a bounded queue."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from zot.storage.interface import StorageBusyError

P = ParamSpec("P")
T = TypeVar("T")


async def settled(future: asyncio.Future[T]) -> T:
    """Wait for `future` to its end, even if the waiting is cancelled meanwhile: the cancellation goes on then.

    So nobody closes a file while a thread is still writing to it.
    """
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError:  # the one that is raised below says the same
                continue
        raise


class ThreadPool:
    """Threads of one purpose. A job that was accepted is carried out, whatever becomes of who waits for it."""

    def __init__(self, name: str, threads: int, queue_limit: int) -> None:
        """Use at most `threads` threads, made when they are needed, and let `queue_limit` jobs wait for them."""
        self._name = name
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"zot-{name}")
        self._places = threading.Semaphore(threads + queue_limit)

    async def run(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a job in a thread and return its result. Cancelling it waits for the job's end.

        Raises StorageBusyError, with nothing begun, when too many jobs are waiting.
        """
        return await settled(asyncio.wrap_future(self._submit(job, *args, **kwargs)))

    async def acquire(self, job: Callable[[], T], release: Callable[[T], object]) -> T:
        """Run a job that returns what has to be let go of: if the wait is cancelled, `release` is given it."""
        future = self._submit(job)
        try:
            return await settled(asyncio.wrap_future(future))
        except asyncio.CancelledError:
            if future.exception() is None:
                await self.complete(release, future.result())
            raise

    async def complete(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a job that goes on with, or ends, what another one began: never refused, however much is waiting."""
        return await settled(asyncio.wrap_future(self._executor.submit(job, *args, **kwargs)))

    def hint(self, job: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> bool:
        """Run a job some time, whose outcome nobody needs; return False if too much is waiting already."""
        try:
            self._submit(job, *args, **kwargs)
        except StorageBusyError:
            return False
        return True

    def close(self) -> None:
        """Wait for what was accepted, then end the threads."""
        self._executor.shutdown()

    def _submit(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        if not self._places.acquire(blocking=False):
            raise StorageBusyError(f"too many {self._name} operations are waiting for the disk")
        try:
            future = self._executor.submit(job, *args, **kwargs)
        except RuntimeError as error:  # the pool is closed
            self._places.release()
            raise StorageBusyError("the storage is shutting down") from error
        future.add_done_callback(lambda _: self._places.release())
        return future


@dataclass(frozen=True, slots=True)
class ThreadPools:
    """One pool for each kind of waiting, so that none of them holds up another."""

    read: ThreadPool = field(default_factory=lambda: ThreadPool("read", 4, 512))
    """Opening, reading and listing content."""
    hash: ThreadPool = field(default_factory=lambda: ThreadPool("hash", min(4, os.cpu_count() or 1) + 2, 512))
    """Staged bytes: writing and hashing them."""
    durable: ThreadPool = field(default_factory=lambda: ThreadPool("durable", 8, 512))
    """What waits for the disk to have taken it: syncs, and the renames between them."""

    def close(self) -> None:
        """End all threads, once what was accepted is done."""
        for pool in (self.read, self.hash, self.durable):
            pool.close()
