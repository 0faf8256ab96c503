"""Pulls and pushes are counted and stored: by each driver, and by several processes together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from accounts.shared_engines import SHARED_ENGINES, shared_engine
from zot.foundation.threads import ThreadPool
from zot.oci.digest import digest_of
from zot.oci.names import Repository
from zot.statistics.interface import (
    Statistic,
    StatisticsByManifest,
    StatisticsStore,
    StatisticsUnavailableError,
    all_of,
)
from zot.statistics.memory import MemoryStatistics
from zot.statistics.recorder import StatisticsRecorder
from zot.statistics.sqlite import SqliteStatistics

APP, OTHER = Repository("team/app"), Repository("other")
ONE, TWO = sorted([digest_of(b"1"), digest_of(b"2")])


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    """Threads for jobs that block on the disk."""
    pool = ThreadPool("statistics", 2, 10)
    yield pool
    pool.close()


@pytest.fixture(params=["memory", "sqlite", *SHARED_ENGINES])
async def store(request: pytest.FixtureRequest, tmp_path: Path, pool: ThreadPool) -> AsyncIterator[StatisticsStore]:
    """An empty store of each driver."""
    if request.param == "memory":
        opened: StatisticsStore = MemoryStatistics()
    elif request.param == "sqlite":
        opened = SqliteStatistics(tmp_path / "activity.db", pool)
    else:
        opened = shared_engine(request, request.param).open_statistics(pool)
    yield opened
    await opened.close()


class Clock:
    """A clock that the test sets."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


async def test_counts_are_merged(store: StatisticsStore) -> None:
    """Pulls add up with the time of the last; of several pushes the first is stored."""
    clock = Clock()
    recorder = StatisticsRecorder(store, clock)
    recorder.record_pull(APP, ONE)
    recorder.record_push(APP, ONE, "alice")
    await recorder.flush()
    clock.now_s = 200
    recorder.record_pull(APP, ONE)
    recorder.record_pull(APP, ONE)
    recorder.record_push(APP, ONE, "bob")
    assert await store.of(APP, ONE) == Statistic(ONE, 1, 100, 100, "alice")
    await recorder.flush()
    assert await store.of(APP, ONE) == Statistic(ONE, 3, 200, 100, "alice")


async def test_a_push_may_be_counted_after_pulls(store: StatisticsStore) -> None:
    """The order in which processes store their counts makes no difference."""
    await store.add({(APP, ONE): Statistic(ONE, 2, 50.0)})
    await store.add({(APP, ONE): Statistic(ONE, 0, None, 40.0, "alice")})
    await store.add({(APP, ONE): Statistic(ONE, 1, 45.0)})
    assert await store.of(APP, ONE) == Statistic(ONE, 3, 50, 40, "alice")


async def test_each_repository_has_its_own_statistics(store: StatisticsStore) -> None:
    """The same manifest is counted in each repository; a repository's statistics come in pages, by digest."""
    await store.add({(APP, TWO): Statistic(TWO, 1), (APP, ONE): Statistic(ONE, 2), (OTHER, ONE): Statistic(ONE, 3)})
    assert await store.of(OTHER, TWO) is None
    assert [each.pulls for each in await store.of_repository(APP, "", 1)] == [2]
    assert await all_of(store, APP, page=1) == {ONE: Statistic(ONE, 2), TWO: Statistic(TWO, 1)}


async def test_many_are_read_at_once(store: StatisticsStore) -> None:
    """Those of several repositories; a manifest without a statistic, or of another repository, is left out."""
    await store.add({(APP, ONE): Statistic(ONE, 1, 100.0, 100.0, "alice"), (OTHER, TWO): Statistic(TWO, 2)})
    found = await store.of_each([(OTHER, TWO), (APP, ONE), (APP, TWO)])
    assert found == {(APP, ONE): await store.of(APP, ONE), (OTHER, TWO): Statistic(TWO, 2)}
    assert await store.of_each([]) == {}


async def test_statistics_are_deleted_by_manifest_or_repository(store: StatisticsStore) -> None:
    """Deletion takes one manifest, or all of a repository, and is idempotent."""
    await store.add({(APP, TWO): Statistic(TWO), (APP, ONE): Statistic(ONE), (OTHER, ONE): Statistic(ONE)})
    await store.forget(APP, ONE)
    assert list(await all_of(store, APP)) == [TWO]
    await store.forget(APP)
    await store.forget(APP)
    assert await all_of(store, APP) == {}
    assert await store.of(OTHER, ONE)


async def test_two_processes_count_together(tmp_path: Path, pool: ThreadPool) -> None:
    """Counts that two connections add to one file add up, also for later readers."""
    stores = [SqliteStatistics(tmp_path / "activity.db", pool) for _ in range(2)]
    for each in stores:
        recorder = StatisticsRecorder(each)
        for _ in range(3):
            recorder.record_pull(APP, ONE)
        await recorder.flush()
        await each.close()
    reader = SqliteStatistics(tmp_path / "activity.db", pool)
    statistic = await reader.of(APP, ONE)
    assert statistic is not None
    assert statistic.pulls == 6
    await reader.close()


async def test_counts_stay_pending_while_the_store_is_unavailable() -> None:
    """Counts from a time at which the store is unavailable are stored later."""

    class Away(MemoryStatistics):
        away = True

        async def add(self, counts: StatisticsByManifest) -> None:
            if self.away:
                raise StatisticsUnavailableError("away")
            await super().add(counts)

    store = Away()
    recorder = StatisticsRecorder(store)
    recorder.record_pull(APP, ONE)
    await recorder.flush()
    recorder.record_pull(APP, ONE)
    store.away = False
    await recorder.flush()
    statistic = await store.of(APP, ONE)
    assert statistic is not None
    assert statistic.pulls == 2


async def test_pulls_are_followed(store: StatisticsStore) -> None:
    """Pulled manifests come in the order of their last pull, page by page; those that were never pulled do not."""
    await store.add(
        {
            (APP, ONE): Statistic(ONE, pulls=1, pulled_s=20.0),
            (OTHER, ONE): Statistic(ONE, pulls=2, pulled_s=10.0),
            (APP, TWO): Statistic(TWO, pulls=3, pulled_s=20.0),
            (OTHER, TWO): Statistic(TWO, pushed_s=30.0, pushed_by="alice"),
        }
    )
    found = [(repository, each.digest, each.pulls) for repository, each in await store.pulled_after(None, 10)]
    assert found == [(OTHER, ONE, 2), (APP, ONE, 1), (APP, TWO, 3)]
    ((repository, first),) = await store.pulled_after(None, 1)
    assert first.pulled_s is not None
    assert len(await store.pulled_after((first.pulled_s, repository, first.digest), 10)) == 2
    await store.add({(OTHER, ONE): Statistic(ONE, pulls=1, pulled_s=40.0)})
    assert [row[0] for row in await store.pulled_after((20.0, APP, TWO), 10)] == [OTHER]
