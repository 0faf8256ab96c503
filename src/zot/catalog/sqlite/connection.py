"""How connections to the database are set up, and what SQLite's errors mean to the catalog."""

from __future__ import annotations

from pathlib import Path

import apsw

from zot.catalog.interface import CatalogError, CatalogFullError, CatalogUnavailableError
from zot.foundation.sqlite_file import DAMAGE

WRITER_CACHE_KIB = 8 << 10
READER_CACHE_KIB = 4 << 10

# Readers only ever wait for the recovery of a database that no process had open.
_READER_PATIENCE_MS = 50
# The writer waits for readers when it restarts its log; they read one statement at a time.
_WRITER_PATIENCE_MS = 200
# The log is truncated to this when it restarts.
_LOG_KEPT_BYTES = 16 << 20

DAMAGED = "the catalog's database is damaged, and is being mended"

_PASSING = (apsw.BusyError, apsw.LockedError, apsw.CantOpenError, apsw.IOError, apsw.NoMemError)


def open_for_writing(path: Path, vfs: str | None = None, *, create: bool) -> apsw.Connection:
    """Open the database as its only writer, which alone checkpoints. `vfs` is a file system registered with apsw."""
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
    connection = apsw.Connection(str(path), flags=flags, vfs=vfs)
    connection.set_busy_timeout(_WRITER_PATIENCE_MS)
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    if create:
        connection.pragma("journal_mode", "wal")
    connection.pragma("journal_size_limit", _LOG_KEPT_BYTES)
    connection.pragma("foreign_keys", 1)
    connection.pragma("temp_store", "memory")
    connection.pragma("cache_size", -WRITER_CACHE_KIB)
    connection.pragma("synchronous", "full")
    return connection


def open_for_reading(path: Path) -> apsw.Connection:
    """Open the database so that it cannot be changed."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    connection.set_busy_timeout(_READER_PATIENCE_MS)
    connection.pragma("temp_store", "memory")
    connection.pragma("cache_size", -READER_CACHE_KIB)
    return connection


def translated(error: apsw.Error) -> CatalogError:
    """Return the catalog's error for one of SQLite's."""
    if isinstance(error, apsw.FullError):
        return CatalogFullError(f"no room for the catalog's database: {error}")
    if isinstance(error, DAMAGE):
        return CatalogUnavailableError(f"{DAMAGED}: {error}")
    if isinstance(error, _PASSING):
        return CatalogUnavailableError(f"the catalog's database cannot be used now: {error}")
    return CatalogError(f"the catalog's database failed: {error}")
