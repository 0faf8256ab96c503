"""Statistics in memory, which end with the process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zot.oci.digest import Digest
from zot.oci.names import Repository
from zot.statistics.interface import Statistic, StatisticsByManifest


class MemoryStatistics:
    """`StatisticsStore` in memory."""

    def __init__(self) -> None:
        self._statistics: StatisticsByManifest = {}

    async def add(self, counts: StatisticsByManifest) -> None:
        """See `StatisticsStore`."""
        for key, statistic in counts.items():
            before = self._statistics.get(key)
            self._statistics[key] = before.merged(statistic) if before else statistic

    async def of(self, repository: Repository, digest: Digest) -> Statistic | None:
        """See `StatisticsStore`."""
        return self._statistics.get((repository, digest))

    async def of_each(self, manifests: Iterable[tuple[Repository, Digest]]) -> StatisticsByManifest:
        """See `StatisticsStore`."""
        return {each: self._statistics[each] for each in manifests if each in self._statistics}

    async def of_repository(self, repository: Repository, after: str, limit: int) -> Sequence[Statistic]:
        """See `StatisticsStore`."""
        digests = sorted(digest for name, digest in self._statistics if name == repository and digest > after)
        return [self._statistics[repository, digest] for digest in digests[:limit]]

    async def pulled_after(
        self, after: tuple[float, Repository, Digest] | None, limit: int
    ) -> Sequence[tuple[Repository, Statistic]]:
        """See `StatisticsStore`."""
        pulled = sorted(
            (each.pulled_s, repository, digest)
            for (repository, digest), each in self._statistics.items()
            if each.pulled_s is not None
        )
        found = [row for row in pulled if after is None or row > after][:limit]
        return [(repository, self._statistics[repository, digest]) for _, repository, digest in found]

    async def settled(self) -> None:
        """See `StatisticsStore`: there is no other process."""

    async def forget(self, repository: Repository, digest: Digest | None = None) -> None:
        """See `StatisticsStore`."""
        for key in [key for key in self._statistics if key[0] == repository and digest in (None, key[1])]:
            del self._statistics[key]

    async def close(self) -> None:
        """See `StatisticsStore`: there is nothing to close."""
