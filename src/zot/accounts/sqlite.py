"""Accounts in an SQLite file, `identity.db`, which every process of a server reads and writes directly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from zot.accounts.interface import AccountsUnavailableError, ApiKey, KeyedUser, User, login_changes
from zot.foundation.sqlite_file import FileKind, SqliteFile
from zot.foundation.sqlite_schema import SqliteSchema
from zot.foundation.threads import ThreadPool
from zot.oci.names import Repository

_FIRST = """
CREATE TABLE user (name TEXT PRIMARY KEY, groups TEXT NOT NULL, service INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE api_key (
  hash TEXT PRIMARY KEY,
  id TEXT NOT NULL,
  owner TEXT NOT NULL REFERENCES user ON DELETE CASCADE,
  label TEXT NOT NULL,
  scopes TEXT NOT NULL,
  created_s REAL NOT NULL,
  expires_s REAL,
  last_used_s REAL,
  creator_agent TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX api_key_owner ON api_key (owner, created_s, id);
CREATE TABLE star (
  owner TEXT NOT NULL REFERENCES user ON DELETE CASCADE,
  repository TEXT NOT NULL,
  PRIMARY KEY (owner, repository)
) STRICT, WITHOUT ROWID;
CREATE INDEX star_repository ON star (repository);
CREATE TABLE bookmark (
  owner TEXT NOT NULL REFERENCES user ON DELETE CASCADE,
  repository TEXT NOT NULL,
  PRIMARY KEY (owner, repository)
) STRICT, WITHOUT ROWID;
"""

_SECOND = """
ALTER TABLE user ADD COLUMN origin TEXT NOT NULL DEFAULT '';
"""

REMEDY = (
    "restore it from a backup, or move it away with its -wal and -shm to begin without API keys, groups, stars and"
    " bookmarks"
)
"""What to do about a damaged file."""

# "zoti"
SCHEMA = SqliteSchema(0x7A6F7469, (_FIRST, _SECOND))
_KIND = FileKind("accounts", SCHEMA, "full", AccountsUnavailableError, REMEDY)

_KEY = "SELECT hash, id, owner, label, scopes, created_s, expires_s, last_used_s, creator_agent FROM api_key"


class SqliteAccounts:
    """`Accounts` in a file. Reads run on the event loop."""

    def __init__(self, path: Path, threads: ThreadPool, awaited: Callable[[], bool] = lambda: False) -> None:
        """Open the file, and create it if it is missing.

        While `awaited` returns True, an unknown API key may still be imported from another program's store. Raises
        AccountsUnavailableError if the file is of another program, or of a newer version.
        """
        self._file = SqliteFile(path, _KIND, threads)
        self._awaited = awaited

    async def record_login(self, name: str, groups: Sequence[str], origin: str = "") -> None:
        """See `Accounts`."""
        if login_changes(await self.user(name), groups, origin):
            await self._write(
                "INSERT INTO user (name, groups, service, origin) VALUES (?1, ?2, 0, ?3) ON CONFLICT DO UPDATE"
                " SET groups = ?2, origin = iif(?3 = '', origin, ?3) WHERE NOT service",
                (name, _encode(sorted(groups)), origin),
            )

    async def user(self, name: str) -> User | None:
        """See `Accounts`."""
        rows = self._file.read("SELECT name, groups, service, origin FROM user WHERE name = ?", (name,))
        return _user(rows[0]) if rows else None

    async def users(self, after: str, limit: int) -> Sequence[User]:
        """See `Accounts`."""
        rows = self._file.read(
            "SELECT name, groups, service, origin FROM user WHERE name > ? ORDER BY name LIMIT ?", (after, limit)
        )
        return list(map(_user, rows))

    async def create_service(self, name: str, groups: Sequence[str]) -> bool:
        """See `Accounts`."""
        return await self._write(
            "INSERT INTO user (name, groups, service) VALUES (?, ?, 1)"
            " ON CONFLICT DO UPDATE SET groups = excluded.groups WHERE service",
            (name, _encode(sorted(groups))),
        )

    async def delete_user(self, name: str) -> bool:
        """See `Accounts`."""
        return await self._write("DELETE FROM user WHERE name = ?", (name,))

    async def add_key(self, key: ApiKey) -> None:
        """See `Accounts`."""
        row = (
            key.hash,
            key.id,
            key.owner,
            key.label,
            _encode(key.scopes),
            key.created_s,
            key.expires_s,
            key.last_used_s,
            key.creator_agent,
        )
        await self._with_user(key.owner, "INSERT INTO api_key VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    async def key(self, hashed: str) -> KeyedUser | None:
        """See `Accounts`."""
        # Called first, so that a key imported between the two calls is found.
        awaited = self._awaited()
        rows = self._file.read(f"{_KEY} WHERE hash = ?", (hashed,))
        if not rows and awaited:
            raise AccountsUnavailableError("the accounts are still being imported")
        user = await self.user(rows[0][2]) if rows else None
        return KeyedUser(_key(rows[0]), user) if user is not None else None

    async def keys(self, owner: str) -> Sequence[ApiKey]:
        """See `Accounts`."""
        return list(map(_key, self._file.read(f"{_KEY} WHERE owner = ? ORDER BY created_s, id", (owner,))))

    async def delete_key(self, owner: str, key_id: str) -> bool:
        """See `Accounts`."""
        return await self._write("DELETE FROM api_key WHERE owner = ? AND id = ?", (owner, key_id))

    async def key_used(self, hashed: str, when_s: float) -> None:
        """See `Accounts`."""
        await self._write("UPDATE api_key SET last_used_s = ? WHERE hash = ?", (when_s, hashed))

    async def toggle_star(self, name: str, repository: Repository) -> bool:
        """See `Accounts`."""
        return await self._toggle("star", name, repository)

    async def toggle_bookmark(self, name: str, repository: Repository) -> bool:
        """See `Accounts`."""
        return await self._toggle("bookmark", name, repository)

    async def starred(self, name: str) -> Sequence[Repository]:
        """See `Accounts`."""
        rows = self._file.read("SELECT repository FROM star WHERE owner = ? ORDER BY repository", (name,))
        return [row[0] for row in rows]

    async def bookmarked(self, name: str) -> Sequence[Repository]:
        """See `Accounts`."""
        rows = self._file.read("SELECT repository FROM bookmark WHERE owner = ? ORDER BY repository", (name,))
        return [row[0] for row in rows]

    async def stars(self, repository: Repository) -> int:
        """See `Accounts`."""
        return int(self._file.read("SELECT count(*) FROM star WHERE repository = ?", (repository,))[0][0])

    async def star_counts(self) -> Mapping[Repository, int]:
        """See `Accounts`."""
        return {
            Repository(repository): int(count)
            for repository, count in self._file.read("SELECT repository, count(*) FROM star GROUP BY repository", ())
        }

    async def close(self) -> None:
        """See `Accounts`."""
        await self._file.close()

    async def _write(self, statement: str, values: tuple[Any, ...]) -> bool:
        """Run one statement in a separate transaction; return whether it changed anything."""
        return await self._file.change([(statement, values)])

    async def _with_user(self, name: str, statement: str, values: tuple[Any, ...]) -> bool:
        """Run one statement after creating the user if there is none."""
        user = ("INSERT INTO user (name, groups, service) VALUES (?, '[]', 0) ON CONFLICT DO NOTHING", (name,))
        return await self._file.change([user, (statement, values)])

    async def _toggle(self, table: str, name: str, repository: Repository) -> bool:
        # If the insert changes nothing, the row exists and is deleted.
        inserted = await self._with_user(
            name,
            f"INSERT INTO {table} VALUES (?, ?) ON CONFLICT DO NOTHING",  # noqa: S608 - one of two names above
            (name, repository),
        )
        if not inserted:
            await self._write(
                f"DELETE FROM {table} WHERE owner = ? AND repository = ?",  # noqa: S608 - one of two names above
                (name, repository),
            )
        return inserted


def _user(row: tuple[Any, ...]) -> User:
    name, groups, service, origin = row
    return User(name, tuple(msgspec.json.decode(groups, type=list[str])), bool(service), origin)


def _key(row: tuple[Any, ...]) -> ApiKey:
    hashed, key_id, owner, label, scopes, *rest = row
    return ApiKey(key_id, owner, hashed, label, tuple(msgspec.json.decode(scopes, type=list[str])), *rest)


def _encode(texts: Sequence[str]) -> str:
    return msgspec.json.encode(list(texts)).decode()
