"""Opening the database: a start of the store makes it if need be, every later writer finds the same one or none.

A start writes the id of its boot into the database, which tells it from all others: from that of another disk, from an
older copy, and from an empty one that SQLite would make where nothing is.
"""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path

import apsw

from zot.catalog.interface import CatalogUnavailable, CatalogUnusable
from zot.catalog.sqlite import place
from zot.catalog.sqlite.database import Database
from zot.catalog.sqlite.revision import WriterRevision

_BOOT = "SELECT value FROM setting WHERE name = 'boot'"

# The database is not one, or not whole.
DAMAGE = (apsw.NotADBError, apsw.CorruptError)
# Made when damage was met: the next start looks at all of the database.
SUSPECT = "catalog.suspect"

_logger = logging.getLogger(__name__)


def begin(directory: Path, boot: str, vfs: str | None = None, *, syncs: bool = True) -> str:
    """Prepare the catalog for the writers of a start of the store, made if it is not there.

    Returns the boot that it holds from now on: `boot`, or an earlier one if the disk has no room to write it down.
    Claims of earlier boots are dropped. A damaged catalog is set aside, with an empty one in its place, to be filled
    from the layouts. Raises CatalogUnusable if it cannot be opened, is in use, or was written by a newer program.
    """
    path = place.prepare(directory)
    with place.lock(directory):
        try:
            with closing(open_at_start(path, boot, vfs, syncs=syncs)) as database:
                WriterRevision(directory).close()
                return held_boot(database.connection)
        except (apsw.Error, OSError) as error:
            raise CatalogUnusable(f"{path} cannot be opened: {error}") from error


def open_at_start(path: Path, boot: str, vfs: str | None, *, syncs: bool) -> Database:
    """Open the database for a start of the store, or an empty one in the place of one that is damaged."""
    try:
        return _begun(path, boot, vfs, syncs=syncs)
    except DAMAGE as error:
        damage = str(error)
    kept = place.set_aside(path.parent)
    path.with_name(SUSPECT).unlink(missing_ok=True)
    _logger.error(
        "the catalog is damaged (%s): it is kept as %s, and rebuilt from the layouts, without the history of tags",
        damage,
        kept,
    )
    return _begun(place.prepare(path.parent), boot, vfs, syncs=syncs)


def open_later(path: Path, boot: str, vfs: str | None, *, syncs: bool) -> Database:
    """Open the database that a start left holding `boot`. Nothing is made.

    Raises CatalogUnavailable if it is not there, or another one is; apsw.Error.
    """
    try:
        database = Database(path, vfs, syncs=syncs, create=False)
    except apsw.CantOpenError as error:
        raise CatalogUnavailable(f"{path} is not there ({error}): is its disk mounted?") from error
    try:
        require_boot(held_boot(database.connection), boot, path)
    except BaseException:
        database.close()
        raise
    return database


def reopen(path: Path, boot: str, vfs: str | None, *, syncs: bool) -> Database:
    """Open the database after it failed, as `open_later`, and empty the log before anything is added to it.

    A page whose sync failed may be lost although the system takes it for written, and what is appended behind it would
    be lost with it. Copied into the database and synced there, nothing depends on that log any more.
    """
    database = open_later(path, boot, vfs, syncs=syncs)
    try:
        database.wal.empty()
    except apsw.Error:
        database.close()
        raise
    return database


def require_boot(held: str, boot: str, path: Path) -> None:
    """Raise CatalogUnavailable if a database holds another boot than the one it should."""
    if held != boot:
        raise CatalogUnavailable(f"{path} is not the catalog that this server started with: is its disk mounted?")


def held_boot(connection: apsw.Connection) -> str:
    """Return the boot that wrote its id last, empty if none has."""
    rows = connection.execute(_BOOT).fetchall()
    return str(rows[0][0]) if rows else ""


def last_ns(database: Database) -> int:
    """Return the time of the last entry in the tag log, 0 if there is none."""
    rows = database.execute("SELECT at_ns FROM tag_log ORDER BY sequence DESC LIMIT 1")
    return rows[0][0] if rows else 0


def _begun(path: Path, boot: str, vfs: str | None, *, syncs: bool) -> Database:
    database = Database(path, vfs, syncs=syncs)
    try:
        _check(database, path.with_name(SUSPECT))
        last_ns(database)
        _drop_claims(database, boot)
    except BaseException:
        database.close()
        raise
    return database


def _check(database: Database, suspect: Path) -> None:
    """Look at all of a database that damage was met in."""
    if suspect.exists():
        ((found,),) = database.execute("PRAGMA quick_check(1)")
        if found != "ok":
            raise apsw.CorruptError(str(found))
        suspect.unlink()


def _drop_claims(database: Database, boot: str) -> None:
    """Drop what processes of an earlier boot claimed: they are gone. Without room on the disk the claims stay."""
    if held_boot(database.connection) == boot:
        return
    try:
        database.begin(durable=True)
        database.execute("DELETE FROM claim")
        database.execute("INSERT OR REPLACE INTO setting (name, value) VALUES ('boot', ?)", boot)
        database.execute("COMMIT")
    except apsw.FullError as error:
        database.roll_back()
        if not held_boot(database.connection):
            raise CatalogUnusable(f"no room for a new catalog: {error}") from error
        _logger.warning("the disk of the catalog is full: %s", error)
