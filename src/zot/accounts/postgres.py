"""Accounts in PostgreSQL, which all replicas share. Each call is one statement, but for toggles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from zot.accounts.interface import AccountsUnavailableError, ApiKey, KeyedUser, User, login_changes
from zot.databases.postgres_schema import PostgresSchema
from zot.databases.postgres_tables import PostgresTables
from zot.oci.names import Repository

# Statements are made of constants alone.
# ruff: noqa: S608

_FIRST = """
CREATE TABLE zot_accounts.users (
  name text COLLATE "C" PRIMARY KEY,
  groups text[] NOT NULL DEFAULT '{}',
  service boolean NOT NULL DEFAULT false,
  origin text NOT NULL DEFAULT ''
);
CREATE TABLE zot_accounts.api_key (
  hash text COLLATE "C" PRIMARY KEY,
  id text COLLATE "C" NOT NULL,
  owner text COLLATE "C" NOT NULL REFERENCES zot_accounts.users ON DELETE CASCADE,
  label text NOT NULL,
  scopes text[] NOT NULL,
  created_s double precision NOT NULL,
  expires_s double precision,
  last_used_s double precision,
  creator_agent text NOT NULL
);
CREATE INDEX api_key_owner ON zot_accounts.api_key (owner, created_s, id);
CREATE TABLE zot_accounts.star (
  owner text COLLATE "C" NOT NULL REFERENCES zot_accounts.users ON DELETE CASCADE,
  repository text COLLATE "C" NOT NULL,
  PRIMARY KEY (owner, repository)
);
CREATE INDEX star_repository ON zot_accounts.star (repository);
CREATE TABLE zot_accounts.bookmark (
  owner text COLLATE "C" NOT NULL REFERENCES zot_accounts.users ON DELETE CASCADE,
  repository text COLLATE "C" NOT NULL,
  PRIMARY KEY (owner, repository)
);
"""

SCHEMA = PostgresSchema("zot_accounts", (_FIRST,))

_USER = "SELECT name, groups, service, origin FROM zot_accounts.users"
_KEY_COLUMNS = "id, owner, hash, label, scopes, created_s, expires_s, last_used_s, creator_agent"
_ENSURE_USER = "INSERT INTO zot_accounts.users (name) VALUES ($1) ON CONFLICT DO NOTHING"

_RECORD_LOGIN = """
INSERT INTO zot_accounts.users AS known (name, groups, origin) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET groups = $2, origin = CASE $3 WHEN '' THEN known.origin ELSE $3 END
WHERE NOT known.service
"""
_CREATE_SERVICE = """
INSERT INTO zot_accounts.users AS known (name, groups, service) VALUES ($1, $2, true)
ON CONFLICT (name) DO UPDATE SET groups = $2 WHERE known.service RETURNING 1
"""
_ADD_KEY = f"""
WITH owner AS (INSERT INTO zot_accounts.users (name) VALUES ($2) ON CONFLICT DO NOTHING)
INSERT INTO zot_accounts.api_key ({_KEY_COLUMNS})
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (hash) DO NOTHING
"""
_KEY_WITH_OWNER = f"""
SELECT {_KEY_COLUMNS}, name, groups, service, origin
FROM zot_accounts.api_key JOIN zot_accounts.users ON name = owner WHERE hash = $1
"""


class PostgresAccounts:
    """`Accounts` in PostgreSQL."""

    def __init__(self, tables: PostgresTables, awaited: Callable[[], bool] = lambda: False) -> None:
        """Own the tables, which are closed with the accounts.

        While `awaited` returns True, an unknown API key may still be imported from another program's store.
        """
        self._tables = tables
        self._awaited = awaited

    async def record_login(self, name: str, groups: Sequence[str], origin: str = "") -> None:
        """See `Accounts`."""
        if login_changes(await self.user(name), groups, origin):
            await self._tables.change(_RECORD_LOGIN, name, sorted(groups), origin)

    async def user(self, name: str) -> User | None:
        """See `Accounts`."""
        rows = await self._tables.read(f"{_USER} WHERE name = $1", name)
        return _user(*rows[0]) if rows else None

    async def users(self, after: str, limit: int) -> Sequence[User]:
        """See `Accounts`."""
        rows = await self._tables.read(f"{_USER} WHERE name > $1 ORDER BY name LIMIT $2", after, limit)
        return [_user(*row) for row in rows]

    async def create_service(self, name: str, groups: Sequence[str]) -> bool:
        """See `Accounts`."""
        return bool(await self._tables.change(_CREATE_SERVICE, name, sorted(groups)))

    async def delete_user(self, name: str) -> bool:
        """See `Accounts`."""
        return bool(await self._tables.change("DELETE FROM zot_accounts.users WHERE name = $1 RETURNING 1", name))

    async def add_key(self, key: ApiKey) -> None:
        """See `Accounts`."""
        await self._tables.change(
            _ADD_KEY,
            key.id,
            key.owner,
            key.hash,
            key.label,
            list(key.scopes),
            key.created_s,
            key.expires_s,
            key.last_used_s,
            key.creator_agent,
        )

    async def key(self, hashed: str) -> KeyedUser | None:
        """See `Accounts`."""
        # Called first, so that a key imported between the two calls is found.
        awaited = self._awaited()
        rows = await self._tables.read(_KEY_WITH_OWNER, hashed)
        if not rows and awaited:
            raise AccountsUnavailableError("the accounts are still being imported")
        return KeyedUser(_key(*rows[0][:9]), _user(*rows[0][9:])) if rows else None

    async def keys(self, owner: str) -> Sequence[ApiKey]:
        """See `Accounts`."""
        rows = await self._tables.read(
            f"SELECT {_KEY_COLUMNS} FROM zot_accounts.api_key WHERE owner = $1 ORDER BY created_s, id", owner
        )
        return [_key(*row) for row in rows]

    async def delete_key(self, owner: str, key_id: str) -> bool:
        """See `Accounts`."""
        delete = "DELETE FROM zot_accounts.api_key WHERE owner = $1 AND id = $2 RETURNING 1"
        return bool(await self._tables.change(delete, owner, key_id))

    async def key_used(self, hashed: str, when_s: float) -> None:
        """See `Accounts`."""
        await self._tables.change("UPDATE zot_accounts.api_key SET last_used_s = $2 WHERE hash = $1", hashed, when_s)

    async def toggle_star(self, name: str, repository: Repository) -> bool:
        """See `Accounts`."""
        return await self._toggle("star", name, repository)

    async def toggle_bookmark(self, name: str, repository: Repository) -> bool:
        """See `Accounts`."""
        return await self._toggle("bookmark", name, repository)

    async def starred(self, name: str) -> Sequence[Repository]:
        """See `Accounts`."""
        return await self._marked("star", name)

    async def bookmarked(self, name: str) -> Sequence[Repository]:
        """See `Accounts`."""
        return await self._marked("bookmark", name)

    async def stars(self, repository: Repository) -> int:
        """See `Accounts`."""
        rows = await self._tables.read("SELECT count(*) FROM zot_accounts.star WHERE repository = $1", repository)
        return int(rows[0][0])

    async def star_counts(self) -> Mapping[Repository, int]:
        """See `Accounts`."""
        rows = await self._tables.read("SELECT repository, count(*) FROM zot_accounts.star GROUP BY repository")
        return {Repository(repository): count for repository, count in rows}

    async def close(self) -> None:
        """See `Accounts`."""
        await self._tables.close()

    async def _toggle(self, table: Literal["star", "bookmark"], name: str, repository: Repository) -> bool:
        async with self._tables.transaction() as connection:
            await connection.execute(_ENSURE_USER, name)
            # Concurrent toggles of a user wait for each other.
            await connection.execute("SELECT 1 FROM zot_accounts.users WHERE name = $1 FOR UPDATE", name)
            delete = f"DELETE FROM zot_accounts.{table} WHERE owner = $1 AND repository = $2 RETURNING 1"
            if await connection.fetch(delete, name, repository):
                return False
            insert = f"INSERT INTO zot_accounts.{table} VALUES ($1, $2)"
            await connection.execute(insert, name, repository)
            return True

    async def _marked(self, table: Literal["star", "bookmark"], name: str) -> list[Repository]:
        select = f"SELECT repository FROM zot_accounts.{table} WHERE owner = $1 ORDER BY repository"
        return [row[0] for row in await self._tables.read(select, name)]


def _user(name: str, groups: Sequence[str], service: bool, origin: str) -> User:
    return User(name, tuple(groups), service, origin)


def _key(key_id: str, owner: str, hashed: str, label: str, scopes: Sequence[str], *rest: Any) -> ApiKey:
    return ApiKey(key_id, owner, hashed, label, tuple(scopes), *rest)
