"""A copy of a database as it is at one moment, while others read and write it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw

from zot.catalog.command import Command
from zot.catalog.interface import CatalogError, Outcome
from zot.catalog.sqlite.driver import SqliteCatalog
from zot.catalog.sqlite.revision import FILE as REVISION
from zot.catalog.sqlite.revision import WriterRevision

_PATIENCE_MS = 10_000


def snapshot(database: Path, target: Path) -> None:
    """Copy a database with all that is committed to a new file, without its log, and synced. It blocks.

    Readers and the writer continue. Raises CatalogError, and then there is no copy.
    """
    try:
        connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            connection.set_busy_timeout(_PATIENCE_MS)
            # One read transaction; the copy has no free pages, and is synced as a transaction is.
            connection.pragma("synchronous", "full")
            connection.execute("VACUUM INTO ?", (str(target),))
        finally:
            connection.close()
    except apsw.Error as error:
        target.unlink(missing_ok=True)
        raise CatalogError(f"{database} cannot be copied to {target}: {error}") from error


def make_exports_due(database: Path) -> None:
    """Mark every layout as not exported, in a copy that no process has open. Synced. Raises CatalogError."""
    try:
        with closing(apsw.Connection(str(database))) as connection:
            connection.pragma("synchronous", "full")
            connection.execute(
                "UPDATE repository SET revision = revision + 1, due_ns = 1,"
                " export_digest = NULL, export_signature = NULL, export_intent = NULL"
            )
    except apsw.Error as error:
        raise CatalogError(f"{database} cannot be changed: {error}") from error


class _ReadOnlySubmitter:
    """Writes nothing (a `Submitter`), and counts no revisions: the copy stays as it is."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._revision = WriterRevision(directory)

    async def do(self, command: Command[Outcome]) -> Outcome:
        """Refuse."""
        raise CatalogError(f"a copy is not changed: {type(command).__name__}")

    async def close(self) -> None:
        """Remove the revision that readers watched."""
        self._revision.close()
        (self._directory / REVISION).unlink()


def open_snapshot(path: Path) -> SqliteCatalog:
    """Open a copy of the catalog for reading."""
    return SqliteCatalog(path, _ReadOnlySubmitter(path.parent), owner="")
