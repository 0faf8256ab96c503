"""SQLite files that every process of a server reads and writes directly.

For rare or small changes: writers of several processes wait for each other, without a writer process.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

import apsw

from zot.foundation.sqlite_schema import SchemaMismatchError, SqliteSchema, immediate
from zot.foundation.threads import ThreadPool

Statement = tuple[str, tuple[Any, ...]]
"""SQL and its values."""

_WRITE_PATIENCE_MS = 5000
_READ_PATIENCE_MS = 50
_RETRY_S = 0.01
_REOPEN_S = 1.0

DAMAGE = (apsw.NotADBError, apsw.CorruptError)
"""Errors of a file that is not a database, or a damaged one."""

_log = logging.getLogger(__name__)


class FileKind(NamedTuple):
    """The schema of a file, its durability, and the error of a file that cannot be used."""

    name: str
    schema: SqliteSchema
    synchronous: Literal["full", "normal"]
    """`full`: changes are durable; `normal`: a power loss may take the last ones."""
    unavailable: type[Exception]
    remedy: str = ""
    """What an operator can do about a damaged file."""


class SqliteFile:
    """An open file with one connection for reads and one for writes. Every method raises the kind's error.

    A file that cannot be opened (it is damaged, its disk is full or missing) is opened again by later calls, at most
    once a second, so that the process can do everything that does not need it.
    """

    def __init__(self, path: Path, kind: FileKind, threads: ThreadPool) -> None:
        """Open the file, create it (mode 0600) if it is missing, and migrate it to the current version.

        Raises the kind's error if it is a database of another program, or of a newer one.
        """
        self._path = path
        self._kind = kind
        self._threads = threads
        self._connections: tuple[apsw.Connection, apsw.Connection] | None = None
        self._reason = ""
        self._not_before_s = 0.0
        with suppress(apsw.Error):  # logged, and retried by later calls
            self._open()

    def read(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """Return the rows of a point read, or of a page, on the event loop."""
        with self._translated():
            _, reading = self._connections or self._open()
            return reading.execute(statement, values).fetchall()

    async def change(self, statements: Sequence[Statement]) -> bool:
        """Run statements with their values in one transaction; return whether the last one changed anything."""
        return await self._threads.run(self._transact, statements)

    async def close(self) -> None:
        """Close the file."""
        await self._threads.run(self._close)

    def _open(self) -> tuple[apsw.Connection, apsw.Connection]:
        """Open both connections. Raises apsw.Error, and the kind's error as the constructor does."""
        if time.monotonic() < self._not_before_s:
            raise apsw.CantOpenError(self._reason)
        # Before SQLite creates it, since SQLite gives its log the mode of the database.
        with suppress(OSError):
            self._path.touch(mode=0o600)
        try:
            with ExitStack() as opened:
                writing = opened.enter_context(closing(_connect(self._path, _WRITE_PATIENCE_MS, self._kind)))
                self._kind.schema.migrate(writing, self._path)
                reading = _connect(self._path, _READ_PATIENCE_MS, self._kind)
                opened.pop_all()
        except apsw.Error as error:
            self._log_reason(error)
            self._not_before_s = time.monotonic() + _REOPEN_S
            raise
        except SchemaMismatchError as error:
            raise self._kind.unavailable(str(error)) from error
        self._connections = writing, reading
        return self._connections

    def _log_reason(self, error: apsw.Error) -> None:
        """Log why the file cannot be used, once for each reason."""
        remedy = f": {self._kind.remedy}" if isinstance(error, DAMAGE) and self._kind.remedy else ""
        reason = f"{self._path} cannot be used: {error}{remedy}"
        if reason != self._reason:
            _log.error("the database of %s %s", self._kind.name, reason)
        self._reason = reason

    def _close(self) -> None:
        connections, self._connections = self._connections, None
        for each in connections or ():
            each.close()

    def _transact(self, statements: Sequence[Statement]) -> bool:
        with self._translated():
            writing, _ = self._connections or self._open()
            with immediate(writing):
                for statement, values in statements:
                    writing.execute(statement, values)
                changed = writing.changes() > 0
        return changed

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except apsw.Error as error:
            if isinstance(error, DAMAGE):
                self._log_reason(error)
            raise self._kind.unavailable(f"the database of {self._kind.name} cannot be used: {error}") from error


def is_damaged(path: Path) -> bool:
    """Return whether a file exists and its first pages are not those of an SQLite database."""
    if not path.exists():
        return False
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    except DAMAGE:
        return True
    except apsw.Error:  # in use, or the disk is full
        return False
    return False


def set_aside_if_damaged(path: Path) -> Path | None:
    """Rename a damaged file and return its new path; return None if it is intact or missing.

    A file that was set aside before is replaced. Call it while no process has the file open. Raises OSError.
    """
    if not is_damaged(path):
        return None
    kept = path.with_name(f"{path.name}.damaged")
    # The log is renamed first, so that no other database finds it beside itself.
    for suffix in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            path.with_name(f"{path.name}{suffix}").rename(f"{kept}{suffix}")
    return kept


def _connect(path: Path, patience_ms: int, kind: FileKind) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(_WRITE_PATIENCE_MS)
    begin_log(connection)
    connection.pragma("synchronous", kind.synchronous)
    connection.pragma("foreign_keys", 1)
    connection.set_busy_timeout(patience_ms)
    return connection


def begin_log(connection: apsw.Connection) -> None:
    """Switch the file to a write-ahead log, and retry while other processes do the same.

    SQLite fails all but one of them at once, since none could continue while all wait for each other.
    """
    deadline_s = time.monotonic() + _WRITE_PATIENCE_MS / 1000
    while True:
        try:
            connection.pragma("journal_mode", "wal")
        except apsw.BusyError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(_RETRY_S)
        else:
            return
