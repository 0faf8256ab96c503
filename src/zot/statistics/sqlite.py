"""Statistics in an SQLite file, `activity.db`, to which each process adds its counts once a second."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from zot.foundation.sqlite_file import FileKind, SqliteFile
from zot.foundation.sqlite_schema import SqliteSchema
from zot.foundation.threads import ThreadPool
from zot.oci.digest import Digest
from zot.oci.names import Repository
from zot.statistics.interface import FLUSH_S, Statistic, StatisticsByManifest, StatisticsUnavailableError

_FIRST = """
CREATE TABLE statistic (
  repository TEXT NOT NULL,
  digest TEXT NOT NULL,
  pulls INTEGER NOT NULL,
  pulled_s REAL,
  pushed_s REAL,
  pushed_by TEXT NOT NULL,
  PRIMARY KEY (repository, digest)
) STRICT, WITHOUT ROWID;
"""

_SECOND = """
CREATE INDEX statistic_by_pull ON statistic (pulled_s, repository, digest) WHERE pulled_s IS NOT NULL;
"""

# "zota"
_SCHEMA = SqliteSchema(0x7A6F7461, (_FIRST, _SECOND))
_KIND = FileKind("statistics", _SCHEMA, "normal", StatisticsUnavailableError)

# Merges as `Statistic.merged` does.
_ADD = """
INSERT INTO statistic VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
  pulls = pulls + excluded.pulls,
  pulled_s = max(coalesce(pulled_s, excluded.pulled_s), coalesce(excluded.pulled_s, pulled_s)),
  pushed_by = iif(pushed_s IS NULL, excluded.pushed_by, pushed_by),
  pushed_s = coalesce(pushed_s, excluded.pushed_s)
"""
_PULLED_AFTER = """
SELECT repository, digest, pulls, pulled_s, pushed_s, pushed_by FROM statistic
WHERE pulled_s IS NOT NULL AND (pulled_s, repository, digest) > (?, ?, ?)
ORDER BY pulled_s, repository, digest LIMIT ?
"""
# The order of the tables is forced: from the manifests that are wanted.
_OF_EACH = """
SELECT repository, digest, pulls, pulled_s, pushed_s, pushed_by FROM json_each(?) AS wanted
CROSS JOIN statistic ON repository = wanted.value ->> 0 AND digest = wanted.value ->> 1
"""
_SELECT = "SELECT digest, pulls, pulled_s, pushed_s, pushed_by FROM statistic WHERE repository = ?"


class SqliteStatistics:
    """`StatisticsStore` in a file. Reads run on the event loop."""

    def __init__(self, path: Path, threads: ThreadPool) -> None:
        """Open the file, and create it if it is missing.

        Raises StatisticsUnavailableError if it is of another program, or of a newer version.
        """
        self._file = SqliteFile(path, _KIND, threads)

    async def add(self, counts: StatisticsByManifest) -> None:
        """See `StatisticsStore`."""
        await self._file.change(
            [
                (_ADD, (repository, digest, each.pulls, each.pulled_s, each.pushed_s, each.pushed_by))
                for (repository, digest), each in counts.items()
            ]
        )

    async def of(self, repository: Repository, digest: Digest) -> Statistic | None:
        """See `StatisticsStore`."""
        rows = self._file.read(f"{_SELECT} AND digest = ?", (repository, digest))
        return Statistic(*rows[0]) if rows else None

    async def of_each(self, manifests: Iterable[tuple[Repository, Digest]]) -> StatisticsByManifest:
        """See `StatisticsStore`."""
        rows = self._file.read(_OF_EACH, (msgspec.json.encode(list(manifests)).decode(),))
        return {(repository, row[0]): Statistic(*row) for repository, *row in rows}

    async def of_repository(self, repository: Repository, after: str, limit: int) -> Sequence[Statistic]:
        """See `StatisticsStore`."""
        rows = self._file.read(f"{_SELECT} AND digest > ? ORDER BY digest LIMIT ?", (repository, after, limit))
        return [Statistic(*row) for row in rows]

    async def pulled_after(
        self, after: tuple[float, Repository, Digest] | None, limit: int
    ) -> Sequence[tuple[Repository, Statistic]]:
        """See `StatisticsStore`."""
        rows = self._file.read(_PULLED_AFTER, (*(after or (-1.0, "", "")), limit))
        return [(repository, Statistic(*row)) for repository, *row in rows]

    async def settled(self) -> None:
        """See `StatisticsStore`."""
        await asyncio.sleep(2 * FLUSH_S)

    async def forget(self, repository: Repository, digest: Digest | None = None) -> None:
        """See `StatisticsStore`."""
        delete = "DELETE FROM statistic WHERE repository = ? AND digest = coalesce(?, digest)"
        await self._file.change([(delete, (repository, digest))])

    async def close(self) -> None:
        """See `StatisticsStore`."""
        await self._file.close()
