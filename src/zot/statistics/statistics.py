"""Pulls and pushes of manifests: how often, when last, by whom.

Counted in memory, merged, and written down each second: of what was counted a crash takes one second at most. Nothing
waits for it, and no answer depends on it but those of retention and of search.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from zot.foundation.paging import rows
from zot.oci.digest import Digest
from zot.oci.names import Repository

_log = logging.getLogger("zot.statistics")

FLUSH_S = 1.0

_PENDING_LIMIT = 20_000
"""Manifests with counts that are not written down: more are written down at once."""


class StatisticsUnavailableError(Exception):
    """The statistics cannot be reached now."""


class Statistic(msgspec.Struct, frozen=True):
    """What is known of a manifest of a repository. Times are seconds since the epoch."""

    digest: Digest
    pulls: int = 0
    pulled_s: float | None = None
    pushed_s: float | None = None
    """When it was pushed first, None if that was not counted."""
    pushed_by: str = ""

    def merged(self, later: Statistic) -> Statistic:
        """Return what is known with what was counted later."""
        first = self if self.pushed_s is not None else later
        times = [each for each in (self.pulled_s, later.pulled_s) if each is not None]
        return Statistic(
            self.digest, self.pulls + later.pulls, max(times, default=None), first.pushed_s, first.pushed_by
        )


Counted = dict[tuple[Repository, Digest], Statistic]


class StatisticsStore(Protocol):
    """Where statistics are kept. Everything raises StatisticsUnavailableError."""

    async def add(self, counted: Counted) -> None:
        """Merge what was counted into what is kept, all of it or nothing. It may be lost in a power loss."""

    async def of(self, repository: Repository, digest: Digest) -> Statistic | None:
        """Return what is kept of a manifest. Cheap enough for the event loop."""

    async def of_repository(self, repository: Repository, after: str, limit: int) -> Sequence[Statistic]:
        """Return what is kept of a repository's manifests with digests greater than `after`."""

    async def settled(self) -> None:
        """Return once what any process counted before is kept, if it can be."""

    async def forget(self, repository: Repository, digest: Digest | None = None) -> None:
        """Remove what is kept of a manifest, or of all of the repository's. That there is nothing does no harm."""

    async def close(self) -> None:
        """Let go of everything."""


class Statistics:
    """Counts, in each process that answers requests."""

    def __init__(self, store: StatisticsStore, wall: Callable[[], float] = time.time) -> None:
        """Write down to a store, which stays open; `wall` tells the time."""
        self.store = store
        self._wall = wall
        self._pending: Counted = {}
        self._pulls: dict[tuple[Repository, Digest], int] = {}
        """Pulls that are not in `_pending` yet: counting one is part of every pull."""
        self._full = asyncio.Event()

    def pulled(self, repository: Repository, digest: Digest) -> None:
        """Count a pull: a manifest was given to somebody who asked for it by GET."""
        key = (repository, digest)
        self._pulls[key] = self._pulls.get(key, 0) + 1
        if len(self._pulls) >= _PENDING_LIMIT:
            self._full.set()

    def pushed(self, repository: Repository, digest: Digest, by: str) -> None:
        """Take down a push. Of several the first stays."""
        self._count(repository, Statistic(digest, pushed_s=self._wall(), pushed_by=by))

    async def run(self) -> None:
        """Write down what was counted, each second, until cancelled; then the rest."""
        try:
            while True:
                try:
                    async with asyncio.timeout(FLUSH_S):
                        await self._full.wait()
                except TimeoutError:
                    pass
                await self.flush()
        finally:
            await self.flush()

    async def flush(self) -> None:
        """Write down what was counted so far. What cannot be is kept for the next time, within bounds."""
        pulls, self._pulls = self._pulls, {}
        for (repository, digest), count in pulls.items():
            # Within the second in which it was counted.
            self._count(repository, Statistic(digest, pulls=count, pulled_s=self._wall()))
        counted, self._pending = self._pending, {}
        self._full.clear()
        if not counted:
            return
        try:
            await self.store.add(counted)
        except StatisticsUnavailableError as error:
            _log.warning("pulls and pushes are not written down: %s", error)
            if len(counted) < _PENDING_LIMIT:
                newer, self._pending = self._pending, counted
                for (repository, _), statistic in newer.items():
                    self._count(repository, statistic)

    def _count(self, repository: Repository, statistic: Statistic) -> None:
        key = (repository, statistic.digest)
        before = self._pending.get(key)
        self._pending[key] = before.merged(statistic) if before else statistic
        if len(self._pending) >= _PENDING_LIMIT:
            self._full.set()


async def all_of(store: StatisticsStore, repository: Repository, page: int = 1000) -> dict[Digest, Statistic]:
    """Return what is kept of a repository's manifests. Raises StatisticsUnavailableError."""
    return {
        row.digest: row
        async for row in rows(lambda last: store.of_repository(repository, last, page), lambda row: row.digest, "")
    }


class MemoryStatistics:
    """A `StatisticsStore` that is gone with the process."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._kept: Counted = {}

    async def add(self, counted: Counted) -> None:
        """See `StatisticsStore`."""
        for key, statistic in counted.items():
            before = self._kept.get(key)
            self._kept[key] = before.merged(statistic) if before else statistic

    async def of(self, repository: Repository, digest: Digest) -> Statistic | None:
        """See `StatisticsStore`."""
        return self._kept.get((repository, digest))

    async def of_repository(self, repository: Repository, after: str, limit: int) -> Sequence[Statistic]:
        """See `StatisticsStore`."""
        found = sorted(digest for name, digest in self._kept if name == repository and digest > after)
        return [self._kept[repository, digest] for digest in found[:limit]]

    async def settled(self) -> None:
        """See `StatisticsStore`: there is no other process."""

    async def forget(self, repository: Repository, digest: Digest | None = None) -> None:
        """See `StatisticsStore`."""
        for key in [key for key in self._kept if key[0] == repository and digest in (None, key[1])]:
            del self._kept[key]

    async def close(self) -> None:
        """Nothing is held."""
