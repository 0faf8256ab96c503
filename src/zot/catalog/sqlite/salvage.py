"""A damaged database made again: every row of it that can be read, the rest worked out from those as far as possible.

What is left over is in the layouts: all repositories are to be imported from them, which adds what is missing and
takes nothing back (see `zot.layout.importer`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec

from zot.catalog.edges import edges
from zot.catalog.sqlite.handlers import owners
from zot.catalog.sqlite.handlers.tags import KEPT
from zot.catalog.sqlite.readable_rows import DamagedTable, ReadableRows, Row
from zot.catalog.sqlite.schema import COPY_TAG_LOG, migrate
from zot.oci.digest import Digest, has_digest
from zot.oci.lenient import parse_leniently

# All of a manifest's identity, from the index that makes it unique: its leaves are on other pages than the table's.
_IDENTITIES = DamagedTable("manifest INDEXED BY sqlite_autoindex_manifest_1", ("repository", "digest"), ("id",))
_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rootpage"

# Tags by their last change: where rows of `tag` are gone, or point to a manifest that has another id by now.
_TAGS_FROM_LOG = """
INSERT OR IGNORE INTO tag (repository, name, manifest_id, created_ns, moved_ns, moved_by)
SELECT log.repository, log.tag, manifest.id, log.at_ns, log.at_ns, log.changed_by
FROM change_log AS log JOIN manifest ON manifest.repository = log.repository AND manifest.digest = log.digest_after
WHERE log.tag IS NOT NULL AND log.sequence = (
  SELECT max(sequence) FROM change_log WHERE repository = log.repository AND tag = log.tag)
