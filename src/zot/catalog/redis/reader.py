"""The reading half of the catalog in Redis: one script call a read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from zot.catalog.change_log import ChangeCursor, ChangePage, TagChange, change_page
from zot.catalog.interface import PAGE_LIMIT, CatalogUnavailableError
from zot.catalog.redis.rows import blob_row, carried_row, change_row, manifest_row, tag_row, upload_row
from zot.catalog.redis.script_calls import ScriptCalls
from zot.catalog.redis.scripts import read_script
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
    UnreferencedBlob,
    UploadRow,
    UsageRow,
)
from zot.oci.digest import Digest
from zot.oci.names import Reference, Repository, Tag


class _Moment:
    """The states of the repositories that a block has read, and whether one changed in between."""

    def __init__(self) -> None:
        self._states: dict[Any, Any] = {}
        self.is_torn = False

    def saw(self, repository: Any, state: Any) -> None:
        self.is_torn = self.is_torn or self._states.setdefault(repository, state) != state


class RedisReader:
    """The reads of `Catalog`. Rows are not cached: each read sees all changes that were answered before it."""

    def __init__(self, calls: ScriptCalls) -> None:
        """Read by `calls`, which are closed with the catalog."""
        self._reads = calls
        self._moment: ContextVar[_Moment | None] = ContextVar("moment", default=None)

    async def repository(self, repository: Repository) -> RepositoryRow | None:
        """Return the repository, None if there is none."""
        row = await self._read("repository", repository)
        if row is None:
            return None
        imported, size, revision, exported = (int(each or 0) for each in row)
        return RepositoryRow(repository, bool(imported), size, revision, exported)

    async def repositories(self, after: str, limit: int) -> Sequence[Repository]:
        """Return names greater than `after`."""
        return [Repository(name.decode()) for name in await self._read("repositories", after, _page(limit))]

    async def resolve(self, repository: Repository, reference: Reference) -> ManifestRow | None:
        """Return the manifest that a tag or digest stands for."""
        row = await self._read("resolve", repository, reference)
        if row is None:
            return None
        manifest = manifest_row(row[1])
        return ManifestRow(Digest(row[0].decode()), manifest.media_type, manifest.size, bool(row[2]))

    async def manifest_content(self, repository: Repository, digest: Digest) -> bytes | None:
        """Return the bytes of a manifest."""
        content: bytes | None = await self._read("manifest_content", repository, digest)
        return content

    async def manifest(self, repository: Repository, digest: Digest) -> ManifestDetails | None:
        """Return what is known of a manifest, with its tags."""
        row = await self._read("manifest", repository, digest)
        return _details(row) if row is not None else None

    async def manifests(self, repository: Repository, after: str, limit: int) -> Sequence[ManifestDetails]:
        """Return manifests with digests greater than `after`."""
        return [_details(row) for row in await self._read("manifests", repository, after, _page(limit))]

    async def tags(self, repository: Repository, after: str, limit: int) -> Sequence[TagRow]:
        """Return tags with names greater than `after`."""
        rows = await self._read("tags", repository, after, _page(limit))
        return [tag_row(packed).row(Tag(name.decode())) for name, packed in rows]

    async def tag(self, repository: Repository, tag: Tag) -> TagRow | None:
        """Return a tag."""
        packed = await self._read("tag", repository, tag)
        row: TagRow | None = tag_row(packed).row(tag) if packed is not None else None
        return row

    async def tag_log(self, repository: Repository, tag: Tag | None, before: int | None, limit: int) -> list[TagChange]:
        """Return changes of one tag or of all, newest first, with sequence numbers less than `before`."""
        until = "" if before is None else before
        rows = await self._read("tag_log", repository, until, _page(limit), *([] if tag is None else [tag]))
        return [change_row(packed).tag_change(int(sequence)) for sequence, packed in rows]

    async def changes(self, after: ChangeCursor | None, limit: int) -> ChangePage:
        """Return entries of the change log that follow a cursor, oldest first."""
        at = after or ChangeCursor(0, 0)
        trimmed, sequence, last, known, rows = await self._read("changes", at.sequence, _page(limit))
        newest = ChangeCursor(sequence, change_row(last).at_ns if last is not None else 0)
        is_known = known is not None and at.at_ns in (None, change_row(known).at_ns)
        changes = [change_row(packed).change(int(each)) for each, packed in rows]
        return change_page(after, changes, trimmed=trimmed, newest=newest, is_known=is_known)

    async def referrers(
        self, repository: Repository, subject: Digest, artifact_types: Sequence[str], after: str, limit: int
    ) -> Sequence[ReferrerRow]:
        """Return manifests whose subject this is, with digests greater than `after`; all types if none is named."""
        rows = await self._read("referrers", repository, subject, after, _page(limit), *artifact_types)
        return [manifest_row(packed).referrer(Digest(digest.decode())) for digest, packed in rows]

    async def blob(self, repository: Repository, digest: Digest) -> BlobRow | None:
        """Return a present blob."""
        row = await self._read("blob", repository, digest)
        blob = blob_row(row[0]) if row is not None else None
        if blob is None or blob.doom is not None:
            return None
        media_type = row[1].decode().partition(" ")[2] if row[1] is not None else None
        return BlobRow(blob.size, media_type, blob.marked_s is not None, blob.placed_ns, blob.held)

    async def blobs(self, repository: Repository, after: str, limit: int) -> Sequence[tuple[Digest, int]]:
        """Return present blobs, digest and size, with digests greater than `after`."""
        rows = await self._read("blobs", repository, after, _page(limit))
        return [(Digest(digest.decode()), blob_row(packed).size) for digest, packed in rows]

    async def held_content(self, repository: Repository, digest: Digest) -> bytes | None:
        """Return the bytes of a present blob that the catalog holds; None: its file has them."""
        content: bytes | None = await self._read("held_content", repository, digest)
        return content

    async def held_blobs(self, repository: Repository, after: str, limit: int) -> Sequence[tuple[Digest, int]]:
        """Return held blobs, digest and `placed_ns`, with digests greater than `after`."""
        rows = await self._read("held_blobs", repository, after, _page(limit))
        return [(Digest(digest.decode()), blob_row(packed).placed_ns) for digest, packed in rows]

    async def repositories_with(self, digest: Digest, after: str, limit: int) -> Sequence[Repository]:
        """Return repositories in which the blob is present, with names greater than `after`."""
        return [
            Repository(name.decode()) for name in await self._read("repositories_with", digest, after, _page(limit))
        ]

    async def upload(self, session: str) -> UploadRow | None:
        """Return an upload session, finished ones included."""
        packed = await self._read("upload", session)
        row: UploadRow | None = upload_row(packed).row(session) if packed is not None else None
        return row

    async def uploads(self, idle_s: float, after: str, limit: int) -> Sequence[UploadRow]:
        """Return sessions, finished ones too, with ids greater than `after` that nothing happened to for so long."""
        rows = await self._read("uploads", idle_s, after, _page(limit))
        return [upload_row(packed).row(session.decode()) for session, packed in rows]

    async def unreferenced_blobs(self, repository: Repository, after: str, limit: int) -> Sequence[UnreferencedBlob]:
        """Return present blobs that nothing references, with digests greater than `after`."""
        rows = await self._read("unreferenced_blobs", repository, after, _page(limit))
        found = [(Digest(digest.decode()), blob_row(packed)) for digest, packed in rows]
        return [UnreferencedBlob(digest, blob.size, blob.marked_s) for digest, blob in found]

    async def dangling_manifests(self, repository: Repository, after: str, limit: int) -> Sequence[DanglingManifest]:
        """Return manifests that nothing keeps, with digests greater than `after`."""
        found: list[DanglingManifest] = []
        for digest, packed, mark in await self._read("dangling_manifests", repository, after, _page(limit)):
            each = manifest_row(packed)
            marked_s = float(mark) if mark is not None else None
            name = Digest(digest.decode())
            found.append(
                DanglingManifest(name, each.media_type, each.size, each.subject, int(each.pushed_ns), marked_s)
            )
        return found

    async def doomed(self, limit: int) -> Sequence[PendingDelete]:
        """Return pending deletes: blobs that are doomed and not yet forgotten, abandoned ones first."""
        found: list[PendingDelete] = []
        for name, digest, packed, abandoned in await self._read("doomed", _page(limit)):
            blob = blob_row(packed)
            found.append(
                PendingDelete(
                    Repository(name.decode()),
                    Digest(digest.decode()),
                    blob.doom,
                    blob.owner,
                    bool(abandoned),
                    blob.disposal,
                )
            )
        return found

    async def export(self, repository: Repository) -> ExportRow | None:
        """Return how the repository's layout stands."""
        row = await self._read("export", repository)
        if row is None:
            return None
        revision, exported, *texts = row
        return ExportRow(
            repository, int(revision), int(exported), *(None if each is None else each.decode() for each in texts)
        )

    async def exports_due(self, limit: int) -> Sequence[Repository]:
        """Return imported repositories whose layout does not show all changes, longest due first."""
        return [Repository(name.decode()) for name in await self._read("exports_due", _page(limit))]

    async def carried(self, repository: Repository, after: str, limit: int) -> Sequence[CarriedEntry]:
        """Return entries of the repository's `index.json` that are carried along, with keys greater than `after`."""
        rows = await self._read("carried", repository, after, _page(limit))
        return [carried_row(packed).row(key.decode()) for key, packed in rows]

    async def carried_as(self, repository: Repository, reference: Reference) -> Sequence[CarriedEntry]:
        """Return carried entries of that digest, or of exactly that name: read ones first, a page at most."""
        rows = await self._read("carried_as", repository, reference)
        found = [carried_row(packed).row(key.decode()) for key, packed in rows]
        return sorted(found, key=lambda each: (each.unread is not None, each.key))[:PAGE_LIMIT]

    async def absent_children(self, repository: Repository, after: str, limit: int) -> Sequence[tuple[Digest, str]]:
        """Return what indexes list and is no manifest of the repository, with the media type, after a digest."""
        rows = await self._read("absent_children", repository, after, _page(limit))
        return [(Digest(digest.decode()), media_type.decode()) for digest, media_type in rows]

    async def unread(self, repository: Repository) -> bool:
        """Tell whether the repository has something unread: then nothing of it is collected."""
        return int(await self._read("unread", repository) or 0) > 0

    async def usage(self, after: str, limit: int) -> Sequence[UsageRow]:
        """Return counts of repositories with names greater than `after`."""
        rows = await self._read("usage", after, _page(limit))
        return [UsageRow(Repository(name.decode()), *map(int, counts)) for name, *counts in rows]

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        """Have the reads of the block see one state of each repository that they read.

        It raises CatalogUnavailableError at its end if a command on such a repository came between.
        """
        moment = _Moment()
        before = self._moment.set(moment)
        try:
            yield
        finally:
            self._moment.reset(before)
        if moment.is_torn:
            raise CatalogUnavailableError("the repository was changed while it was read: read it again")

    async def _read(self, name: str, *arguments: Any) -> Any:
        moment = self._moment.get()
        if moment is None:
            (row,) = await self._reads.evaluate(read_script(name), "", *arguments)
            return row
        row, state = await self._reads.evaluate(read_script(name), "state", *arguments)
        moment.saw(arguments[0], state)
        return row


def _page(limit: int) -> int:
    return max(0, min(limit, PAGE_LIMIT))


def _details(row: list[Any]) -> ManifestDetails:
    digest, packed, tags, carried = row
    details: ManifestDetails = manifest_row(packed).details(Digest(digest.decode()), tags, carried=bool(carried))
    return details
