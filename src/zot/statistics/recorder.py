"""Counts pulls and pushes in memory, and writes them to the store each second.

A crash loses the counts of one second at most. Requests never wait for the store; only retention and search depend on
the counts.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from zot.oci.digest import Digest
from zot.oci.names import Repository
from zot.statistics.interface import (
    FLUSH_S,
    Statistic,
    StatisticsByManifest,
    StatisticsStore,
    StatisticsUnavailableError,
)

_log = logging.getLogger("zot.statistics")

_PENDING_LIMIT = 20_000
"""Manifests with pending counts; at the limit the counts are written at once."""


class StatisticsRecorder:
    """The counts of one process that serves requests."""

    def __init__(self, store: StatisticsStore, wall: Callable[[], float] = time.time) -> None:
        """Record to a store, which stays open; `wall` returns seconds since the epoch."""
        self.store = store
        self._wall = wall
        self._pending: StatisticsByManifest = {}
        self._pulls: dict[tuple[Repository, Digest], int] = {}
        """Pulls that are not in `_pending` yet: a pull costs one increment."""
        self._full = asyncio.Event()

    def record_pull(self, repository: Repository, digest: Digest) -> None:
        """Count a pull: a client got the manifest by GET."""
        key = (repository, digest)
        self._pulls[key] = self._pulls.get(key, 0) + 1
        if len(self._pulls) >= _PENDING_LIMIT:
            self._full.set()

    def record_push(self, repository: Repository, digest: Digest, by: str) -> None:
        """Record a push by a user. Only the first push of a manifest is stored."""
        self._count(repository, Statistic(digest, pushed_s=self._wall(), pushed_by=by))

    async def run(self) -> None:
        """Flush each second until cancelled, and once more at the end."""
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
        """Write the counts to the store. If that fails they stay pending, up to a limit."""
        pulls, self._pulls = self._pulls, {}
        for (repository, digest), count in pulls.items():
            # The time is right to a second: pulls are flushed each second.
            self._count(repository, Statistic(digest, pulls=count, pulled_s=self._wall()))
        counts, self._pending = self._pending, {}
        self._full.clear()
        if not counts:
            return
        try:
            await self.store.add(counts)
        except StatisticsUnavailableError as error:
            _log.warning("pulls and pushes cannot be stored: %s", error)
            if len(counts) < _PENDING_LIMIT:
                newer, self._pending = self._pending, counts
                for (repository, _), statistic in newer.items():
                    self._count(repository, statistic)

    def _count(self, repository: Repository, statistic: Statistic) -> None:
        key = (repository, statistic.digest)
        before = self._pending.get(key)
        self._pending[key] = before.merged(statistic) if before else statistic
        if len(self._pending) >= _PENDING_LIMIT:
            self._full.set()
