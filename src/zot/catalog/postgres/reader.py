"""Reads: one statement each, on one of the connections of the process.

Every read asks the database, so that it sees what any process was answered before.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from zot.catalog.blob_commands import Disposal
from zot.catalog.change_log import Change, ChangeCursor, ChangeKind, ChangePage, TagChange, change_page
from zot.catalog.command import ChangeSource
from zot.catalog.interface import PAGE_LIMIT, CatalogUnavailableError
from zot.catalog.postgres.connection import CatalogConnection
from zot.catalog.postgres.schema import SCHEMA
from zot.catalog.rows import (
    BlobRow,
    CarriedEntry,
    DanglingManifest,
    ExportRow,
    ManifestDetails,
    ManifestRow,
    PendingDelete,
    ReferrerRow,
    RepositoryRow,
    TagRow,
    Unread,
    UnreferencedBlob,
    UploadRow,
    UsageRow,
)
from zot.oci.digest import Digest
from zot.oci.names import Reference, Repository, Tag

_FUNCTIONS = SCHEMA.functions_schema

_REPOSITORY = "SELECT name, imported, bytes, revision, exported FROM zot_catalog.repository WHERE name = $1"
_REPOSITORIES = "SELECT name FROM zot_catalog.repository WHERE name > $1 ORDER BY name LIMIT $2"
_BY_TAG = """
SELECT digest, media_type, size, marked_s IS NOT NULL FROM zot_catalog.manifest
WHERE id = (SELECT manifest_id FROM zot_catalog.tag WHERE repository = $1 AND name = $2)
"""
_BY_DIGEST = """
SELECT digest, media_type, size, marked_s IS NOT NULL FROM zot_catalog.manifest WHERE repository = $1 AND digest = $2
"""
_CONTENT = """
SELECT bytes FROM zot_catalog.content
WHERE manifest_id = (SELECT id FROM zot_catalog.manifest WHERE repository = $1 AND digest = $2)
"""
_DETAILS = """
SELECT digest, media_type, size, artifact_type, subject, pushed_ns, pushed_by,
  array(SELECT name FROM zot_catalog.tag WHERE manifest_id = m.id ORDER BY name), whole,
  EXISTS (SELECT 1 FROM zot_catalog.carried AS c
    WHERE c.repository = m.repository AND c.digest = m.digest AND line <> '')
FROM zot_catalog.manifest AS m WHERE repository = $1 AND
"""
_TAG = """
SELECT name, digest, created_ns, moved_ns, moved_by, written
FROM zot_catalog.tag JOIN zot_catalog.manifest ON manifest.id = tag.manifest_id
WHERE tag.repository = $1 AND name
"""
# Entries without a number are the newest: they count as numbered in their order.
_TAG_LOG = """
SELECT sequence, tag, digest_before, digest_after, at_ns, changed_by, source FROM (
  SELECT sequence, id, tag, digest_before, digest_after, at_ns, changed_by, source
  FROM zot_catalog.change_log WHERE repository = $1 AND tag IS NOT NULL
  UNION ALL
  SELECT (SELECT newest FROM zot_catalog.change_state) + n, id, tag, digest_before, digest_after, at_ns, changed_by,
    source
  FROM (SELECT *, row_number() OVER (ORDER BY id) AS n FROM zot_catalog.change_new) AS unnumbered
  WHERE repository = $1 AND tag IS NOT NULL
) AS entry
WHERE id > (SELECT created FROM zot_catalog.repository WHERE name = $1) AND sequence < $2
"""
_LAST_SEQUENCE = (1 << 63) - 1
_CHANGES = f"SELECT * FROM {_FUNCTIONS}.changes($1, $2, $3)"  # noqa: S608 (a statement of constants)
_NUMBER = f"SELECT {_FUNCTIONS}.number_changes()"
_REFERRERS = """
SELECT digest, media_type, size, artifact_type, annotations FROM zot_catalog.manifest
WHERE repository = $1 AND subject = $2 AND digest > $3
  AND (cardinality($4::text[]) = 0 OR artifact_type = ANY($4::text[]))
ORDER BY digest LIMIT $5
"""
_BLOB = """
SELECT size,
  (SELECT media_type FROM zot_catalog.edge AS e
    WHERE e.repository = b.repository AND e.digest = b.digest ORDER BY manifest_id LIMIT 1),
  marked_s IS NOT NULL, placed_ns,
  EXISTS (SELECT 1 FROM zot_catalog.held AS h WHERE h.repository = b.repository AND h.digest = b.digest)
