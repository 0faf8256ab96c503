"""How staged bytes, or another repository's, become a blob: claim, publish, commit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from zot.catalog.blob_commands import (
    CheckQuota,
    ClaimBlob,
    ClaimOutcome,
    DoomBlob,
    DoomOutcome,
    DropClaim,
    PublishBlob,
    PublishOutcome,
)
from zot.catalog.command import new_id, removal_token
from zot.catalog.interface import PAGE_LIMIT
from zot.catalog.quotas import OverQuota, no_room
from zot.catalog.rows import BlobRow
from zot.oci.digest import Digest, has_digest
from zot.oci.names import Repository
from zot.registry import quota
from zot.registry.damage import BAD_DIGEST, FoundBy, size_mismatch
from zot.registry.delete import damaged_blob, remove_doomed
from zot.registry.errors import Unavailable
from zot.registry.registry import MIB, Registry
from zot.storage.interface import (
    ContentDamagedError,
    ContentMissingError,
    StorageFullError,
    UploadKey,
    UploadMissingError,
)

# A doomed blob is unlinked within milliseconds, unless the process that was about to do it died.
_DOOMED_WAIT_S = 5.0
_DOOMED_POLL_S = 0.005
# A damaged blob becomes absent within milliseconds, unless other pushes of it are about to commit.
_DAMAGED_WAIT_S = 5.0
# Repositories looked at for one to share bytes with: if none of them may, a copy does no harm.
_TWINS = 16
# Pages of repositories looked at for one that the principal may read.
_HOLDER_PAGES = 10
_NOT_THESE = f"{BAD_DIGEST}: it has not the bytes that were pushed again"
# Content below this size is not asked whether the disk has room for it before it comes.
_LARGE_BYTES = 64 * MIB


async def ensure_space(registry: Registry, repository: Repository, digest: Digest | None, size: int) -> None:
    """Refuse what has no room before it is sent, or put in its place; the commit decides it for good.

    Without `digest` it may be content that is here already, so that only what could never fit is refused. Raises
    QuotaExceeded, StorageFullError.
    """
    if quotas := registry.quotas.of(repository):
        if digest is None:
            refused = no_room(quotas, size, lambda _: 0)
        else:
            refused = await registry.catalog.do(
                CheckQuota(repository=repository, digest=digest, size=size, quotas=quotas)
            )
        if refused:
            raise quota.exceeded(repository, refused)
    if size >= _LARGE_BYTES:
        free_bytes = await registry.storage.free_bytes(repository)
        if free_bytes is not None and size > free_bytes:
            raise StorageFullError(f"{size} bytes are announced, and {free_bytes} are free")


async def publish(registry: Registry, upload: UploadKey, digest: Digest, size: int) -> None:
    """Make verified staged bytes a blob of the upload's repository, and finish the session. Durable when it returns.

    Then GET gives these bytes: content that is there already is compared with them, and replaced if it is damaged.
    Raises QuotaExceeded, StorageFullError, Unavailable.
    """

    async def place() -> None:
        twin = await _twin(registry, upload, digest, size)
        await registry.storage.publish(upload, digest, size, twin)

    async def damage(row: BlobRow) -> str:
        if row.size != size:
            return size_mismatch(row.size, size)
        return "" if await _is_staged(registry, upload, size, upload.repository, digest) else _NOT_THESE

    intent = _Intent(upload.repository, digest, size, place, FoundBy.PUSH, damage, upload.session)
    was_here = await _make_present(registry, intent)
    if was_here:
        await registry.storage.discard(upload)


async def mount(
    registry: Registry,
    repository: Repository,
    digest: Digest,
    source: Repository | None,
    readable: Callable[[Repository], bool],
) -> bool:
    """Make a blob of another repository this one's, too. False: there is none that may be read. Durable when True.

    Without `source`, any repository that is `readable` may give it: knowing a digest is no right to its content.
    """
    await registry.writable(repository)
    if source is not None:
        return (
            readable(source)
            and await _exists(registry, source)
            and await _mount_from(registry, repository, digest, source)
        )
    after = ""
    for _ in range(_HOLDER_PAGES):
        repositories_with = await registry.catalog.repositories_with(digest, after, PAGE_LIMIT)
        for holder in repositories_with:
            if readable(holder) and await _mount_from(registry, repository, digest, holder):
                return True
        if len(repositories_with) < PAGE_LIMIT:
            break
        after = repositories_with[-1]
    return False


async def _mount_from(registry: Registry, repository: Repository, digest: Digest, source: Repository) -> bool:
    row = await registry.catalog.blob(source, digest)
    if row is None:
        return False

    async def place() -> None:
        if source == repository:
            # It is to be put there, so it was removed since it was seen: no repository has its bytes any more.
            raise ContentMissingError(f"{repository} has no content {digest}")
        await registry.storage.link(source, repository, digest, row.size)

    try:
        await _make_present(registry, _Intent(repository, digest, row.size, place, FoundBy.MOUNT))
    except (ContentMissingError, ContentDamagedError) as error:  # or it was collected concurrently
        await damaged_blob(registry, source, digest, row, str(error), FoundBy.MOUNT)
        return False
    return True


async def manifest_as_blob(registry: Registry, repository: Repository, digest: Digest) -> BlobRow | None:
    """Make a manifest's bytes a blob of its repository, and return its row; None: there is no such manifest.

    Layouts keep both in one place, and clients ask for manifests as blobs, or name them in others. From then on it is a
    blob like any other. Durable when it returns. A read-only registry has it in its layout's file only.
    """
    content = await registry.catalog.manifest_content(repository, digest)
    if content is None or not has_digest(content, digest):
        return None
    if registry.read_only:
        return BlobRow(len(content), None, stamped=False)

    async def place() -> None:
        await registry.storage.put(repository, digest, content)

    await _make_present(registry, _Intent(repository, digest, len(content), place, FoundBy.PULL))
    return await registry.catalog.blob(repository, digest)


class _Intent(NamedTuple):
    """What is to become present, and how."""

    repository: Repository
    digest: Digest
    size: int
    place: Callable[[], Awaitable[None]]
    """Puts the content in its place."""
    found_by: FoundBy
    damage: Callable[[BlobRow], Awaitable[str]] | None = None
    """Says what is wrong with content that is there already; empty: nothing. None: its size alone is compared."""
    session: str | None = None


async def _make_present(registry: Registry, intent: _Intent) -> bool:
    """Have content placed, under a claim, and commit; tell whether it was there before.

    Damaged content that is there is made absent first.
    """
    repository, digest = intent.repository, intent.digest
    await ensure_space(registry, repository, digest, intent.size)
    deadline = asyncio.get_running_loop().time() + _DAMAGED_WAIT_S
    while True:
        async with _claimed(registry, repository, digest) as (claim, token):
            if claim is ClaimOutcome.CLAIMED:
                await intent.place()
            elif not await _is_intact(registry, intent):
                if asyncio.get_running_loop().time() > deadline:
                    raise Unavailable("the blob is damaged, and being pushed", retry_after_s=1, digest=digest)
                await asyncio.sleep(_DOOMED_POLL_S)
                continue
            published = await registry.catalog.do(
                PublishBlob(
                    repository=repository,
                    digest=digest,
                    token=token,
                    size=intent.size,
                    session=intent.session,
                    quotas=registry.quotas.of(repository),
                )
            )
        match published:
            case PublishOutcome.PRESENT:
                return claim is ClaimOutcome.PRESENT
            case OverQuota():  # others came first
                await _take_back(registry, repository, digest)
                raise quota.exceeded(repository, published)
            case PublishOutcome.CLAIM_LOST:  # by a restart of the catalog, or it was there and went: from the start
                continue


async def _is_intact(registry: Registry, intent: _Intent) -> bool:
    """Tell whether a blob that is present is undamaged; a damaged one is made absent, unless a push of it goes on."""
    row = await registry.catalog.blob(intent.repository, intent.digest)
    if row is None:
        return False
    if intent.damage is not None:
        error = await intent.damage(row)
    else:
        found = await registry.storage.stat(intent.repository, intent.digest)
        error = "" if found == row.size else size_mismatch(found, row.size)
    if error:
        await damaged_blob(registry, intent.repository, intent.digest, row, error, intent.found_by)
    return not error


async def _is_staged(registry: Registry, upload: UploadKey, size: int, repository: Repository, digest: Digest) -> bool:
    """Tell whether a blob has the bytes that are staged."""
    try:
        return await registry.storage.matches(upload, size, repository, digest)
    except UploadMissingError:
        # Published by another request, or by an earlier one whose outcome the client did not learn.
        return await registry.storage.stat(repository, digest) == size


async def _take_back(registry: Registry, repository: Repository, digest: Digest) -> None:
    """Remove content that was put in its place and is not to be a blob, unless another push is about to make it one."""
    token = removal_token(registry.boot)
    doomed = await registry.catalog.do(DoomBlob(repository=repository, digest=digest, token=token, stray=True))
    if doomed is DoomOutcome.DOOMED:
        await asyncio.shield(remove_doomed(registry, repository, digest, token))


@asynccontextmanager
async def _claimed(
    registry: Registry, repository: Repository, digest: Digest
) -> AsyncIterator[tuple[ClaimOutcome, str]]:
    """Claim the digest, waiting while it is being removed; drop the claim if what follows fails."""
    token = new_id()
    deadline = asyncio.get_running_loop().time() + _DOOMED_WAIT_S
    while (claim := await registry.catalog.do(ClaimBlob(repository=repository, digest=digest, token=token))) is (
        ClaimOutcome.DOOMED
    ):
        if asyncio.get_running_loop().time() > deadline:
            raise Unavailable("the blob is being removed", retry_after_s=1, digest=digest)
        await asyncio.sleep(_DOOMED_POLL_S)
    try:
        yield claim, token
    except BaseException:
        await registry.catalog.do(DropClaim(repository=repository, digest=digest, token=token))
        raise


async def _twin(registry: Registry, upload: UploadKey, digest: Digest, size: int) -> Repository | None:
    """Return another repository with the same content, whose bytes may be shared: they are compared first."""
    for holder in await registry.catalog.repositories_with(digest, "", _TWINS):
        if holder == upload.repository or not registry.shares(upload.repository, holder):
            continue
        row = await registry.catalog.blob(holder, digest)
        if row is None:
            continue
        if row.size == size and await _is_staged(registry, upload, size, holder, digest):
            return holder
        await damaged_blob(registry, holder, digest, row, _NOT_THESE, FoundBy.PUSH)
    return None


async def _exists(registry: Registry, source: Repository) -> bool:
    row = await registry.catalog.repository(source)
    if row is None and not await registry.layouts.exists(source):
        return False
    if row is None or not row.adopted:
        await registry.layouts.ensure_adopted(source)
    return True
