"""The database as its writer has it open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw

from zot.catalog.sqlite.connection import open_for_writing
from zot.catalog.sqlite.schema import check_present, migrate
from zot.catalog.sqlite.wal import WriteAheadLog


class Database:
    """A connection that writes, its cursor, and its log."""

    def __init__(self, path: Path, vfs: str | None = None, *, syncs: bool = True, create: bool = True) -> None:
        """Open the database and bring it to the present schema. Raises apsw.Error, CatalogUnusableError.

        Without `create` it has to be there, and to have that schema already (else CatalogUnavailableError). Without
        `syncs` no commit waits for the disk, and the last ones may be lost with the machine.
        """
        self.connection = open_for_writing(path, vfs, create=create)
        self._syncs = syncs
        self._durable = True
        self.cursor = self.connection.cursor()
        self.wal = WriteAheadLog(self.connection)
        try:
            if create:
                migrate(self.connection, path)
            else:
                check_present(self.connection)
        except BaseException:
            self.close()
            raise

    def begin(self, *, durable: bool) -> None:
        """Begin a transaction whose commit waits for the disk if it is to be durable.

        A commit that does not wait is still in order: the next durable one syncs it, too.
        """
        durable = durable and self._syncs
        if durable != self._durable:
            self.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        self.execute("BEGIN IMMEDIATE")

    def execute(self, sql: str, *bindings: apsw.SQLiteValue) -> list[Any]:
        """Execute a statement and return its rows."""
        return self.cursor.execute(sql, bindings).fetchall()

    def roll_back(self) -> None:
        """Undo the transaction, if there is one."""
        if self.connection.in_transaction:
            self.execute("ROLLBACK")

    def close(self) -> None:
        """Close the database; an open transaction is rolled back, the log stays as it is."""
        self.connection.close(force=True)