FROM zot_catalog.blob AS b WHERE repository = $1 AND digest = $2 AND doom IS NULL
"""
_BLOBS = """
SELECT digest, size FROM zot_catalog.blob
WHERE repository = $1 AND digest > $2 AND doom IS NULL ORDER BY digest LIMIT $3
"""
_HELD_CONTENT = "SELECT bytes FROM zot_catalog.held WHERE repository = $1 AND digest = $2"
_HELD_BLOBS = """
SELECT digest, placed_ns FROM zot_catalog.held JOIN zot_catalog.blob USING (repository, digest)
WHERE repository = $1 AND digest > $2 ORDER BY digest LIMIT $3
"""
_REPOSITORIES_WITH = """
SELECT repository FROM zot_catalog.blob
WHERE digest = $1 AND repository > $2 AND doom IS NULL ORDER BY repository LIMIT $3
"""
_UPLOAD = """
SELECT session, repository, principal, epoch, received, algorithm, prefix, recorded_by, updated_ns, finished, client,
  driver_state
FROM zot_catalog.upload
"""
_UPLOADS = f"""
{_UPLOAD} WHERE updated_ns <= {_FUNCTIONS}.now_ns() - $1::bigint AND session > $2 ORDER BY session LIMIT $3
"""
_UNREFERENCED_BLOBS = """
SELECT digest, size, marked_s FROM zot_catalog.blob
WHERE repository = $1 AND digest > $2 AND NOT referenced AND doom IS NULL ORDER BY digest LIMIT $3
"""
_DANGLING_MANIFESTS = """
SELECT digest, media_type, size, subject, pushed_ns, marked_s FROM zot_catalog.manifest
WHERE repository = $1 AND digest > $2 AND NOT kept ORDER BY digest LIMIT $3
"""
_DOOMED = """
SELECT repository, digest, doom, doomed_by,
  NOT EXISTS (SELECT 1 FROM zot_catalog.owner WHERE id = doomed_by AND ended_ns IS NULL) AS abandoned, disposal
FROM zot_catalog.blob WHERE doom IS NOT NULL ORDER BY abandoned DESC, repository, digest LIMIT $1
"""
_EXPORT = """
SELECT name, revision, exported, export_digest, export_signature, export_intent
FROM zot_catalog.repository WHERE name = $1
"""
_EXPORTS_DUE = """
SELECT name FROM zot_catalog.repository WHERE due_ns IS NOT NULL AND imported ORDER BY due_ns, name LIMIT $1
"""
_CARRIED = "SELECT key, line, digest, name, media_type, unread FROM zot_catalog.carried WHERE repository = $1"
# Those whose manifests are here first.
_CARRIED_ORDER = "ORDER BY unread IS NOT NULL, key LIMIT $3"
_ABSENT_CHILDREN = """
SELECT digest, min(media_type) FROM zot_catalog.edge AS e
WHERE repository = $1 AND digest > $2 AND child
  AND NOT EXISTS (SELECT 1 FROM zot_catalog.manifest AS m WHERE m.repository = e.repository AND m.digest = e.digest)
GROUP BY digest ORDER BY digest LIMIT $3
"""
_UNREAD = f"SELECT {_FUNCTIONS}.has_unread($1)"
_USAGE = """
SELECT name, bytes, tags, manifests, blobs,
  (SELECT count(*) FROM zot_catalog.carried WHERE carried.repository = repository.name AND unread IS NOT NULL)
  + (SELECT count(*) FROM zot_catalog.manifest WHERE manifest.repository = repository.name AND NOT whole)
