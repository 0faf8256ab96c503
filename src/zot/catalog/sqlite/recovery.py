"""Opening the database, and making it again when it is damaged.

A start of the store makes it if need be; every later writer finds the same one or none. A start writes its owner id
into the database as its *boot*, which tells the database from all others: from that of another disk, from an older
copy, and from an empty one that SQLite would make where nothing is. In the same commit the leases of all other owners
end: the start holds the locks of the roots, so their processes are gone.
"""

from __future__ import annotations

import logging
import time
from contextlib import closing, suppress
from pathlib import Path

import apsw

from zot.catalog.clock import Source
from zot.catalog.interface import CatalogUnavailableError, CatalogUnusableError
from zot.catalog.sqlite import directory as place
from zot.catalog.sqlite.connection import open_for_reading
from zot.catalog.sqlite.database import Database
from zot.catalog.sqlite.disk_reserve import DiskReserve
from zot.catalog.sqlite.handlers import owners
from zot.catalog.sqlite.revision import WriterRevision
from zot.catalog.sqlite.salvage import salvage
from zot.foundation.sqlite_file import DAMAGE

_BOOT = "SELECT value FROM setting WHERE name = 'boot'"

# Made by any process that meets damage: before it is used again, all of the database is looked at.
SUSPECT = "catalog.suspect"

# A new database that is not complete yet.
_MADE = "catalog.db.made"

_logger = logging.getLogger(__name__)


def begin(directory: Path, boot: str, vfs: str | None = None, *, syncs: bool = True) -> str:
    """Prepare the catalog for the writers of a start of the store, made if it is not there.

    `boot` is the owner id of the start. Returns the boot that the database holds from now on: `boot`, or an earlier one
    if the disk has no room to write it down (then the owner's lease begins by its first renewal). The leases of all
    other owners end. A damaged catalog is made again of what can be read, and kept. Raises CatalogUnusableError if it
    cannot be opened, is in use, or was written by a newer program.
    """
    path = place.prepare(directory)
    with place.lock(directory):
        try:
            with closing(open_at_start(path, boot, vfs, syncs=syncs)) as database:
                WriterRevision(directory).close()
                DiskReserve(directory).hold()
                return held_boot(database.connection)
        except (apsw.Error, OSError) as error:
            raise CatalogUnusableError(f"{path} cannot be opened: {error}") from error


def damage_of(path: Path) -> str | None:
    """Return why a database is not a whole catalog as far as opening it shows, None if it is one. Nothing is changed.

    Only a start makes a damaged catalog again: a command that did would go on with one that lacks nearly everything.
    Raises CatalogUnusableError if it cannot be opened.
    """
    if path.with_name(SUSPECT).exists():
        return "a part of it could not be read"
    try:
        with closing(open_for_reading(path)) as connection:
            return None if held_boot(connection) else "it was not begun"
    except (*DAMAGE, apsw.SQLError) as error:
        return str(error)
    except apsw.Error as error:
        raise CatalogUnusableError(f"the catalog {path} cannot be opened: {error}") from error


def open_at_start(path: Path, boot: str, vfs: str | None, source: Source = time.time_ns, *, syncs: bool) -> Database:
    """Open the database for a start of the store, made again if it is damaged; `source` tells the time."""
    try:
        return _begun(path, boot, vfs, source, syncs=syncs)
    except DAMAGE as error:
        make_again(path, boot, str(error))
    return _begun(path, boot, vfs, source, syncs=syncs)


def mend(path: Path, boot: str, *, is_ours: bool) -> None:
    """Look at all of a database in which damage was met, and make it again if it is not whole. It blocks.

    No connection of the writer to it may be open. `is_ours`: it is known to be the catalog that was begun with `boot`,
    even if the database cannot tell; without any table it is damaged, too. Raises apsw.Error, OSError,
    CatalogUnavailableError if it is another one.
    """
    place.existing(path.parent)
    try:
        with closing(Database(path, create=False)) as database:
            require_boot(held_boot(database.connection), boot, path)
            is_ours = True
            _check(database, path.with_name(SUSPECT))
    except DAMAGE as error:
        if not is_ours:
            raise CatalogUnavailableError(f"{path} is damaged: start the server again to have it rebuilt") from error
        make_again(path, boot, str(error))
    except CatalogUnavailableError:
        if not is_ours or _has_schema(path):
            raise
        make_again(path, boot, "it has no tables any more")


