"""Statistics in PostgreSQL, to which each process of each replica adds its counts once a second."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from zot.databases.postgres_schema import PostgresSchema
from zot.databases.postgres_tables import PostgresTables
from zot.oci.digest import Digest
from zot.oci.names import Repository
from zot.statistics.interface import FLUSH_S, Statistic, StatisticsByManifest

_FIRST = """
CREATE TABLE zot_statistics.statistic (
  repository text COLLATE "C" NOT NULL,
  digest text COLLATE "C" NOT NULL,
  pulls bigint NOT NULL,
  pulled_s double precision,
  pushed_s double precision,
  pushed_by text NOT NULL,
  PRIMARY KEY (repository, digest)
);
CREATE INDEX statistic_by_pull ON zot_statistics.statistic (pulled_s, repository, digest) WHERE pulled_s IS NOT NULL;
"""

SCHEMA = PostgresSchema("zot_statistics", (_FIRST,))

# Merges as `Statistic.merged` does. All processes lock the rows in the same order.
_ADD = """
INSERT INTO zot_statistics.statistic AS known
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::float8[], $5::float8[], $6::text[])
  AS added (repository, digest, pulls, pulled_s, pushed_s, pushed_by)
ORDER BY repository COLLATE "C", digest COLLATE "C"
ON CONFLICT (repository, digest) DO UPDATE SET
  pulls = known.pulls + excluded.pulls,
  pulled_s = greatest(known.pulled_s, excluded.pulled_s),
  pushed_by = CASE WHEN known.pushed_s IS NULL THEN excluded.pushed_by ELSE known.pushed_by END,
  pushed_s = coalesce(known.pushed_s, excluded.pushed_s)
"""
_SELECT = "SELECT digest, pulls, pulled_s, pushed_s, pushed_by FROM zot_statistics.statistic WHERE repository = $1"
_OF_EACH = """
SELECT repository, digest, pulls, pulled_s, pushed_s, pushed_by FROM zot_statistics.statistic
JOIN unnest($1::text[], $2::text[]) AS wanted (repository, digest) USING (repository, digest)
"""
_PULLED_AFTER = """
SELECT repository, digest, pulls, pulled_s, pushed_s, pushed_by FROM zot_statistics.statistic
WHERE pulled_s IS NOT NULL AND (pulled_s, repository, digest) > ($1, $2, $3)
ORDER BY pulled_s, repository, digest LIMIT $4
"""
_FORGET = "DELETE FROM zot_statistics.statistic WHERE repository = $1 AND digest = coalesce($2, digest)"


class PostgresStatistics:
    """`StatisticsStore` in PostgreSQL."""

    def __init__(self, tables: PostgresTables) -> None:
        """Own the tables, which are closed with the store."""
        self._tables = tables

    async def add(self, counts: StatisticsByManifest) -> None:
        """See `StatisticsStore`. If the result is lost, the counts may have been added."""
        rows = [
            (repository, digest, each.pulls, each.pulled_s, each.pushed_s, each.pushed_by)
            for (repository, digest), each in counts.items()
        ]
        async with self._tables.transaction() as connection:
            await connection.execute("SET LOCAL synchronous_commit = off")
            await connection.execute(_ADD, *(map(list, zip(*rows, strict=True)) if rows else [[]] * 6))

    async def of(self, repository: Repository, digest: Digest) -> Statistic | None:
        """See `StatisticsStore`."""
        rows = await self._tables.read(f"{_SELECT} AND digest = $2", repository, digest)
        return Statistic(*rows[0]) if rows else None

    async def of_each(self, manifests: Iterable[tuple[Repository, Digest]]) -> StatisticsByManifest:
        """See `StatisticsStore`."""
        wanted = list(manifests)
        rows = await self._tables.read(_OF_EACH, [name for name, _ in wanted], [digest for _, digest in wanted])
        return {(row[0], row[1]): Statistic(*row[1:]) for row in rows}

    async def of_repository(self, repository: Repository, after: str, limit: int) -> Sequence[Statistic]:
        """See `StatisticsStore`."""
        rows = await self._tables.read(f"{_SELECT} AND digest > $2 ORDER BY digest LIMIT $3", repository, after, limit)
        return [Statistic(*row) for row in rows]

    async def pulled_after(
        self, after: tuple[float, Repository, Digest] | None, limit: int
    ) -> Sequence[tuple[Repository, Statistic]]:
        """See `StatisticsStore`."""
        rows = await self._tables.read(_PULLED_AFTER, *(after or (-1.0, "", "")), limit)
        return [(row[0], Statistic(*row[1:])) for row in rows]

    async def settled(self) -> None:
        """See `StatisticsStore`."""
        await asyncio.sleep(2 * FLUSH_S)

    async def forget(self, repository: Repository, digest: Digest | None = None) -> None:
        """See `StatisticsStore`."""
        await self._tables.change(_FORGET, repository, digest)

    async def close(self) -> None:
        """See `StatisticsStore`."""
        await self._tables.close()