FROM zot_catalog.repository WHERE name > $1 ORDER BY name LIMIT $2
"""
_READY = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' FROM zot_catalog.change_state"


class PostgresReader:
    """The reading half of `Catalog`."""

    def __init__(self, connection: CatalogConnection) -> None:
        """Read by a connection."""
        self._connection = connection

    async def repository(self, repository: Repository) -> RepositoryRow | None:
        """Return the repository, None if there is none."""
        rows = await self._connection.rows(_REPOSITORY, repository)
        return RepositoryRow(*rows[0]) if rows else None

    async def repositories(self, after: str, limit: int) -> Sequence[Repository]:
        """Return names greater than `after`."""
        return await self._column(_REPOSITORIES, after, _page(limit))

    async def resolve(self, repository: Repository, reference: Reference) -> ManifestRow | None:
        """Return the manifest that a tag or digest stands for."""
        rows = await self._connection.rows(_BY_DIGEST if ":" in reference else _BY_TAG, repository, reference)
        return ManifestRow(*rows[0]) if rows else None

    async def manifest_content(self, repository: Repository, digest: Digest) -> bytes | None:
        """Return the bytes of a manifest."""
        rows = await self._connection.rows(_CONTENT, repository, digest)
        return rows[0][0] if rows else None

    async def manifest(self, repository: Repository, digest: Digest) -> ManifestDetails | None:
        """Return what is known of a manifest, with its tags."""
        rows = await self._connection.rows(f"{_DETAILS} digest = $2", repository, digest)
        return _details(rows[0]) if rows else None

    async def manifests(self, repository: Repository, after: str, limit: int) -> Sequence[ManifestDetails]:
        """Return manifests with digests greater than `after`."""
        page = f"{_DETAILS} digest > $2 ORDER BY digest LIMIT $3"
        return [_details(row) for row in await self._connection.rows(page, repository, after, _page(limit))]

    async def tags(self, repository: Repository, after: str, limit: int) -> Sequence[TagRow]:
        """Return tags with names greater than `after`."""
        page = f"{_TAG} > $2 ORDER BY name LIMIT $3"
        return [TagRow(*row) for row in await self._connection.rows(page, repository, after, _page(limit))]

    async def tag(self, repository: Repository, tag: Tag) -> TagRow | None:
        """Return a tag."""
        rows = await self._connection.rows(f"{_TAG} = $2", repository, tag)
        return TagRow(*rows[0]) if rows else None

    async def tag_log(self, repository: Repository, tag: Tag | None, before: int | None, limit: int) -> list[TagChange]:
        """Return changes of one tag or of all, newest first, with sequence numbers less than `before`."""
        if not self._connection.is_in_moment:
            await self._connection.rows(_NUMBER)
        until = _LAST_SEQUENCE if before is None else before
        order = "ORDER BY sequence DESC LIMIT $3"
        if tag is None:
            rows = await self._connection.rows(f"{_TAG_LOG} {order}", repository, until, _page(limit))
        else:
            rows = await self._connection.rows(f"{_TAG_LOG} AND tag = $4 {order}", repository, until, _page(limit), tag)
        return [
            TagChange(sequence, name, was, now, at_ns, by, ChangeSource(source))
            for sequence, name, was, now, at_ns, by, source in rows
        ]

    async def changes(self, after: ChangeCursor | None, limit: int) -> ChangePage:
        """Return entries of the change log that follow a cursor, oldest first."""
        at = after or ChangeCursor(0, 0)
        rows = await self._connection.rows(_CHANGES, at.sequence, at.at_ns, _page(limit))
        trimmed, sequence, at_ns, is_known = rows[0][:4]
        newest = ChangeCursor(sequence or 0, at_ns or 0)
        changes = [_change(row[4:]) for row in rows if row[4] is not None]
        return change_page(after, changes, trimmed=trimmed, newest=newest, is_known=is_known)

    async def referrers(
        self, repository: Repository, subject: Digest, artifact_types: Sequence[str], after: str, limit: int
    ) -> Sequence[ReferrerRow]:
        """Return manifests whose subject this is, with digests greater than `after`; all types if none is named."""
        wanted = [each for each in artifact_types if "\0" not in each] if artifact_types else []
        if artifact_types and not wanted:
            return []
        rows = await self._connection.rows(_REFERRERS, repository, subject, after, wanted, _page(limit))
        return [
            ReferrerRow(found, media_type, size, artifact_type, msgspec.json.decode(annotations, type=dict[str, str]))
            for found, media_type, size, artifact_type, annotations in rows
        ]

    async def blob(self, repository: Repository, digest: Digest) -> BlobRow | None:
        """Return a present blob."""
        rows = await self._connection.rows(_BLOB, repository, digest)
        return BlobRow(*rows[0]) if rows else None

    async def blobs(self, repository: Repository, after: str, limit: int) -> Sequence[tuple[Digest, int]]:
        """Return present blobs, digest and size, with digests greater than `after`."""
        return [tuple(row) for row in await self._connection.rows(_BLOBS, repository, after, _page(limit))]

    async def held_content(self, repository: Repository, digest: Digest) -> bytes | None:
        """Return the bytes of a present blob that the catalog holds; None: its file has them."""
        rows = await self._connection.rows(_HELD_CONTENT, repository, digest)
        return rows[0][0] if rows else None

    async def held_blobs(self, repository: Repository, after: str, limit: int) -> Sequence[tuple[Digest, int]]:
        """Return held blobs, digest and `placed_ns`, with digests greater than `after`."""
        return [tuple(row) for row in await self._connection.rows(_HELD_BLOBS, repository, after, _page(limit))]

    async def repositories_with(self, digest: Digest, after: str, limit: int) -> Sequence[Repository]:
        """Return repositories in which the blob is present, with names greater than `after`."""
        return await self._column(_REPOSITORIES_WITH, digest, after, _page(limit))

    async def upload(self, session: str) -> UploadRow | None:
        """Return an upload session, finished ones included."""
        rows = await self._connection.rows(f"{_UPLOAD} WHERE session = $1", session)
        return UploadRow(*rows[0]) if rows else None

    async def uploads(self, idle_s: float, after: str, limit: int) -> Sequence[UploadRow]:
        """Return sessions, finished ones too, with ids greater than `after` that nothing happened to for so long."""
        rows = await self._connection.rows(_UPLOADS, int(idle_s * 10**9), after, _page(limit))
        return [UploadRow(*row) for row in rows]

    async def unreferenced_blobs(self, repository: Repository, after: str, limit: int) -> Sequence[UnreferencedBlob]:
        """Return present blobs that nothing references, with digests greater than `after`."""
        rows = await self._connection.rows(_UNREFERENCED_BLOBS, repository, after, _page(limit))
        return [UnreferencedBlob(*row) for row in rows]

    async def dangling_manifests(self, repository: Repository, after: str, limit: int) -> Sequence[DanglingManifest]:
        """Return manifests that nothing keeps, with digests greater than `after`."""
        rows = await self._connection.rows(_DANGLING_MANIFESTS, repository, after, _page(limit))
        return [DanglingManifest(*row) for row in rows]

    async def doomed(self, limit: int) -> Sequence[PendingDelete]:
        """Return pending deletes: blobs that are doomed and not yet forgotten, abandoned ones first."""
        rows = await self._connection.rows(_DOOMED, _page(limit))
        return [
            PendingDelete(repository, digest, token, owner, abandoned, Disposal(disposal))
            for repository, digest, token, owner, abandoned, disposal in rows
        ]

    async def export(self, repository: Repository) -> ExportRow | None:
        """Return how the repository's layout stands."""
        rows = await self._connection.rows(_EXPORT, repository)
        return ExportRow(*rows[0]) if rows else None

    async def exports_due(self, limit: int) -> Sequence[Repository]:
        """Return imported repositories whose layout does not show all changes, longest due first."""
        return await self._column(_EXPORTS_DUE, _page(limit))

    def one_moment(self) -> AbstractContextManager[None]:
        """Have the reads of the block, which has to be in one task, see one state of the catalog."""
        return self._connection.one_moment()

    async def carried(self, repository: Repository, after: str, limit: int) -> Sequence[CarriedEntry]:
        """Return entries of the repository's `index.json` that are carried along, with keys greater than `after`."""
        page = f"{_CARRIED} AND key > $2 ORDER BY key LIMIT $3"
        return [_carried(row) for row in await self._connection.rows(page, repository, after, _page(limit))]

    async def carried_as(self, repository: Repository, reference: Reference) -> Sequence[CarriedEntry]:
        """Return carried entries of that digest, or of exactly that name: read ones first, a page at most."""
        column = "digest" if ":" in reference else "name"
        page = f"{_CARRIED} AND {column} = $2 {_CARRIED_ORDER}"
        return [_carried(row) for row in await self._connection.rows(page, repository, reference, PAGE_LIMIT)]

    async def absent_children(self, repository: Repository, after: str, limit: int) -> Sequence[tuple[Digest, str]]:
        """Return what indexes list and is no manifest of the repository, with the media type, after a digest."""
        return [tuple(row) for row in await self._connection.rows(_ABSENT_CHILDREN, repository, after, _page(limit))]

    async def unread(self, repository: Repository) -> bool:
        """Tell whether the repository has something unread: then nothing of it is collected."""
        return bool((await self._connection.rows(_UNREAD, repository))[0][0])

    async def usage(self, after: str, limit: int) -> Sequence[UsageRow]:
        """Return counts of repositories with names greater than `after`."""
        return [UsageRow(*row) for row in await self._connection.rows(_USAGE, after, _page(limit))]

    async def ready(self) -> None:
        """Raise CatalogUnavailableError while it cannot be read, or takes no changes."""
        rows = await self._connection.rows(_READY)
        if not rows or rows[0][0]:
            raise CatalogUnavailableError(f"{self._connection}: it is read-only, such as a standby")

    async def _column(self, sql: str, *values: Any) -> list[Any]:
        return [row[0] for row in await self._connection.rows(sql, *values)]


def _page(limit: int) -> int:
    return max(0, min(limit, PAGE_LIMIT))


def _change(row: Any) -> Change:
    sequence, kind, repository, tag, before, after, media_type, at_ns, by, source = row
    return Change(
        sequence, ChangeKind(kind), repository, tag, before, after, media_type, at_ns, by, ChangeSource(source)
    )


def _details(row: Any) -> ManifestDetails:
    columns = list(row)
    columns[7] = tuple(columns[7])
    return ManifestDetails(*columns)


def _carried(row: Any) -> CarriedEntry:
    key, line, digest, name, media_type, unread = row
    return CarriedEntry(key, line, digest, name, media_type, Unread(unread) if unread is not None else None)