"""
# What schemas before the change log had in its place.
_TAG_LOG = DamagedTable(
    "tag_log",
    ("sequence",),
    ("repository", "tag", "digest_before", "digest_after", "at_ns", "moved_by"),
    frozenset({"sequence"}),
)
# What columns were called in earlier schemas.
_RENAMED = {("upload", "client"): "owner", ("upload", "recorded_by"): "boot"}
# No consumer may go on from before: the newest entry gets a number that none of them has seen, and is the first.
_NEW_FEED = (
    "UPDATE change_log SET sequence = sequence + 1 WHERE sequence = (SELECT max(sequence) FROM change_log)",
    "INSERT OR REPLACE INTO setting (name, value) SELECT 'changes_trimmed', coalesce(max(sequence), 0) FROM change_log",
)
# What other tables tell of repositories whose own rows are gone.
_REPOSITORIES = """
INSERT OR IGNORE INTO repository (name)
SELECT repository FROM blob UNION SELECT repository FROM manifest UNION SELECT repository FROM tag
UNION SELECT repository FROM upload UNION SELECT repository FROM carried UNION SELECT repository FROM held
"""
# Blobs whose rows are gone, but whose bytes are here. The export verifies them.
_HELD_BLOBS = """
INSERT OR IGNORE INTO blob (repository, digest, size, placed_ns, referenced)
SELECT repository, digest, length(bytes), 1, 0 FROM held
"""
_WITHOUT_OWNER = (
    "DELETE FROM tag WHERE manifest_id NOT IN (SELECT id FROM manifest)",
    "DELETE FROM edge WHERE manifest_id NOT IN (SELECT id FROM manifest)",
    "DELETE FROM content WHERE manifest_id NOT IN (SELECT id FROM manifest)",
    "DELETE FROM held WHERE (repository, digest) IN (SELECT repository, digest FROM blob WHERE doom IS NOT NULL)",
)
# What the commands keep up, worked out again; and every layout is to be imported, then exported.
_SETTLED = (
    """
    UPDATE blob SET referenced =
      EXISTS (SELECT 1 FROM edge WHERE edge.repository = blob.repository AND edge.digest = blob.digest)
      OR EXISTS (SELECT 1 FROM manifest WHERE manifest.repository = blob.repository AND manifest.digest = blob.digest)
    """,
    f"UPDATE manifest SET kept = {KEPT}",  # noqa: S608 (a statement of constants)
    "UPDATE blob SET stamp_s = NULL",
    "UPDATE manifest SET stamp_s = NULL",
    """
    UPDATE repository SET
      blobs = (SELECT count(*) FROM blob WHERE repository = name AND doom IS NULL),
      manifests = (SELECT count(*) FROM manifest WHERE repository = name),
      tags = (SELECT count(*) FROM tag WHERE repository = repository.name),
      bytes = (SELECT coalesce(sum(size), 0) FROM blob WHERE repository = name AND doom IS NULL
          AND digest NOT IN (SELECT digest FROM manifest WHERE repository = repository.name))
        + (SELECT coalesce(sum(size), 0) FROM manifest WHERE repository = name),
      adopted = 0, exported = max(exported, 1), revision = max(revision, exported, 1) + 1, due_ns = 1,
      export_digest = NULL, export_signature = NULL, export_intent = NULL
    """,
)
_CONTENT = "SELECT bytes FROM content WHERE manifest_id = ?"
_EDGE = "INSERT OR IGNORE INTO edge (repository, digest, manifest_id, media_type, child) VALUES (?, ?, ?, ?, ?)"
_COUNTS = "SELECT coalesce(sum(manifests), 0), coalesce(sum(tags), 0), coalesce(sum(blobs), 0) FROM repository"


class Salvaged(NamedTuple):
    """What was found of a damaged catalog, and what it says that it had."""

    manifests: int
    tags: int
    blobs: int
    manifests_before: int
    tags_before: int
    blobs_before: int
    without_content: int
    """Manifests that are known, but whose bytes are lost unless a layout has them."""
    gaps: int
    """Ranges of rows that could not be read, in all tables and in the index of manifests."""

    def __str__(self) -> str:
        """Return one sentence for operators."""
        return (
            f"{self.manifests} of {self.manifests_before} manifests ({self.without_content} of them without their "
            f"bytes), {self.tags} of {self.tags_before} tags and {self.blobs} of {self.blobs_before} blobs are found, "
            f"{self.gaps} ranges of rows cannot be read"
        )


def salvage(damaged: Path, target: Path, boot: str) -> Salvaged | None:
    """Make a new database of all that can be read of a damaged one, which stays as it is. It blocks.

    The new one is synced, holds `boot`, and ends the leases of all other owners. Every repository in it waits for the
    import of its layout. None: nothing can be read, the new one is empty. Raises apsw.Error if it cannot be written:
    then there is none.
    """
    for suffix in ("", "-journal", "-wal", "-shm"):
        target.with_name(f"{target.name}{suffix}").unlink(missing_ok=True)
    try:
        with closing(_new(target)) as into:
            source = _open_damaged(damaged)
            if source is None:
                found = None
            else:
                with closing(source):
                    found = _Salvage(source, into).run()
            into.pragma("synchronous", "full")
            into.pragma("journal_mode", "wal")
            into.execute("INSERT OR REPLACE INTO setting (name, value) VALUES ('boot', ?)", (boot,))
            owners.begin_alone(into.cursor(), boot, time.time_ns())
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return found


def _open_damaged(path: Path) -> apsw.Connection | None:
    """Open a damaged database; None if nothing of it can be read."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    # Its log belongs to it: it is read with it, and stays.
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    except apsw.Error:
        connection.close()
        return None
    return connection


