"""SQLite files that every process of a server reads and writes directly.

Their changes are rare, or small: writers of several processes wait for each other, without a writer process between
them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple, ParamSpec, Protocol, TypeVar

import apsw

P = ParamSpec("P")
T = TypeVar("T")

Statement = tuple[str, tuple[Any, ...]]
"""SQL, and the values for it."""

_WRITE_PATIENCE_MS = 5000
_READ_PATIENCE_MS = 50
_RETRY_S = 0.01


class Threads(Protocol):
    """Where what waits for the disk runs."""

    async def run(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the job in a thread."""


class Kind(NamedTuple):
    """What is in a file, how much a power loss may take of it, and what it means that it cannot be used."""

    name: str
    application_id: int
    """What tells it from anybody's."""
    migrations: tuple[str, ...]
    """Scripts that lead from each version to the next; what was released is never edited."""
    synchronous: Literal["full", "normal"]
    """`full`: a change that was made is on the disk; `normal`: a power loss may take the last ones."""
    unavailable: type[Exception]


class SqliteFile:
    """An open file, with a connection to read by and another to write by. All of it raises the kind's error."""

    def __init__(self, path: Path, kind: Kind, threads: Threads) -> None:
        """Open the file, making it (mode 0600) if it is not there, and bring it to the present version."""
        self._kind = kind
        self._threads = threads
        # Before SQLite makes it: its log takes the mode of the database.
        with suppress(OSError):
            path.touch(mode=0o600)
        with self._translated():
            self._writing = _connect(path, _WRITE_PATIENCE_MS, kind)
            _migrate(self._writing, path, kind)
            self._reading = _connect(path, _READ_PATIENCE_MS, kind)

    def read(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """Return the rows of a point read, or of a page, on the event loop."""
        with self._translated():
            return self._reading.execute(statement, values).fetchall()

    async def change(self, statements: Sequence[Statement]) -> bool:
        """Run statements with their values in one transaction; tell whether the last one changed anything."""
        return await self._threads.run(self._transact, statements)

    async def close(self) -> None:
        """Let go of the file."""
        await self._threads.run(self._close)

    def _close(self) -> None:
        self._reading.close()
        self._writing.close()

    def _transact(self, statements: Sequence[Statement]) -> bool:
        with self._translated():
            # Immediate: two that begin by reading would not be able to wait for each other.
            self._writing.execute("BEGIN IMMEDIATE")
            try:
                for statement, values in statements:
                    self._writing.execute(statement, values)
                changed = self._writing.changes() > 0
                self._writing.execute("COMMIT")
            except BaseException:
                if self._writing.in_transaction:
                    self._writing.execute("ROLLBACK")
                raise
        return changed

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except apsw.Error as error:
            raise self._kind.unavailable(f"the database of {self._kind.name} cannot be used: {error}") from error


def set_aside_if_damaged(path: Path) -> Path | None:
    """Rename a file that is no database, or a damaged one, and return where it is; None: it is fit, or not there.

    One that was set aside before makes room. For a time at which nobody has it open. Raises OSError.
    """
    if not path.exists():
        return None
    try:
        with closing(apsw.Connection(str(path))) as connection:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    except (apsw.NotADBError, apsw.CorruptError):
        kept = path.with_name(f"{path.name}.damaged")
        # Its log goes first: no other database shall ever find it beside itself.
        for suffix in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                path.with_name(f"{path.name}{suffix}").rename(f"{kept}{suffix}")
        return kept
    return None


def _connect(path: Path, patience_ms: int, kind: Kind) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(_WRITE_PATIENCE_MS)
    _begin_log(connection)
    connection.pragma("synchronous", kind.synchronous)
    connection.pragma("foreign_keys", 1)
    connection.set_busy_timeout(patience_ms)
    return connection


def _begin_log(connection: apsw.Connection) -> None:
    """Have the file written through a log. Of several processes that make it at once SQLite lets all but one fail.

    It does so without waiting, as none of them could go on while all wait for each other.
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


def _migrate(connection: apsw.Connection, path: Path, kind: Kind) -> None:
    application: int = connection.pragma("application_id")
    if application not in (0, kind.application_id):
        raise kind.unavailable(f"{path} is a database of another program")
    connection.execute("BEGIN IMMEDIATE")
    version: int = connection.pragma("user_version")
    if version > len(kind.migrations):
        connection.execute("ROLLBACK")
        raise kind.unavailable(f"{path} was written by a newer zot (schema {version}): start that version")
    for script in kind.migrations[version:]:
        connection.execute(script)
    connection.pragma("application_id", kind.application_id)
    connection.pragma("user_version", len(kind.migrations))
    connection.execute("COMMIT")
