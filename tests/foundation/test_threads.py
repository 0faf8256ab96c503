"""Thread pools bound their queues, and a cancelled call waits for its job."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from zot.foundation.threads import ThreadPool, ThreadPoolBusyError


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    """A pool of one thread and a queue of two jobs."""
    pool = ThreadPool("test", 1, 2)
    yield pool
    pool.close()


async def test_a_job_runs_in_a_named_thread(pool: ThreadPool) -> None:
    """A job's result and exception reach the caller; the thread is named after the pool."""
    assert (await pool.run(lambda: threading.current_thread().name)).startswith("zot-test")
    with pytest.raises(ZeroDivisionError):
        await pool.run(divmod, 1, 0)


class Job:
    """A job that sets `begun` when it starts, and runs until `release` is set."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.begun = asyncio.Event()
        self.release = threading.Event()
        self.ended = False

    def __call__(self) -> str:
        """Return a resource."""
        self._loop.call_soon_threadsafe(self.begun.set)
        self.release.wait()
        self.ended = True
        return "a file"

    def fail(self) -> str:
        """Run, then raise OSError."""
        self()
        raise OSError


async def test_the_queue_is_bounded(pool: ThreadPool) -> None:
    """A job beyond the limit is refused and not started; jobs are accepted again once others end."""
    job = Job()
    calls = [asyncio.create_task(pool.run(job)) for _ in range(3)]
    await job.begun.wait()
    with pytest.raises(ThreadPoolBusyError):
        await pool.run(job)
    assert not pool.hint(job)
    cleaning = asyncio.create_task(pool.complete(job))
    job.release.set()
    await asyncio.gather(*calls, cleaning)
    assert await pool.run(lambda: 1) == 1


async def test_a_cancelled_call_waits_for_its_job(pool: ThreadPool) -> None:
    """A cancelled call, even if cancelled repeatedly, ends only after its thread's job."""
    job = Job()
    call = asyncio.create_task(pool.run(job))
    await job.begun.wait()
    for _ in range(3):
        call.cancel()
        await asyncio.sleep(0)
    assert not call.done()
    job.release.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert job.ended


@pytest.mark.parametrize("fails", [False, True])
async def test_a_cancelled_call_releases_its_resource(pool: ThreadPool, fails: bool) -> None:
    """A cancelled `acquire` releases the resource that the job returns; a failed job has none."""
    job = Job()
    released: list[str] = []
    call = asyncio.create_task(pool.acquire(job.fail if fails else job, released.append))
    await job.begun.wait()
    call.cancel()
    job.release.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert released == ([] if fails else ["a file"])


async def test_a_closed_pool_refuses() -> None:
    """After closing, jobs are refused as if too many were waiting."""
    pool = ThreadPool("closed", 1, 1)
    pool.close()
    with pytest.raises(ThreadPoolBusyError):
        await pool.run(lambda: 1)
    assert not pool.hint(lambda: 1)
