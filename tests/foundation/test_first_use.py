"""What is made when it is first used."""

import asyncio
import threading

import pytest

from zot.foundation.first_use import FirstUse
from zot.foundation.threads import ThreadPool


async def test_all_callers_get_the_one_object_that_a_thread_made() -> None:
    pool = ThreadPool("test", 4, 16)
    threads = []

    def make() -> object:
        threads.append(threading.current_thread())
        return object()

    used = FirstUse(make, pool)
    assert threads == []
    found = await asyncio.gather(*(used.get() for _ in range(8)))
    assert len(set(map(id, found))) == len(threads) == 1
    assert threads[0] is not threading.current_thread()
    pool.close()


async def test_after_a_failure_the_next_caller_tries_again() -> None:
    pool = ThreadPool("test", 1, 16)
    outcomes = iter([ValueError("not yet"), "made"])

    def make() -> object:
        outcome = next(outcomes)
        if isinstance(outcome, ValueError):
            raise outcome
        return outcome

    used = FirstUse(make, pool)
    with pytest.raises(ValueError, match="not yet"):
        await used.get()
    assert await used.get() == "made"
    pool.close()