def _new(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.pragma("synchronous", "off")
    connection.pragma("foreign_keys", 0)
    connection.pragma("temp_store", "memory")
    migrate(connection, path)
    return connection


class _Salvage:
    def __init__(self, source: apsw.Connection, into: apsw.Connection) -> None:
        self._source = source
        self._into = into
        self._gaps: dict[str, int] = {}

    def run(self) -> Salvaged:
        with self._into:
            for (name,) in self._into.execute(_TABLES).fetchall():
                self._copy(str(name))
            before = self._counts()
            if self._gaps["manifest"]:
                self._restore_manifests()
            if self._gaps["edge"]:
                self._restore_edges()
            self._execute(*_WITHOUT_OWNER)
            if self._gaps["tag"] or self._gaps["manifest"]:
                self._execute(_TAGS_FROM_LOG)
            self._execute(_HELD_BLOBS, _REPOSITORIES, *_SETTLED, *_NEW_FEED)
            without_content = self._number(
                "SELECT count(*) FROM manifest WHERE id NOT IN (SELECT manifest_id FROM content)"
            )
            after = self._counts()
        return Salvaged(*after, *before, without_content, sum(self._gaps.values()))

    # --- rows as they are ---

    def _copy(self, name: str) -> None:
        """Copy what can be read of a table; an older one may lack columns."""
        known = {row[1] for row in self._source.execute(f"PRAGMA table_info({name})")}
        if not known:  # it is older than the table
            self._gaps[name] = 0
            if name == "change_log":
                self._copy_tag_log()
            return
        # Name, type, and place in the primary key, counted from 1.
        described = [(row[1], row[2], row[5]) for row in self._into.execute(f"PRAGMA table_info({name})")]
        key = tuple(each for each, _, number in sorted(described, key=lambda column: column[2]) if number)
        former = {each: _RENAMED.get((name, each), each) for each, _, number in described if not number}
        columns = {each: each if each in known else old for each, old in former.items() if known & {each, old}}
        numeric = frozenset(each for each, kind, number in described if number and kind == "INTEGER")
        rows = self._read(name, DamagedTable(name, key, tuple(columns.values()), numeric))
        names, marks = ", ".join((*key, *columns)), ", ".join("?" * (len(key) + len(columns)))
        self._insert(f"INSERT OR IGNORE INTO {name} ({names}) VALUES ({marks})", rows)  # noqa: S608 (names of the schema)

    def _copy_tag_log(self) -> None:
        """Copy what can be read of the history of tags."""
        names = ", ".join((*_TAG_LOG.key, *_TAG_LOG.columns))
        self._into.execute(f"CREATE TEMP TABLE tag_log ({names})")
        rows = self._read("change_log", _TAG_LOG)
        self._insert(f"INSERT OR IGNORE INTO tag_log ({names}) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)  # noqa: S608 (as above)
        self._into.execute(COPY_TAG_LOG)

    def _read(self, name: str, table: DamagedTable) -> Iterator[Row]:
        rows = ReadableRows(self._source, table)
        yield from rows
        self._gaps[name] = self._gaps.get(name, 0) + rows.gaps

    def _insert(self, statement: str, rows: Iterable[Row]) -> None:
        """Insert rows, and leave out those whose values are none of the column's."""
        for row in rows:
            try:
                self._into.execute(statement, row)
            except (apsw.ConstraintError, apsw.MismatchError):
                continue

    # --- rows worked out from others ---

    def _restore_manifests(self) -> None:
        """Add manifests whose rows are gone, but whose bytes and whose entry in the index are there."""
        known = {number for (number,) in self._into.execute("SELECT id FROM manifest")}
        for repository, digest, number in self._read("manifest", _IDENTITIES):
            if number in known or not isinstance(number, int):
                continue
            contents: list[Any] = self._into.execute(_CONTENT, (number,)).fetchall()
            for (content,) in contents:
                if has_digest(content, Digest(str(digest))):
                    self._add(str(repository), Digest(str(digest)), number, content)

    def _add(self, repository: str, digest: Digest, number: int, content: bytes) -> None:
        parsed, whole, is_manifest = parse_leniently(content, "")
        if not is_manifest:
            return
        at = self._into.execute(
            "SELECT at_ns, changed_by FROM change_log"
            " WHERE repository = ? AND digest_after = ? ORDER BY sequence LIMIT 1",
            (repository, digest),
        ).fetchall()
        pushed_ns, pushed_by = at[0] if at else (0, "")
        self._into.execute(
            "INSERT OR IGNORE INTO manifest (id, repository, digest, media_type, size, artifact_type, subject,"
            " pushed_ns, pushed_by, annotations, whole, kept) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
            (
                number,
                repository,
                digest,
                parsed.media_type,
                len(content),
                parsed.artifact_type,
                parsed.subject,
                pushed_ns,
                pushed_by,
                msgspec.json.encode(parsed.annotations).decode(),
                whole,
            ),
        )

    def _restore_edges(self) -> None:
        """Add what manifests name; of one that cannot be parsed, everything in it that looks like a digest."""
        query = "SELECT id, repository, media_type, bytes FROM manifest JOIN content ON manifest_id = id"
        for number, repository, media_type, content in self._into.execute(query):
            found = edges(parse_leniently(content, media_type).manifest)
            self._into.executemany(
                _EDGE,
                [(repository, edge.digest, number, edge.media_type, edge.child) for edge in found],
            )

    def _execute(self, *statements: str) -> None:
        for statement in statements:
            self._into.execute(statement)

    def _number(self, query: str) -> int:
        ((number,),) = self._into.execute(query).fetchall()
        assert isinstance(number, int)
        return number

    def _counts(self) -> tuple[int, int, int]:
        counts: list[tuple[int, int, int]] = list(self._into.execute(_COUNTS))
        return counts[0]
