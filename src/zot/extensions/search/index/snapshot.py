"""Reading the index: each block sees one state of it, with what a principal may read as a table.

Connections are kept for the next block. They are closed with the reader, at the latest when nothing refers to it.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw
import msgspec

from zot.extensions.search.index.database import IndexState, damage_marker, demand_pipe, read_state
from zot.extensions.search.index.schema import APPLICATION_ID, VERSION
from zot.extensions.search.interface import SearchUnavailableError, Visible
from zot.foundation.sqlite_file import DAMAGE
from zot.foundation.wake_pipe import wake
from zot.oci.names import Repository

_PATIENCE_MS = 1000
_CACHE_KIB = 8 * 1024
_IDLE_LIMIT = 4
"""Connections that are kept open while no block uses them."""
_VISIBLE_LIMIT = 16
"""Tables of visible repositories that a connection remembers: one for each principal that searched last."""

_log = logging.getLogger("zot.search")


class Snapshot:
    """The index at one moment."""

    def __init__(self, connection: _ReadConnection, state: IndexState) -> None:
        self._connection = connection
        self.state = state

    def rows(self, statement: str, *values: Any) -> list[Any]:
        """Return the rows of a query."""
        return self._connection.database.execute(statement, values).fetchall()

    def among(self, column: str, visible: Visible) -> str:
        """Return the condition that a column has the number of a visible repository."""
        if visible is None:
            return "TRUE"
        return f"{column} IN {self._connection.visible_table(visible, self.state.names)}"

    def repository(self, visible: Visible, name: Repository) -> int | None:
        """Return the number of a repository, None if it is hidden or missing."""
        if visible is not None and name not in visible:
            return None
        rows = self.rows("SELECT id FROM repository WHERE name = ?", name)
        return rows[0][0] if rows else None


class SnapshotReader:
    """Reads the index. Its methods block; threads may call them at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[_ReadConnection] = []

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Read one state of the index during the block. Raises SearchUnavailableError, in the block too."""
        connection: _ReadConnection | None = None
        try:
            connection = self._connected()
            connection.database.execute("BEGIN")
            yield Snapshot(connection, read_state(connection.database))
            connection.database.execute("COMMIT")  # which keeps the tables of visible repositories
        except (apsw.Error, OSError) as error:
            if isinstance(error, DAMAGE):
                self._report_damage(error)
            raise SearchUnavailableError(f"the search index cannot be read: {error}") from error
        else:
            if len(self._idle) < _IDLE_LIMIT:
                self._idle.append(connection)

    def demand(self) -> None:
        """Tell the writer that a search waits for the latest changes."""
        wake(demand_pipe(self._path))

    def _connected(self) -> _ReadConnection:
        """Return a connection to the file that is there now: the writer may have replaced it."""
        inode = self._path.stat().st_ino
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return _ReadConnection(self._path, inode)
            if connection.inode == inode:
                return connection
            connection.database.close()

    def _report_damage(self, error: apsw.Error) -> None:
        """Let the writer make the index again."""
        marker = damage_marker(self._path)
        if not marker.exists():
            _log.warning("the search index is damaged and is made again: %s", error)
        with suppress(OSError):
            marker.touch(mode=0o600)
        self.demand()


class _ReadConnection:
    def __init__(self, path: Path, inode: int) -> None:
        self.inode = inode
        self.database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        self.database.set_busy_timeout(_PATIENCE_MS)
        found = (self.database.pragma("application_id"), self.database.pragma("user_version"))
        if found != (APPLICATION_ID, VERSION):
            raise apsw.CantOpenError("it is being made")
        self.database.pragma("temp_store", "memory")
        self.database.pragma("cache_size", -_CACHE_KIB)
        self._visible: OrderedDict[frozenset[Repository], tuple[str, int]] = OrderedDict()
        self._tables = 0

    def visible_table(self, visible: frozenset[Repository], names: int) -> str:
        """Return the table of the numbers of visible repositories, made again if the repositories have changed."""
        known = self._visible.get(visible)
        if known is not None and known[1] == names:
            self._visible.move_to_end(visible)
            return known[0]
        if known is not None:
            self._drop(visible)
        while len(self._visible) >= _VISIBLE_LIMIT:
            self._drop(next(iter(self._visible)))
        self._tables += 1
        table = f"temp.visible_{self._tables}"
        self.database.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY)")
        self.database.execute(
            f"INSERT INTO {table} SELECT id FROM repository WHERE name IN (SELECT value FROM json_each(?))",  # noqa: S608
            (msgspec.json.encode(list(visible)).decode(),),
        )
        self._visible[visible] = (table, names)
        return table

    def _drop(self, visible: frozenset[Repository]) -> None:
        table, _ = self._visible.pop(visible)
        self.database.execute(f"DROP TABLE {table}")
