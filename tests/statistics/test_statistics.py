"""Pulls and pushes, counted and kept: each store, and what several processes count."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from zot.foundation.threads import ThreadPool
from zot.oci.digest import digest_of
from zot.oci.names import Repository
from zot.statistics.sqlite import SqliteStatistics
from zot.statistics.statistics import (
    Counted,
    MemoryStatistics,
    Statistic,
    Statistics,
    StatisticsStore,
    StatisticsUnavailableError,
    all_of,
)

APP, OTHER = Repository("team/app"), Repository("other")
ONE, TWO = sorted([digest_of(b"1"), digest_of(b"2")])


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    """Threads for what waits for the disk."""
    pool = ThreadPool("statistics", 2, 10)
    yield pool
    pool.close()


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, pool: ThreadPool) -> AsyncIterator[StatisticsStore]:
    """An empty store of each kind."""
    opened: StatisticsStore = (
        MemoryStatistics() if request.param == "memory" else SqliteStatistics(tmp_path / "activity.db", pool)
    )
    yield opened
    await opened.close()


class Clock:
    """A clock that is set."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


async def test_counts_are_merged(store: StatisticsStore) -> None:
    """Pulls add up, the last one's time stays; of several pushes the first stays."""
    clock = Clock()
    counting = Statistics(store, clock)
    counting.pulled(APP, ONE)
    counting.pushed(APP, ONE, "alice")
    await counting.flush()
    clock.now_s = 200
    counting.pulled(APP, ONE)
    counting.pulled(APP, ONE)
    counting.pushed(APP, ONE, "bob")
    assert await store.of(APP, ONE) == Statistic(ONE, 1, 100, 100, "alice")
    await counting.flush()
    assert await store.of(APP, ONE) == Statistic(ONE, 3, 200, 100, "alice")


async def test_a_push_may_be_counted_after_pulls(store: StatisticsStore) -> None:
    """Which process writes down first makes no difference."""
    await store.add({(APP, ONE): Statistic(ONE, 2, 50.0)})
    await store.add({(APP, ONE): Statistic(ONE, 0, None, 40.0, "alice")})
    await store.add({(APP, ONE): Statistic(ONE, 1, 45.0)})
    assert await store.of(APP, ONE) == Statistic(ONE, 3, 50, 40, "alice")


async def test_statistics_are_of_a_repository(store: StatisticsStore) -> None:
    """The same manifest elsewhere has its own; a repository's come in the order of digests, page by page."""
    await store.add({(APP, TWO): Statistic(TWO, 1), (APP, ONE): Statistic(ONE, 2), (OTHER, ONE): Statistic(ONE, 3)})
    assert await store.of(OTHER, TWO) is None
    assert [each.pulls for each in await store.of_repository(APP, "", 1)] == [2]
    assert await all_of(store, APP, page=1) == {ONE: Statistic(ONE, 2), TWO: Statistic(TWO, 1)}


async def test_what_is_gone_is_forgotten(store: StatisticsStore) -> None:
    """A manifest's statistics go alone, a repository's together, and twice does no harm."""
    await store.add({(APP, TWO): Statistic(TWO), (APP, ONE): Statistic(ONE), (OTHER, ONE): Statistic(ONE)})
    await store.forget(APP, ONE)
    assert list(await all_of(store, APP)) == [TWO]
    await store.forget(APP)
    await store.forget(APP)
    assert await all_of(store, APP) == {}
    assert await store.of(OTHER, ONE)


async def test_two_processes_count_together(tmp_path: Path, pool: ThreadPool) -> None:
    """What two connections add to one file is all there, also for those who come later."""
    stores = [SqliteStatistics(tmp_path / "activity.db", pool) for _ in range(2)]
    for each in stores:
        counting = Statistics(each)
        for _ in range(3):
            counting.pulled(APP, ONE)
        await counting.flush()
        await each.close()
    reader = SqliteStatistics(tmp_path / "activity.db", pool)
    found = await reader.of(APP, ONE)
    assert found is not None
    assert found.pulls == 6
    await reader.close()


async def test_what_cannot_be_written_down_is_kept() -> None:
    """A store that is away for a while costs nothing of what was counted meanwhile."""

    class Away(MemoryStatistics):
        away = True

        async def add(self, counted: Counted) -> None:
            if self.away:
                raise StatisticsUnavailableError("away")
            await super().add(counted)

    store = Away()
    counting = Statistics(store)
    counting.pulled(APP, ONE)
    await counting.flush()
    counting.pulled(APP, ONE)
    store.away = False
    await counting.flush()
    found = await store.of(APP, ONE)
    assert found is not None
    assert found.pulls == 2
