"""The file of the search index: written by one process, read by all, and made again whenever it cannot be used."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from zot.catalog.change_log import ChangeCursor
from zot.extensions.search.index.projection import Projection
from zot.extensions.search.index.schema import APPLICATION_ID, SCHEMA, VERSION, pack, unpack
from zot.extensions.search.index.source import Update
from zot.foundation.sqlite_file import DAMAGE
from zot.oci.digest import Digest
from zot.oci.names import Repository, Tag
from zot.statistics.interface import Statistic

_PATIENCE_MS = 5000
_WRITER_CACHE_KIB = 32 * 1024
_KEYS = 1000


class Filling(IntEnum):
    """How far the index is in reading the lists of the catalog."""

    DONE = 0
    RUNNING = 1
    DUE = 2


class IndexState(NamedTuple):
    """The row of `state`."""

    sequence: int
    at_ns: int
    filling: Filling
    filled_to: str
    done: int
    total: int
    importing: int
    names: int

    @property
    def cursor(self) -> ChangeCursor:
        """The last entry of the change log that is in the index."""
        return ChangeCursor(self.sequence, self.at_ns)

    @property
    def is_complete(self) -> bool:
        """Whether the index has all that the store has, but the latest changes."""
        return self.filling is Filling.DONE and not self.importing


def damage_marker(path: Path) -> Path:
    """Return the file by which a reader tells the writer that the index is damaged."""
    return path.with_name(f"{path.name}.damaged")


def read_state(connection: apsw.Connection) -> IndexState:
    """Return the state of the index."""
    ((sequence, at_ns, filling, *rest),) = connection.execute("SELECT * FROM state")
    return IndexState(sequence, at_ns, Filling(filling), *rest)


def demand_pipe(path: Path) -> Path:
    """Return the pipe by which a search that waits for the latest changes wakes the writer."""
    return path.with_name(f"{path.name}.wanted")


class IndexWriter:
    """The index, open for writing. Every method blocks, and raises apsw.Error; DAMAGE: `remake` it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: apsw.Connection | None = None
        self._inode = 0

    def open(self) -> IndexState:
        """Open the file, made again if it is missing, damaged or of another version; return its state."""
        self.close()
        if damage_marker(self._path).exists() or not _is_usable(self._path):
            self._remove()
        # Before SQLite creates it, since SQLite gives its log the mode of the database.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = apsw.Connection(str(self._path))
        connection.set_busy_timeout(_PATIENCE_MS)
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "normal")
        connection.pragma("cache_size", -_WRITER_CACHE_KIB)
        self._connection = connection
        self._inode = self._path.stat().st_ino
        if connection.pragma("application_id") == 0:
            with connection:
                connection.execute(SCHEMA)
                connection.pragma("application_id", APPLICATION_ID)
                connection.pragma("user_version", VERSION)
        return read_state(connection)

    def is_current(self) -> bool:
        """Tell whether the file is still in its place, and no reader has found it damaged. It is cheap."""
        try:
            return self._path.stat().st_ino == self._inode and not damage_marker(self._path).exists()
        except OSError:
            return False

    def remake(self) -> IndexState:
        """Replace the file by an empty index."""
        self.close()
        self._remove()
        return self.open()

    def close(self) -> None:
        """Close the file. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # --- what is known ---

    def unknown(self, digests: list[Digest]) -> set[Digest]:
        """Return those of some manifests whose content is not in the index, or not all of it."""
        return {
            digest
            for digest in digests
            if not self._db.execute("SELECT 1 FROM content WHERE digest = ? AND is_whole", (pack(digest),)).fetchall()
        }

    def incomplete(self, after: int) -> list[tuple[int, Repository, Digest]]:
        """Return contents that were missing, with a repository that has them, and ids greater than `after`."""
        rows = self._db.execute(
            "SELECT content.id, min(repository.name), content.digest FROM content "
            "JOIN manifest ON manifest.content = content.id JOIN repository ON repository.id = manifest.repository "
            "WHERE NOT is_whole AND content.id > ? GROUP BY content.id ORDER BY content.id LIMIT ?",
            (after, _KEYS),
        )
        return [(content, Repository(name), unpack(digest)) for content, name, digest in rows]

    def repositories(self, after: str) -> list[Repository]:
        """Return names of the index greater than `after`, a page of them."""
        rows = self._db.execute("SELECT name FROM repository WHERE name > ? ORDER BY name LIMIT ?", (after, _KEYS))
        return [Repository(name) for (name,) in rows]

    def manifests(self, repository: Repository, after: int) -> list[tuple[int, Digest]]:
        """Return ids greater than `after` and digests of a repository's manifests, a page of them."""
        rows = self._db.execute(
            "SELECT content.id, digest FROM manifest JOIN content ON content.id = content WHERE content > ? AND "
            "repository = (SELECT id FROM repository WHERE name = ?) ORDER BY content LIMIT ?",
            (after, repository, _KEYS),
        )
        return [(content, unpack(digest)) for content, digest in rows]

    def tags(self, repository: Repository, after: str) -> list[Tag]:
        """Return tags of a repository greater than `after`, those of signatures too, a page of them."""
        rows = self._db.execute(
            "SELECT tag FROM (SELECT repository, tag FROM image UNION ALL SELECT repository, tag FROM attached) "
            "WHERE repository = (SELECT id FROM repository WHERE name = ?) AND tag > ? ORDER BY tag LIMIT ?",
            (repository, after, _KEYS),
        )
        return [Tag(tag) for (tag,) in rows]

    # --- changes: each is one transaction ---

    def apply(self, update: Update, cursor: ChangeCursor | None = None) -> None:
        """Write an update; with a cursor, the index has all changes up to it from then on."""
        with self._db:
            Projection(self._db).apply(update)
            if cursor is not None:
                self._db.execute("UPDATE state SET sequence = ?, at_ns = ?", (cursor.sequence, cursor.at_ns))

    def begin_filling(self, cursor: ChangeCursor, total: int) -> None:
        """Record that the lists are read from now on, and the entry of the log after which reading goes on."""
        self._set_filling(Filling.RUNNING, "", 0, total, cursor)

    def filled(self, to: str, done: int, total: int) -> None:
        """Record that the repositories up to a name have been read."""
        self._set_filling(Filling.RUNNING, to, done, total)

    def end_filling(self, imported: bool) -> None:
        """Record that all lists have been read, and whether they had all layouts of the store."""
        with self._db:
            self._db.execute("UPDATE state SET filling = ?, importing = importing AND ?", (Filling.DONE, not imported))

    def end_importing(self) -> None:
        """Record that the index has all layouts that the store had."""
        with self._db:
            self._db.execute("UPDATE state SET importing = 0")

    def _set_filling(
        self, filling: Filling, to: str, done: int, total: int, cursor: ChangeCursor | None = None
    ) -> None:
        with self._db:
            self._db.execute(
                "UPDATE state SET filling = ?, filled_to = ?, done = ?, total = ?", (filling, to, done, total)
            )
            if cursor is not None:
                self._db.execute("UPDATE state SET sequence = ?, at_ns = ?", (cursor.sequence, cursor.at_ns))

    def count_pulls(self, statistics: list[tuple[Repository, Statistic]]) -> None:
        """Write how often manifests were pulled, for the order by downloads. Unknown manifests are left out."""
        with self._db:
            for name, each in statistics:
                rows: list[Any] = self._db.execute(
                    "SELECT repository, content, downloads FROM manifest "
                    "WHERE repository = (SELECT id FROM repository WHERE name = ?) "
                    "AND content = (SELECT id FROM content WHERE digest = ?)",
                    (name, pack(each.digest)),
                ).fetchall()
                for repository, content, before in rows:
                    if before != each.pulls:
                        self._put_downloads(repository, content, before, each.pulls)

    def _put_downloads(self, repository: int, content: int, before: int, pulls: int) -> None:
        for table in ("manifest", "image"):
            self._db.execute(
                f"UPDATE {table} SET downloads = ? WHERE repository = ? AND content = ?",  # noqa: S608 (a constant)
                (pulls, repository, content),
            )
        self._db.execute("UPDATE repository SET downloads = downloads + ? WHERE id = ?", (pulls - before, repository))

    @property
    def _db(self) -> apsw.Connection:
        assert self._connection is not None, "it is open"
        return self._connection

    def _remove(self) -> None:
        # The log is removed first, so that no other database finds it beside itself.
        for suffix in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                self._path.with_name(f"{self._path.name}{suffix}").unlink()
        with suppress(FileNotFoundError):
            damage_marker(self._path).unlink()


def _is_usable(path: Path) -> bool:
    """Tell whether a file is an index of this version. Raises apsw.Error if it cannot be told.

    A missing one is not: its log may have been left behind, and is of no other.
    """
    if not path.exists() or path.stat().st_size == 0:
        return False
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)) as connection:
            connection.set_busy_timeout(_PATIENCE_MS)
            found = (connection.pragma("application_id"), connection.pragma("user_version"))
    except DAMAGE:
        return False
    return found == (APPLICATION_ID, VERSION)
