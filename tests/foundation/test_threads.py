"""Jobs in threads: bounded, and never left alone by a cancellation."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from zot.foundation.threads import ThreadPool, ThreadPoolBusyError


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    """One thread, and two jobs may wait for it."""
    pool = ThreadPool("test", 1, 2)
    yield pool
    pool.close()


async def test_a_job_runs_in_a_named_thread(pool: ThreadPool) -> None:
    """A job's result and exception are the call's; its thread says what it is for."""
    assert (await pool.run(lambda: threading.current_thread().name)).startswith("zot-test")
    with pytest.raises(ZeroDivisionError):
        await pool.run(divmod, 1, 0)


class Job:
    """A job that tells when it begins, and ends when it is let go."""

    def __init__(self) -> None:
        """Wait to be run, in a thread."""
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
        """Run, and raise."""
        self()
        raise OSError


async def test_what_waits_is_bounded(pool: ThreadPool) -> None:
    """Beyond the bound a job is refused with nothing begun; there is room again when jobs end."""
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
    """A cancellation, even a repeated one, goes on when the thread has ended: nothing is pulled from under it."""
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
async def test_what_a_cancelled_call_acquired_is_released(pool: ThreadPool, fails: bool) -> None:
    """If the wait is cancelled, what the job returned is given back; if the job failed there is nothing to give."""
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
