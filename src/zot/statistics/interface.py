"""The interface of statistics: how often manifests are pulled, when last, and by whom pushed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from zot.foundation.paging import rows
from zot.oci.digest import Digest
from zot.oci.names import Repository

FLUSH_S = 1.0
"""How often each process writes its counts to the store."""


class StatisticsUnavailableError(Exception):
    """The statistics cannot be reached now."""


class Statistic(msgspec.Struct, frozen=True):
    """The counts of one manifest in one repository. Times are seconds since the epoch."""

    digest: Digest
    pulls: int = 0
    pulled_s: float | None = None
    pushed_s: float | None = None
    """The time of the first push; None if it was not counted."""
    pushed_by: str = ""

    def merged(self, later: Statistic) -> Statistic:
        """Return the sum of this and later counts: the first push and the last pull."""
        first = self if self.pushed_s is not None else later
        times = [each for each in (self.pulled_s, later.pulled_s) if each is not None]
        return Statistic(
            self.digest, self.pulls + later.pulls, max(times, default=None), first.pushed_s, first.pushed_by
        )


StatisticsByManifest = dict[tuple[Repository, Digest], Statistic]


class StatisticsStore(Protocol):
    """A store of statistics. Every method raises StatisticsUnavailableError."""

    async def add(self, counts: StatisticsByManifest) -> None:
        """Merge counts into the stored ones, atomically. A power loss may take the last ones."""

    async def of(self, repository: Repository, digest: Digest) -> Statistic | None:
        """Return the statistic of a manifest, None if there is none. Cheap enough for the event loop."""

    async def of_each(self, manifests: Iterable[tuple[Repository, Digest]]) -> StatisticsByManifest:
        """Return the statistics of manifests that have one; one read for some hundreds, cheap as `of`."""

    async def of_repository(self, repository: Repository, after: str, limit: int) -> Sequence[Statistic]:
        """Return statistics of a repository's manifests with digests greater than `after`, in byte order."""

    async def pulled_after(
        self, after: tuple[float, Repository, Digest] | None, limit: int
    ) -> Sequence[tuple[Repository, Statistic]]:
        """Return statistics of pulled manifests, in the order of time, repository and digest of the last pull.

        `after` is the position of the last row that the caller has: a process may store a pull up to some seconds later
        than another process stores a later one, so a caller that follows pulls begins some seconds before it.
        """

    async def settled(self) -> None:
        """Wait until every process had the time to store what it counted before the call."""

    async def forget(self, repository: Repository, digest: Digest | None = None) -> None:
        """Delete the statistic of a manifest, or with None all of the repository. Idempotent."""

    async def close(self) -> None:
        """Close the store."""


async def all_of(store: StatisticsStore, repository: Repository, page: int = 1000) -> dict[Digest, Statistic]:
    """Return the statistics of all manifests of a repository. Raises StatisticsUnavailableError."""
    return {
        row.digest: row
        async for row in rows(lambda last: store.of_repository(repository, last, page), lambda row: row.digest, "")
    }
