"""Replicas in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from zot.databases.postgres_schema import PostgresSchema
from zot.databases.postgres_tables import PostgresTables
from zot.replicas.interface import KEPT_S, Replica, ReplicasUnavailableError, SeenReplica, by_start

_FIRST = """
CREATE TABLE zot_replicas.replica (
  owner text COLLATE "C" PRIMARY KEY,
  announced bytea NOT NULL,
  seen timestamptz NOT NULL
);
"""

SCHEMA = PostgresSchema("zot_replicas", (_FIRST,))

_ANNOUNCE = """
INSERT INTO zot_replicas.replica VALUES ($1, $2, now())
ON CONFLICT (owner) DO UPDATE SET announced = excluded.announced, seen = excluded.seen
"""
_FORGET = "DELETE FROM zot_replicas.replica WHERE seen < now() - make_interval(secs => $1)"
_ALL = "SELECT announced, extract(epoch FROM now() - seen)::float8 FROM zot_replicas.replica"


class PostgresReplicas:
    """`Replicas` in PostgreSQL."""

    def __init__(self, tables: PostgresTables) -> None:
        """Own the tables, which are closed with the store."""
        self._tables = tables

    async def announce(self, replica: Replica) -> None:
        """See `Replicas`."""
        async with self._tables.transaction() as connection:
            await connection.execute("SET LOCAL synchronous_commit = off")
            await connection.execute(_FORGET, KEPT_S)
            await connection.execute(_ANNOUNCE, replica.owner, msgspec.json.encode(replica))

    async def withdraw(self, owner: str) -> None:
        """See `Replicas`."""
        await self._tables.change("DELETE FROM zot_replicas.replica WHERE owner = $1", owner)

    async def all(self) -> Sequence[SeenReplica]:
        """See `Replicas`."""
        rows = await self._tables.read(_ALL)
        try:
            # The clock of a transaction is that of its beginning: another one may have begun later and ended before.
            return by_start([SeenReplica(msgspec.json.decode(row, type=Replica), max(0.0, s)) for row, s in rows])
        except ValueError as error:
            raise ReplicasUnavailableError(f"the replicas in PostgreSQL have an unreadable row: {error}") from error

    async def close(self) -> None:
        """See `Replicas`."""
        await self._tables.close()