def make_again(path: Path, boot: str, damage: str) -> None:
    """Put a database of all that can be read of a damaged one in its place. Raises apsw.Error, OSError.

    The damaged one is kept, and the log says where, and how much was not found.
    """
    _logger.error("the catalog is damaged (%s): it is made again of what can be read", damage)
    made = path.with_name(_MADE)
    found = salvage(path, made, boot)
    kept = place.replace_damaged(path.parent, made)
    path.with_name(SUSPECT).unlink(missing_ok=True)
    _logger.error(
        "the catalog was damaged (%s) and is made again, the damaged one is kept as %s: %s; what is missing comes from"
        " the layouts, as far as they have it",
        damage,
        kept,
        found or "nothing of it can be read, not the history of tags either",
    )


def open_later(path: Path, boot: str, vfs: str | None, *, syncs: bool) -> Database:
    """Open the database that a start left holding `boot`. Nothing is made.

    Raises CatalogUnavailableError if it is not there, or another one is; apsw.Error.
    """
    if path.with_name(SUSPECT).exists():
        mend(path, boot, is_ours=False)
    try:
        database = Database(path, vfs, syncs=syncs, create=False)
    except apsw.CantOpenError as error:
        raise CatalogUnavailableError(f"{path} is not there ({error}): is its disk mounted?") from error
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
    """Raise CatalogUnavailableError if a database holds another boot than the one it should."""
    if held != boot:
        raise CatalogUnavailableError(f"{path} is not the catalog that this server started with: is its disk mounted?")


def held_boot(connection: apsw.Connection) -> str:
    """Return the boot that wrote its id last, empty if none has."""
    rows = connection.execute(_BOOT).fetchall()
    return str(rows[0][0]) if rows else ""


def last_ns(database: Database) -> int:
    """Return the time of the newest entry of the change log, 0 if there is none."""
    rows = database.execute("SELECT at_ns FROM change_log ORDER BY sequence DESC LIMIT 1")
    return rows[0][0] if rows else 0


def _begun(path: Path, boot: str, vfs: str | None, source: Source, *, syncs: bool) -> Database:
    database = Database(path, vfs, syncs=syncs)
    try:
        _check(database, path.with_name(SUSPECT))
        last_ns(database)
        _begin_owner(database, path.parent, boot, source())
    except BaseException:
        database.close()
        raise
    return database


def _has_schema(path: Path) -> bool:
    with closing(open_for_reading(path)) as connection:
        version: int = connection.pragma("user_version")
    return version > 0


def _check(database: Database, suspect: Path) -> None:
    """Look at all of a database that damage was met in."""
    if suspect.exists():
        ((found,),) = database.execute("PRAGMA quick_check(1)")
        if found != "ok":
            raise apsw.CorruptError(str(found))
        suspect.unlink()


def _begin_owner(database: Database, directory: Path, boot: str, now_ns: int) -> None:
    """Begin the owner's lease and end all others. Without room on the disk they stay as they are."""
    if held_boot(database.connection) == boot:
        return
    try:
        _write_owner(database, boot, now_ns)
    except apsw.FullError as error:
        if DiskReserve(directory).release():
            with suppress(apsw.FullError):
                _write_owner(database, boot, now_ns)
                return
        if not held_boot(database.connection):
            raise CatalogUnusableError(f"no room for a new catalog: {error}") from error
        _logger.warning("the disk of the catalog is full: %s", error)


def _write_owner(database: Database, boot: str, now_ns: int) -> None:
    try:
        database.begin(durable=True)
        owners.begin_alone(database.cursor, boot, now_ns)
        database.execute("INSERT OR REPLACE INTO setting (name, value) VALUES ('boot', ?)", boot)
        database.execute("COMMIT")
    except apsw.FullError:
        database.roll_back()
        raise
