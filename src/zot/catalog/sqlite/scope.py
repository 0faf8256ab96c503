"""What a command works with: its repository's rows, in the transaction of its batch, at one time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import apsw

from zot.catalog.change_log import ChangeKind
from zot.catalog.command import RepositoryCommand
from zot.catalog.quotas import RepositoryQuota
from zot.catalog.sqlite.quota_totals import QuotaTotals
from zot.oci.digest import Digest
from zot.oci.names import Tag

Row = tuple[Any, ...]

_SETTLE = """
UPDATE repository SET bytes = bytes + ?2, blobs = blobs + ?3, manifests = manifests + ?4, tags = tags + ?5,
  revision = revision + ?6, due_ns = iif(?6, coalesce(due_ns, ?7), due_ns)
WHERE name = ?1
"""
_LOG = """
INSERT INTO change_log
  (repository, kind, tag, digest_before, digest_after, media_type, at_ns, changed_by, source)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
"""


class CatalogScope(NamedTuple):
    """What a command works with that concerns no single repository, at one time of the catalog's clock."""

    cursor: apsw.Cursor
    now_ns: int


class RepositoryScope:
    """One command on one repository. The counts are what it adds to the repository's; `settle` writes them."""

    __slots__ = (
        "_by",
        "_connection",
        "_cursor",
        "_source",
        "_totals",
        "blobs",
        "bytes",
        "changed",
        "manifests",
        "now_ns",
        "repository",
        "tags",
    )

    def __init__(self, cursor: apsw.Cursor, command: RepositoryCommand[Any], now_ns: int, totals: QuotaTotals) -> None:
        """Begin a command at a time of the catalog's clock."""
        self._cursor = cursor
        self._totals = totals
        self._connection = cursor.connection
        self._by = command.by
        self._source = command.source
        self.repository = command.repository
        self.now_ns = now_ns
        self.bytes = self.blobs = self.manifests = self.tags = 0
        self.changed = False
        """Whether the layout has to show it."""

    def rows(self, sql: str, *bindings: apsw.SQLiteValue) -> list[Row]:
        """Execute a statement of which ?1 is the repository, and return its rows."""
        return self._cursor.execute(sql, (self.repository, *bindings)).fetchall()

    def row(self, sql: str, *bindings: apsw.SQLiteValue) -> Row | None:
        """Return the first row."""
        rows = self.rows(sql, *bindings)
        return rows[0] if rows else None

    def value(self, sql: str, *bindings: apsw.SQLiteValue) -> Any:
        """Return the first column of the first row, None if there is no row."""
        row = self.row(sql, *bindings)
        return row[0] if row else None

    def change(self, sql: str, *bindings: apsw.SQLiteValue) -> int:
        """Execute a statement and return how many rows it changed."""
        self.rows(sql, *bindings)
        return self._connection.changes()

    def change_many(self, sql: str, bindings: Iterable[Row]) -> None:
        """Execute a statement for each of the bindings, to which the repository is not added."""
        self._cursor.executemany(sql, bindings)

    def inserted_id(self) -> int:
        """Return the id of the row inserted last."""
        return self._connection.last_insert_rowid()

    def create(self) -> None:
        """Create the repository unless it exists."""
        if self.change("INSERT INTO repository (name) VALUES (?1) ON CONFLICT DO NOTHING"):
            self.log(ChangeKind.REPOSITORY_CREATED)
            self.rows("UPDATE repository SET created = ?2 WHERE name = ?1", self.inserted_id())

    def log(
        self,
        kind: ChangeKind,
        *,
        tag: Tag | None = None,
        before: Digest | None = None,
        after: Digest | None = None,
        media_type: str | None = None,
    ) -> None:
        """Write an entry of the change log."""
        self.rows(_LOG, kind, tag, before, after, media_type, self.now_ns, self._by, self._source)

    def used(self, quota: RepositoryQuota) -> int:
        """Return how many bytes of a quota were used before the command."""
        if quota.patterns:
            return self._totals.of(self._cursor, quota.patterns)
        return self.value("SELECT bytes FROM repository WHERE name = ?1") or 0

    def settle(self) -> None:
        """Write the counts; a change that the layout has to show gives a new revision and makes an export due."""
        if self.changed or self.bytes or self.blobs:
            self.rows(_SETTLE, self.bytes, self.blobs, self.manifests, self.tags, self.changed, self.now_ns)
        if self.bytes:
            self._totals.add(self.repository, self.bytes)
