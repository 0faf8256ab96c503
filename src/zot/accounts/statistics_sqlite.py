"""Statistics in an SQLite file, `activity.db`: each process of a server adds to it once a second."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from zot.accounts.sqlite import READ_PATIENCE_MS, WRITE_PATIENCE_MS, Threads
from zot.accounts.statistics import FLUSH_S, Counted, Statistic, StatisticsUnavailable
from zot.oci.digest import Digest
from zot.oci.names import Repository

ACTIVITY_FILE = "activity.db"

# "zota": what tells our database from anybody's.
_APPLICATION_ID = 0x7A6F7461

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

MIGRATIONS = (_FIRST,)
"""Scripts that lead from each version to the next; what was released is never edited."""

# The same as `Statistic.merged`.
_ADD = """
INSERT INTO statistic VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
  pulls = pulls + excluded.pulls,
  pulled_s = max(coalesce(pulled_s, excluded.pulled_s), coalesce(excluded.pulled_s, pulled_s)),
  pushed_by = iif(pushed_s IS NULL, excluded.pushed_by, pushed_by),
  pushed_s = coalesce(pushed_s, excluded.pushed_s)
"""
_SELECT = "SELECT digest, pulls, pulled_s, pushed_s, pushed_by FROM statistic WHERE repository = ?"


class SqliteStatistics:
    """Statistics in a file; the laws are those of `StatisticsStore`. Reads are done on the event loop."""

    def __init__(self, path: Path, threads: Threads) -> None:
        """Open the file, making it if it is not there. Raises StatisticsUnavailable if it cannot be used."""
        self._threads = threads
        with _translated():
            self._writing = _connect(path, WRITE_PATIENCE_MS)
            _migrate(self._writing, path)
            self._reading = _connect(path, READ_PATIENCE_MS)
        path.chmod(0o600)

    async def add(self, counted: Counted) -> None:
        """See `StatisticsStore`."""
        rows = [
            (repository, digest, each.pulls, each.pulled_s, each.pushed_s, each.pushed_by)
            for (repository, digest), each in counted.items()
        ]
        await self._threads.run(self._change, _ADD, rows)

    async def of(self, repository: Repository, digest: Digest) -> Statistic | None:
        """See `StatisticsStore`."""
        rows = self._rows(f"{_SELECT} AND digest = ?", (repository, digest))
        return Statistic(*rows[0]) if rows else None

    async def of_repository(self, repository: Repository, after: str, limit: int) -> Sequence[Statistic]:
        """See `StatisticsStore`."""
        rows = self._rows(f"{_SELECT} AND digest > ? ORDER BY digest LIMIT ?", (repository, after, limit))
        return [Statistic(*row) for row in rows]

    async def settled(self) -> None:
        """See `StatisticsStore`."""
        await asyncio.sleep(2 * FLUSH_S)

    async def forget(self, repository: Repository, digest: Digest | None = None) -> None:
        """See `StatisticsStore`."""
        await self._threads.run(
            self._change,
            "DELETE FROM statistic WHERE repository = ? AND digest = coalesce(?, digest)",
            [(repository, digest)],
        )

    async def close(self) -> None:
        """See `StatisticsStore`."""
        await self._threads.run(self._close)

    def _close(self) -> None:
        self._reading.close()
        self._writing.close()

    def _rows(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with _translated():
            return self._reading.execute(statement, values).fetchall()

    def _change(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        with _translated():
            self._writing.execute("BEGIN IMMEDIATE")
            try:
                self._writing.executemany(statement, rows)
                self._writing.execute("COMMIT")
            except BaseException:
                if self._writing.in_transaction:
                    self._writing.execute("ROLLBACK")
                raise


def _connect(path: Path, patience_ms: int) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(patience_ms)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "normal")
    return connection


def _migrate(connection: apsw.Connection, path: Path) -> None:
    application: int = connection.pragma("application_id")
    if application not in (0, _APPLICATION_ID):
        raise StatisticsUnavailable(f"{path} is a database of another program")
    connection.execute("BEGIN IMMEDIATE")
    version: int = connection.pragma("user_version")
    if version > len(MIGRATIONS):
        connection.execute("ROLLBACK")
        raise StatisticsUnavailable(f"{path} was written by a newer zot (schema {version}): start that version")
    for script in MIGRATIONS[version:]:
        connection.execute(script)
    connection.pragma("application_id", _APPLICATION_ID)
    connection.pragma("user_version", len(MIGRATIONS))
    connection.execute("COMMIT")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        raise StatisticsUnavailable(f"the database of statistics cannot be used: {error}") from error
