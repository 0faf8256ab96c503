"""The file of the lists, `layers.db`: any process may ask for a list, one makes them, all read them.

Nothing in it exists nowhere else: it is opened for each question, and removed when it cannot be used, so that it is
made again. No process keeps it open.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec

from zot.extensions.layers.interface import (
    IMPLIED_MODE,
    LayerFile,
    LayerFileKind,
    LayerList,
    LayersUnavailableError,
    ListStatus,
)
from zot.foundation.sqlite_file import DAMAGE, begin_log
from zot.foundation.sqlite_schema import SchemaMismatchError, SqliteSchema, immediate
from zot.foundation.wake_pipe import wake
from zot.oci.digest import Digest
from zot.oci.names import Repository

WAITING_LIMIT = 1000
"""Lists that wait to be made; beyond it no more are taken."""

_PATIENCE_MS = 5000
_USED_S = 600
"""How exactly it is recorded when a list was used last."""

SCHEMA = SqliteSchema(
    0x7A6F746C,  # `zotl`
    (
        """
CREATE TABLE list (
  id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again
  digest TEXT NOT NULL UNIQUE,
  repository TEXT NOT NULL,       -- where its bytes are read
  status INTEGER NOT NULL,        -- `ListStatus`
  compression TEXT NOT NULL DEFAULT '',
  files INTEGER NOT NULL DEFAULT 0,
  size INTEGER NOT NULL DEFAULT 0,
  note TEXT NOT NULL DEFAULT '',
  used_s INTEGER NOT NULL
) STRICT;
CREATE INDEX list_by_status ON list (status, id);

