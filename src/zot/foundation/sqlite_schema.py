"""The schema of an SQLite file: what tells it from other programs' files, and how an older one is migrated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import apsw


class SchemaMismatchError(Exception):
    """Another program or a newer version wrote the database; the message says what to do."""


class SqliteSchema(NamedTuple):
    """The tables of one kind of file."""

    application_id: int
    """Distinguishes it from databases of other programs."""
    migrations: tuple[str, ...]
    """Scripts from each version to the next. A released script is never edited."""

    @property
    def version(self) -> int:
        """The present version."""
        return len(self.migrations)

    def version_of(self, connection: apsw.Connection, path: Path) -> int:
        """Return the version of a database, 0 for a new one. Raises SchemaMismatchError, apsw.Error."""
        application: int = connection.pragma("application_id")
        version: int = connection.pragma("user_version")
        if application not in (0, self.application_id):
            raise SchemaMismatchError(f"{path} is a database of another program: name another directory, or move it")
        if version > self.version:
            raise SchemaMismatchError(
                f"{path} was written by a newer zot (schema {version}, this one knows up to {self.version}); "
                "start that version, or restore a backup made before"
            )
        return version

    def migrate(self, connection: apsw.Connection, path: Path) -> None:
        """Migrate a database to the present version, step by step; each step is carried out whole or not at all.

        Several processes may do so at once. A present database is not written to, which a full disk would refuse.
        Raises SchemaMismatchError with nothing changed, apsw.Error.
        """
        while self.version_of(connection, path) < self.version:
            with immediate(connection):
                # Read again: another process may have migrated it while this one waited for the lock.
                version = self.version_of(connection, path)
                if version < self.version:
                    connection.execute(self.migrations[version])
                    connection.pragma("application_id", self.application_id)
                    connection.pragma("user_version", version + 1)


@contextmanager
def immediate(connection: apsw.Connection) -> Iterator[None]:
    """Run the block in a transaction that may write from its beginning; an error rolls it back.

    Two transactions that begin with a read could not wait for each other. Raises apsw.Error.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some errors roll it back themselves
            connection.execute("ROLLBACK")
        raise
