"""Sessions in PostgreSQL, shared by all replicas. They expire by the clock of its server."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator

from zot.accounts.sessions.ids import SECRET_BYTES, SHARED_BYTES, random_id, well_formed
from zot.databases.postgres_schema import PostgresSchema
from zot.databases.postgres_tables import PostgresTables

SWEEP_INTERVAL_S = 3600.0

_PAGE = 1000

_FIRST = """
CREATE TABLE zot_sessions.session (
  id text COLLATE "C" PRIMARY KEY,
  value bytea NOT NULL,
  expires timestamptz NOT NULL
);
CREATE INDEX session_expires ON zot_sessions.session (expires);
CREATE TABLE zot_sessions.secret (id boolean PRIMARY KEY CHECK (id), key bytea NOT NULL);
"""

SCHEMA = PostgresSchema("zot_sessions", (_FIRST,))

_PUT = """
INSERT INTO zot_sessions.session VALUES ($1, $2, now() + make_interval(secs => $3))
ON CONFLICT (id) DO UPDATE SET value = excluded.value, expires = excluded.expires
"""
_GET = "SELECT value FROM zot_sessions.session WHERE id = $1 AND expires > now()"


class PostgresSessions:
    """`SessionStore` in PostgreSQL."""

    def __init__(self, tables: PostgresTables) -> None:
        """Own the tables, which are closed with the store."""
        self._tables = tables
        self._swept_s = float("-inf")

    def new_id(self) -> str:
        """See `SessionStore`."""
        return random_id(SHARED_BYTES)

    async def put(self, session_id: str, value: bytes, ttl_s: int) -> None:
        """See `SessionStore`."""
        await self._tables.change(_PUT, session_id, value, float(ttl_s))
        if time.monotonic() - self._swept_s > SWEEP_INTERVAL_S:
            self._swept_s = time.monotonic()
            await self.sweep()

    async def get(self, session_id: str) -> bytes | None:
        """See `SessionStore`."""
        rows = await self._tables.read(_GET, session_id) if well_formed(session_id) else []
        return rows[0][0] if rows else None

    async def delete(self, session_id: str) -> bool:
        """See `SessionStore`."""
        if not well_formed(session_id):
            return False
        return bool(await self._tables.change("DELETE FROM zot_sessions.session WHERE id = $1 RETURNING 1", session_id))

    async def secret(self) -> bytes:
        """See `SessionStore`."""
        select = "SELECT key FROM zot_sessions.secret"
        rows = await self._tables.read(select)
        if not rows:
            # Of replicas that start together, one sets it.
            insert = "INSERT INTO zot_sessions.secret VALUES (true, $1) ON CONFLICT DO NOTHING"
            await self._tables.change(insert, secrets.token_bytes(SECRET_BYTES))
            rows = await self._tables.read(select)
        key: bytes = rows[0][0]
        return key

    async def ids(self) -> AsyncIterator[str]:
        """See `SessionStore`."""
        last = ""
        select = "SELECT id FROM zot_sessions.session WHERE id > $1 ORDER BY id LIMIT $2"
        while rows := await self._tables.read(select, last, _PAGE):
            for row in rows:
                yield row[0]
            last = rows[-1][0]

    async def sweep(self) -> None:
        """See `SessionStore`."""
        await self._tables.change("DELETE FROM zot_sessions.session WHERE expires <= now()")

    async def close(self) -> None:
        """See `SessionStore`."""
        await self._tables.close()
