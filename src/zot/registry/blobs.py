"""Blobs: pull, delete, and mount from another repository."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from zot.catalog.blob_commands import DoomBlob, DoomOutcome, TouchBlob
from zot.catalog.command import new_id
from zot.catalog.interface import PAGE_LIMIT
from zot.catalog.rows import BlobRow
from zot.oci.digest import Digest
from zot.oci.names import Repository
from zot.registry.blob_commit import BlobCommit, commit_blob, ensure_space, manifest_as_blob
from zot.registry.blob_deletion import delete_blob, quarantine_damaged
from zot.registry.blob_fetch import FetchedContent
from zot.registry.damage import FoundBy, size_mismatch
from zot.registry.errors import BlobUnknown, InUse, NameUnknown, Unavailable
from zot.registry.fetch import fetch_blob, open_blob
from zot.registry.held_blobs import put_blob, read_held
from zot.registry.registry import Registry
from zot.registry.request import PullBlob
from zot.storage.interface import Content, ContentDamagedError, ContentMissingError, HeldContent

# Pages of repositories searched for one that has the blob and that the principal may read.
_HOLDER_PAGES = 10


async def pull(registry: Registry, request: PullBlob) -> BlobRow:
    """Return the row of a present blob; a manifest of that digest is one, too. Raises BlobUnknown, NameUnknown.

    The caller may rely on the blob for the collection's delay: a marked blob loses its mark, and one that is gone by
    then is unknown. One that an upstream has is stored by then.
    """
    found = await _pull(registry, request, fetch_blob)
    assert isinstance(found, BlobRow)
    return found


async def pull_or_follow(registry: Registry, request: PullBlob) -> BlobRow | FetchedContent:
    """Return the row of a present blob as `pull` does, or one that is on its way from an upstream, open for reading."""
    return await _pull(registry, request, open_blob)


async def _pull(registry: Registry, request: PullBlob, fetch: Fetch) -> BlobRow | FetchedContent:
    found: BlobRow | FetchedContent | None = await registry.catalog.blob(request.repository, request.digest)
    if found is None:
        found = await _outside_catalog(registry, request, fetch)
    if found is None or (
        isinstance(found, BlobRow)
        and found.marked
        and not await registry.touch(TouchBlob(repository=request.repository, digest=request.digest))
    ):
        raise BlobUnknown(digest=request.digest)
    return found


Fetch = Callable[[Registry, Repository, Digest], Awaitable[BlobRow | FetchedContent | None]]
"""Gets a blob from an upstream: all of it, or as it comes."""


async def _outside_catalog(registry: Registry, request: PullBlob, fetch: Fetch) -> BlobRow | FetchedContent | None:
    """Make present a blob of an unimported layout, a manifest's bytes, or an upstream's blob. Raises NameUnknown."""
    repository, digest = request.repository, request.digest
    known = await registry.is_known(repository)
    if known:
        row = await registry.catalog.blob(repository, digest) or await manifest_as_blob(registry, repository, digest)
        if row is not None:
            return row
    found = await fetch(registry, repository, digest)
    if found is None and not known:
        raise NameUnknown(name=repository)
    return found


async def open_content(registry: Registry, request: PullBlob, row: BlobRow) -> tuple[Content, BlobRow]:
    """Open a present blob for reading; return its row as well, a later one if it was pushed since.

    A blob that is missing or has another size is made absent, so that the next push heals it. Raises BlobUnknown for
    it, and if it was deleted since `row` was read; StorageError.
    """
    while True:
        if row.held:
            content = await read_held(registry, request.repository, request.digest, row, FoundBy.PULL)
            if content is not None:
                return HeldContent(content), row
            row = await _later_row(registry, request)
            continue
        try:
            opened = await registry.storage.open(request.repository, request.digest)
        except ContentMissingError:
            found = None
        else:
            if opened.size == row.size:
                return opened, row
            found = opened.size
            opened.close()
        row = await _row_after_damage(registry, request, row, found)


async def check_content(registry: Registry, request: PullBlob, row: BlobRow) -> BlobRow:
    """Return the row of a blob whose content `open_content` would open, without opening it. Raises the same errors.

    A client that finds a blob here does not push it.
    """
    while not row.held and (found := await registry.storage.stat(request.repository, request.digest)) != row.size:
        row = await _row_after_damage(registry, request, row, found)
    return row


async def _later_row(registry: Registry, request: PullBlob) -> BlobRow:
    """Return the row of a blob as it is by now. Raises BlobUnknown."""
    row = await registry.catalog.blob(request.repository, request.digest)
    if row is None:
        raise BlobUnknown(digest=request.digest)
    return row


async def _row_after_damage(registry: Registry, request: PullBlob, row: BlobRow, found: int | None) -> BlobRow:
    """Return the row of a later push of a blob that was found damaged; without one the blob is made absent.

    `found` is the size of its content, None if it is missing. Raises BlobUnknown.
    """
    now = await _later_row(registry, request)
    if now.placed_ns == row.placed_ns:
        error = size_mismatch(found, row.size)
        await quarantine_damaged(registry, request.repository, request.digest, row, error, FoundBy.PULL)
        raise BlobUnknown(digest=request.digest)
    return now


async def delete(registry: Registry, repository: Repository, digest: Digest) -> None:
    """Delete a blob that no manifest names. When it returns the blob is gone, durably, and so is its file.

    Raises BlobUnknown, NameUnknown, InUse, Unavailable.
    """
    registry.refuse_if_read_only()
    await registry.known(repository)
    doom = DoomBlob(repository=repository, digest=digest, token=new_id(), owner=registry.catalog.owner)
    match await delete_blob(registry.catalog, registry.storage, doom):
        case DoomOutcome.ABSENT:
            raise BlobUnknown(digest=digest)
        case DoomOutcome.REFERENCED:
            raise InUse("a manifest of the repository names the blob", digest=digest)
        case DoomOutcome.CLAIMED:
            raise Unavailable("the blob is being pushed", retry_after_s=1, digest=digest)
        case DoomOutcome.DOOMED:
            pass


async def mount(
    registry: Registry,
    repository: Repository,
    digest: Digest,
    source: Repository | None,
    readable: Callable[[Repository], bool],
    *,
    by: str = "",
) -> bool:
    """Make a blob of another repository a blob of this one, too. Durable when True; False: no such blob is readable.

    Without `source`, any repository that is `readable` may give it: knowing a digest is no right to its content.
    Idempotent. Raises QuotaExceeded, StorageFullError, Unavailable.
    """
    await registry.writable(repository, by)
    if source is not None:
        return (
            readable(source)
            and await registry.is_known(source)
            and await _mount_from(registry, repository, digest, source)
        )
    after = ""
    for _ in range(_HOLDER_PAGES):
        holders = await registry.catalog.repositories_with(digest, after, PAGE_LIMIT)
        for holder in holders:
            if readable(holder) and await _mount_from(registry, repository, digest, holder):
                return True
        if len(holders) < PAGE_LIMIT:
            break
        after = holders[-1]
    return False


async def _mount_from(registry: Registry, repository: Repository, digest: Digest, source: Repository) -> bool:
    row = await registry.catalog.blob(source, digest)
    if row is None:
        return False
    await ensure_space(registry, repository, digest, row.size)
    if row.held:
        try:
            content = await read_held(registry, source, digest, row, FoundBy.MOUNT)
        except BlobUnknown:
            return False
        if content is not None:
            await put_blob(registry, repository, digest, content, FoundBy.MOUNT)
            return True
        # Its file is placed by now, or it was deleted.
    return await _mount_file(registry, repository, digest, source, row)


async def _mount_file(
    registry: Registry, repository: Repository, digest: Digest, source: Repository, row: BlobRow
) -> bool:
    async def place() -> None:
        if source == repository:
            # The claim says that it is absent, so it was deleted since its row was read.
            raise ContentMissingError(f"{repository} has no content {digest}")
        await registry.storage.link(source, repository, digest, row.size)

    try:
        await commit_blob(registry, BlobCommit(repository, digest, row.size, place, FoundBy.MOUNT))
    except (ContentMissingError, ContentDamagedError) as error:  # or it was collected concurrently
        await quarantine_damaged(registry, source, digest, row, str(error), FoundBy.MOUNT)
        return False
    return True