-- The files of a directory follow each other, in the order of their names.
CREATE TABLE file (
  list INTEGER NOT NULL,
  depth INTEGER NOT NULL,         -- names of the path
  path BLOB NOT NULL,
  hides INTEGER NOT NULL,         -- 0: a file, 1: a whiteout of the path, 2: of what is below it
  kind INTEGER NOT NULL,          -- `LayerFileKind`
  size INTEGER NOT NULL,
  mode INTEGER NOT NULL,
  uid INTEGER NOT NULL,
  gid INTEGER NOT NULL,
  user BLOB NOT NULL,
  "group" BLOB NOT NULL,
  modified_s INTEGER NOT NULL,
  target BLOB NOT NULL,
  "offset" INTEGER,
  sha256 BLOB NOT NULL,
  PRIMARY KEY (list, depth, path, hides)
) STRICT, WITHOUT ROWID;
""",
    ),
)

# The fields of `LayerFile`, in their order.
FILE_COLUMNS = 'path, kind, size, mode, uid, gid, user, "group", modified_s, target, "offset", sha256'

_log = logging.getLogger("zot.layers")


class WantedList(NamedTuple):
    """A list that has to be made."""

    id: int
    digest: Digest
    repository: Repository


def depth_of(path: bytes) -> int:
    """Return how many names a path has."""
    return path.count(b"/") + 1 if path else 0


def file_of(row: Sequence[Any]) -> LayerFile:
    """Return the file of a row of `FILE_COLUMNS`."""
    path, kind, *rest = row
    return LayerFile(path, LayerFileKind(kind), *rest)


def demand_pipe(path: Path) -> Path:
    """Return the pipe that wakes the process that makes the lists of a file."""
    return path.with_name(f"{path.name}.wanted")


class ListsDatabase:
    """The lists. Every method blocks, and raises LayersUnavailableError."""

    def __init__(self, path: Path) -> None:
        """Use a file, which need not exist."""
        self._path = path

    @contextmanager
    def connected(self) -> Iterator[apsw.Connection]:
        """Open the file during the block; a damaged one, or one of another version, is replaced for the next call."""
        try:
            with closing(self._open()) as connection:
                yield connection
        except (*DAMAGE, SchemaMismatchError) as error:
            _log.warning("the file lists of layers cannot be used and are made again: %s", error)
            try:
                self._remove()
            except OSError as kept:
                raise LayersUnavailableError(f"the file lists of layers cannot be removed: {kept}") from kept
            raise LayersUnavailableError(f"the file lists of layers are made again: {error}") from error
        except (apsw.Error, OSError) as error:
            raise LayersUnavailableError(f"the file lists of layers cannot be used: {error}") from error

    # --- questions ---

    def lists(self, repository: Repository, present: Sequence[Digest]) -> dict[Digest, LayerList]:
        """Return the state of the lists of layers that a repository has; ask for those that are not made."""
        now_s = int(time.time())
        with self.connected() as connection:
            found = {each: _list_of(connection, each, now_s) for each in present}
            missing = [digest for digest, each in found.items() if each is None]
            if missing:
                with immediate(connection):
                    ((waiting,),) = connection.execute(
                        "SELECT count(*) FROM list WHERE status = ?", (ListStatus.WAITING,)
                    )
                    if waiting + len(missing) > WAITING_LIMIT:
                        raise LayersUnavailableError("too many file lists are waiting to be made")
                    connection.executemany(
                        "INSERT INTO list (digest, repository, status, used_s) VALUES (?, ?, ?, ?) "
                        "ON CONFLICT DO NOTHING",
                        [(digest, repository, ListStatus.WAITING, now_s) for digest in missing],
                    )
                self.demand()
        return {digest: each or LayerList(digest, ListStatus.WAITING) for digest, each in found.items()}

    def demand(self) -> None:
        """Wake the process that makes lists. Idempotent."""
        wake(demand_pipe(self._path))

    # --- making ---

    def exists(self) -> bool:
        """Return whether any list was asked for. It is cheap."""
        return self._path.exists()

    def next_wanted(self, taken: frozenset[int]) -> WantedList | None:
        """Return the list to be made next: the one that waits longest and is not taken."""
        with self.connected() as connection:
            rows = connection.execute(
                "SELECT id, digest, repository FROM list WHERE status = ? ORDER BY id", (ListStatus.WAITING,)
            )
            return next((WantedList(*row) for row in rows if row[0] not in taken), None)

    def clear(self, wanted: WantedList) -> None:
        """Remove the files of a list that was begun before."""
        with self.connected() as connection, immediate(connection):
            connection.execute("DELETE FROM file WHERE list = ?", (wanted.id,))

    def add(self, wanted: WantedList, files: Sequence[LayerFile]) -> None:
        """Add files to a list that is being made, in the order of the archive: the last one of a path counts."""
        with self.connected() as connection, immediate(connection):
            for file in files:
                hides = {LayerFileKind.WHITEOUT: 1, LayerFileKind.OPAQUE: 2}.get(file.kind, 0)
                how = "IGNORE" if file.mode == IMPLIED_MODE else "REPLACE"
                connection.execute(
                    f"INSERT OR {how} INTO file (list, depth, hides, {FILE_COLUMNS}) "  # noqa: S608 (constants)
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (wanted.id, depth_of(file.path), hides, *msgspec.structs.astuple(file)),
                )

    def end(self, wanted: WantedList, made: LayerList) -> None:
        """Record that a list is made, or why it cannot be; now it is read."""
        with self.connected() as connection, immediate(connection):
            ((files,),) = connection.execute("SELECT count(*) FROM file WHERE list = ?", (wanted.id,))
            connection.execute(
                "UPDATE list SET status = ?, compression = ?, files = ?, size = ?, note = ? WHERE id = ?",
                (made.status, made.compression, files, made.size, made.note, wanted.id),
            )

    def forget(self, wanted: WantedList) -> None:
        """Remove a list that could not be made for a reason that passes: the next question begins it again."""
        with self.connected() as connection, immediate(connection):
            connection.execute("DELETE FROM file WHERE list = ?", (wanted.id,))
            connection.execute("DELETE FROM list WHERE id = ?", (wanted.id,))

    def shrink(self, limit_bytes: int) -> int:
        """Remove the lists that were not used for longest while the file has more than so many bytes of rows.

        Return how many. The newest stays, whatever its size.
        """
        removed = 0
        with self.connected() as connection:
            while _used_bytes(connection) > limit_bytes:
                rows = connection.execute(
                    "SELECT id FROM list WHERE status <> ? ORDER BY used_s, id LIMIT 2", (ListStatus.WAITING,)
                ).fetchall()
                if len(rows) < 2:
                    break
                with immediate(connection):
                    connection.execute("DELETE FROM file WHERE list = ?", rows[0])
                    connection.execute("DELETE FROM list WHERE id = ?", rows[0])
                removed += 1
            connection.pragma("incremental_vacuum")
        return removed

    # --- the file ---

    def _open(self) -> apsw.Connection:
        # Before SQLite creates it, since SQLite gives its log the mode of the database.
        self._path.touch(mode=0o600)
        connection = apsw.Connection(str(self._path))
        try:
            connection.set_busy_timeout(_PATIENCE_MS)
            connection.pragma("auto_vacuum", 2)  # of a new file alone: what is removed makes it smaller
            begin_log(connection)
            connection.pragma("synchronous", "normal")
            SCHEMA.migrate(connection, self._path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _remove(self) -> None:
        # The log is removed first, so that no other database finds it beside itself.
        for suffix in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                self._path.with_name(f"{self._path.name}{suffix}").unlink()


def _list_of(connection: apsw.Connection, digest: Digest, now_s: int) -> LayerList | None:
    rows: list[Any] = connection.execute(
        "SELECT status, compression, files, size, note, used_s FROM list WHERE digest = ?", (digest,)
    ).fetchall()
    if not rows:
        return None
    ((status, compression, files, size, note, used_s),) = rows
    if abs(now_s - used_s) > _USED_S:
        connection.execute("UPDATE list SET used_s = ? WHERE digest = ?", (now_s, digest))
    return LayerList(digest, ListStatus(status), compression, files, size, note)


def _used_bytes(connection: apsw.Connection) -> int:
    pages: int = connection.pragma("page_count")
    free: int = connection.pragma("freelist_count")
    size: int = connection.pragma("page_size")
    return (pages - free) * size
