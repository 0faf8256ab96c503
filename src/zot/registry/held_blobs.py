"""Small blobs whose bytes the catalog holds, as those of manifests, until the export places their files.

A push of one is one commit: nothing is staged, claimed or synced beside the catalog. What reads a blob asks its row
(`BlobRow.held`) where the bytes are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

from zot.catalog.blob_commands import PlacedBlob, PutBlob, PutOutcome, ReleaseBlobs
from zot.catalog.interface import Catalog
from zot.catalog.quotas import OverQuota
from zot.catalog.rows import BlobRow, UploadRow
from zot.oci.digest import Digest, has_digest
from zot.oci.names import Repository
from zot.registry import quota
from zot.registry.blob_deletion import quarantine_damaged
from zot.registry.damage import BAD_DIGEST, DamageReports, FoundBy
from zot.registry.errors import BlobUnknown, Unavailable
from zot.registry.registry import Registry
from zot.storage.interface import Storage, StorageBusyError, StorageError

# A doomed blob is unlinked, and a damaged one made absent, within milliseconds, unless a process died meanwhile.
_WAIT_S = 5.0
_POLL_S = 0.005
# Files placed in one step: some MiB in memory.
_TOGETHER = 64
_OTHER_BYTES = f"{BAD_DIGEST}: its bytes differ from those that were pushed again"
_HELD_DAMAGE = f"{BAD_DIGEST} of a blob in the catalog"


async def put_blob(
    registry: Registry,
    repository: Repository,
    digest: Digest,
    content: bytes,
    found_by: FoundBy,
    *,
    upload: UploadRow | None = None,
    by: str = "",
) -> bool:
    """Make verified bytes of at most HELD_LIMIT_BYTES a blob of the repository. Durable when it returns. Idempotent.

    With `upload`, that session is finished in the same commit; False: it is gone, finished as another blob, or a newer
    request has it, and nothing was changed. A file that is there already is compared with the bytes, and replaced if it
    is damaged. Raises QuotaExceeded, Unavailable, StorageBusyError.
    """
    command = PutBlob(
        repository=repository,
        digest=digest,
        content=content,
        session=upload.session if upload is not None else None,
        epoch=upload.epoch if upload is not None else 0,
        quotas=registry.quotas.of(repository),
        by=by,
    )
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _WAIT_S
    while True:
        row = await registry.catalog.blob(repository, digest)
        compared = row is not None and await _is_intact(registry, repository, digest, row, content, found_by)
        if row is None or compared:
            outcome = await _once_absent(registry, command)
            match outcome:
                case PutOutcome.UPLOAD_LOST:
                    return False
                case OverQuota():
                    raise quota.exceeded(repository, outcome)
                case PutOutcome.STORED:
                    return True
                case PutOutcome.PRESENT if compared:
                    return True
        if loop.time() > deadline:
            raise Unavailable("the blob is damaged, and being pushed", retry_after_s=1, digest=digest)
        await asyncio.sleep(_POLL_S)


async def _once_absent(registry: Registry, command: PutBlob) -> PutOutcome | OverQuota:
    """Carry out a command, waiting while its blob is being deleted. Raises Unavailable."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _WAIT_S
    while (outcome := await registry.catalog.do(command)) is PutOutcome.DOOMED:
        if loop.time() > deadline:
            raise Unavailable("the blob is being removed", retry_after_s=1, digest=command.digest)
        await asyncio.sleep(_POLL_S)
    return outcome


async def _is_intact(
    registry: Registry, repository: Repository, digest: Digest, row: BlobRow, content: bytes, found_by: FoundBy
) -> bool:
    """Return whether the file of a present blob has these bytes; a damaged one is made absent, unless it is pushed."""
    # PutBlob replaces damaged bytes that are held.
    if row.held or await has_bytes(registry.storage, repository, digest, content):
        return True
    await quarantine_damaged(registry, repository, digest, row, _OTHER_BYTES, found_by)
    return False


async def has_bytes(storage: Storage, repository: Repository, digest: Digest, content: bytes) -> bool:
    """Return whether stored content has these bytes; False if it cannot be read. Raises StorageBusyError."""
    try:
        opened = await storage.open(repository, digest)
        try:
            return opened.size == len(content) and await opened.read(0, len(content)) == content
        finally:
            opened.close()
    except StorageBusyError:
        raise
    except StorageError:  # missing, or a sector that cannot be read
        return False


async def place_held(
    catalog: Catalog,
    storage: Storage,
    damage: DamageReports,
    repository: Repository,
    others: Mapping[Digest, bytes] | None = None,
) -> AsyncIterator[ReleaseBlobs]:
    """Place the files of a repository's held blobs, in steps; yield what releases the bytes of each step. Durable.

    `others` are further contents, such as manifests: they are written in the first step, and share its syncs. A blob
    whose bytes are damaged is reported and stays as it is: a read makes it absent. Idempotent. Raises CatalogError,
    StorageError.
    """
    after, contents = "", dict(others or {})
    while True:
        placed = []
        page = await catalog.held_blobs(repository, after, _TOGETHER)
        for digest, placed_ns in page:
            content = await catalog.held_content(repository, digest)
            if content is None:  # deleted concurrently
                continue
            if has_digest(content, digest):
                contents[digest] = content
                # By the version that was read before: the file of a later one may have been unlinked.
                placed.append(PlacedBlob(digest, placed_ns))
            else:
                outcome = "it is not written to the layout: the next pull makes it missing until it is pushed again"
                damage.report(repository, digest, _HELD_DAMAGE, FoundBy.EXPORT, outcome)
        if contents:
            await storage.put_all({repository: contents})
        if placed:
            yield ReleaseBlobs(repository=repository, placed=tuple(placed))
        if len(page) < _TOGETHER:
            return
        after, contents = page[-1][0], {}


async def read_held(
    registry: Registry, repository: Repository, digest: Digest, row: BlobRow, found_by: FoundBy
) -> bytes | None:
    """Return the bytes of a held blob; None: by now its file has them, or it is gone.

    Raises BlobUnknown if they do not have the digest; then the blob is made absent, so that the next push heals it.
    """
    content = await registry.catalog.held_content(repository, digest)
    if content is None or has_digest(content, digest):
        return content
    await quarantine_damaged(registry, repository, digest, row, _HELD_DAMAGE, found_by)
    raise BlobUnknown(digest=digest)


async def is_held_intact(
    registry: Registry, repository: Repository, digest: Digest, row: BlobRow, found_by: FoundBy
) -> bool:
    """Return whether the bytes of a held blob are undamaged and still held; damaged ones are made absent."""
    try:
        return await read_held(registry, repository, digest, row, found_by) is not None
    except BlobUnknown:
        return False
