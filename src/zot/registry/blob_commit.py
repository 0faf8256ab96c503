"""How staged bytes, or another repository's, become a blob: claim its digest, place the content, commit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import TracebackType
from typing import NamedTuple, Self

from zot.catalog.blob_commands import (
    CheckQuota,
    ClaimBlob,
    ClaimOutcome,
    DoomBlob,
    DropClaim,
    PublishBlob,
    PublishOutcome,
)
from zot.catalog.command import new_id
from zot.catalog.quotas import OverQuota, exceeded_quota
from zot.catalog.rows import BlobRow
from zot.catalog.upload_commands import Claim
from zot.oci.digest import Digest, has_digest
from zot.oci.names import Repository
from zot.registry import quota
from zot.registry.blob_deletion import delete_blob, quarantine_damaged
from zot.registry.damage import BAD_DIGEST, FoundBy, size_mismatch
from zot.registry.errors import BodyTooLarge, Unavailable
from zot.registry.held_blobs import has_bytes, is_held_intact
from zot.registry.registry import MIB, Registry
from zot.storage.interface import ContentDamagedError, Progress, StorageFullError, UploadKey, UploadMissingError

# A doomed blob is removed within milliseconds, unless the process that was about to remove it died, or the outcome of
# its request to an object store is unknown: then it stays doomed until the request has expired.
_DOOMED_WAIT_S = 5.0
_DOOMED_POLL_S = 0.005
# A damaged blob becomes absent within milliseconds, unless other pushes of it are about to commit.
_DAMAGED_WAIT_S = 5.0
# Repositories tried for one to share bytes with: if none of them may, the blob is stored once more.
_TWINS = 16
_OTHER_BYTES = f"{BAD_DIGEST}: its bytes differ from those that were pushed again"
BLOB_LIMIT_BYTES = 1 << 50
"""More than any disk or object store keeps in one file: a larger announcement is a fault of the client."""
# Below this size the free space of the disk is not checked before content is received.
_LARGE_BYTES = 64 * MIB


class BlobCommit(NamedTuple):
    """A blob that is to become present, and how its content gets there."""

    repository: Repository
    digest: Digest
    size: int
    place: Callable[[], Awaitable[None]]
    """Puts the content in its place in the store."""
    found_by: FoundBy
    damage: Callable[[BlobRow], Awaitable[str]] | None = None
    """Returns what is wrong with content that is there already, empty if nothing is; None: its size is compared."""
    session: str | None = None
    """The upload that is finished by the commit."""


class BlobClaim:
    """A push's claim of a digest, taken by itself or with another command. It is dropped if the block fails."""

    def __init__(self, registry: Registry, repository: Repository, digest: Digest) -> None:
        """Prepare a claim: no command is given yet."""
        self._registry = registry
        self._repository = repository
        self.digest = digest
        self.token = new_id()
        self.outcome: ClaimOutcome | None = None
        self.is_standing = False
        """Whether the catalog may have it."""

    def wanted(self) -> Claim:
        """Return what makes another command take the claim; its outcome is to be set as `outcome`."""
        self.is_standing = True
        return Claim(self.digest, self.token)

    async def take(self) -> ClaimOutcome:
        """Return what came of the claim; take it, unless it was taken, waiting while the blob is being deleted.

        Raises Unavailable.
        """
        claiming = ClaimBlob(
            repository=self._repository, digest=self.digest, token=self.token, owner=self._registry.catalog.owner
        )
        deadline = asyncio.get_running_loop().time() + _DOOMED_WAIT_S
        while self.outcome in (None, ClaimOutcome.DOOMED):
            self.is_standing = True
            self.outcome = await self._registry.catalog.do(claiming)
            if self.outcome is ClaimOutcome.DOOMED:
                if asyncio.get_running_loop().time() > deadline:
                    raise Unavailable("the blob is being removed", retry_after_s=1, digest=self.digest)
                await asyncio.sleep(_DOOMED_POLL_S)
        assert self.outcome is not None
        return self.outcome

    async def __aenter__(self) -> Self:
        """Drop the claim if the block raises."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Drop the claim after an error, if it may stand."""
        if error is not None and self.is_standing:
            self.is_standing = False
            await self._registry.catalog.do(
                DropClaim(repository=self._repository, digest=self.digest, token=self.token)
            )


async def ensure_space(registry: Registry, repository: Repository, digest: Digest | None, size: int) -> None:
    """Refuse content that the quota or the disk has no space for, before it is received.

    Without `digest` the content may be here already, so only what could never fit is refused. The commit decides on
    the quota for good. Raises BodyTooLarge, QuotaExceeded, StorageFullError.
    """
    if size > BLOB_LIMIT_BYTES:
        raise BodyTooLarge(f"a blob has at most {BLOB_LIMIT_BYTES} bytes", length=size)
    if quotas := registry.quotas.of(repository):
        if digest is None:
            refused = exceeded_quota(quotas, size, lambda _: 0)
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


async def commit_upload(registry: Registry, upload: UploadKey, staged: Progress, claim: BlobClaim) -> None:
    """Make verified staged bytes the blob that is claimed, and finish the session. Durable when it returns.

    Content that is there already is compared with the staged bytes, and replaced if it is damaged. The caller has
    checked the quota. Raises QuotaExceeded, StorageFullError, Unavailable.
    """
    digest, size = claim.digest, staged.offset

    async def place() -> None:
        twin = await _twin(registry, upload, staged, digest)
        await registry.storage.place(upload, staged, digest, twin)

    async def damage(row: BlobRow) -> str:
        if row.size != size:
            return size_mismatch(row.size, size)
        return "" if await _equals_staged(registry, upload, staged, upload.repository, digest) else _OTHER_BYTES

    blob = BlobCommit(upload.repository, digest, size, place, FoundBy.PUSH, damage, upload.session)
    if await commit_blob(registry, blob, claim):
        await registry.storage.discard(upload)


async def commit_pieces(
    registry: Registry, repository: Repository, pieces: Sequence[bytes], claim: BlobClaim, session: str
) -> None:
    """Make bytes in memory the blob that is claimed, and finish the session. Durable when it returns.

    They are verified in the job that writes them. Content that is there already is compared with them, and replaced if
    it is damaged. Raises DigestMismatchError, QuotaExceeded, StorageFullError, Unavailable.
    """
    digest, size = claim.digest, sum(map(len, pieces))
    if await claim.take() is ClaimOutcome.PRESENT:
        await registry.storage.verify_pieces(repository, digest, pieces)

    async def place() -> None:
        async for holder, row in _holders(registry, repository, digest, size):
            try:
                await registry.storage.put_verified(repository, digest, pieces, holder)
            except ContentDamagedError:
                await quarantine_damaged(registry, holder, digest, row, _OTHER_BYTES, FoundBy.PUSH)
            else:
                return
        await registry.storage.put_verified(repository, digest, pieces, None)

    async def damage(row: BlobRow) -> str:
        if row.size != size:
            return size_mismatch(row.size, size)
        return "" if await has_bytes(registry.storage, repository, digest, b"".join(pieces)) else _OTHER_BYTES

    await commit_blob(registry, BlobCommit(repository, digest, size, place, FoundBy.PUSH, damage, session), claim)


async def manifest_as_blob(registry: Registry, repository: Repository, digest: Digest) -> BlobRow | None:
    """Make a manifest's bytes a blob of its repository, and return its row; None: there is no such manifest.

    Layouts keep both in one place, and clients ask for manifests as blobs, or name them in others. From then on it is a
    blob like any other. Durable when it returns. A read-only registry has it in its layout's file only. Raises
    QuotaExceeded, StorageFullError, Unavailable.
    """
    content = await registry.catalog.manifest_content(repository, digest)
    if content is None or not has_digest(content, digest):
        return None
    if registry.read_only:
        return BlobRow(len(content), None, marked=False)

    async def place() -> None:
        await registry.storage.put(repository, digest, content)

    await ensure_space(registry, repository, digest, len(content))
    await commit_blob(registry, BlobCommit(repository, digest, len(content), place, FoundBy.PULL))
    return await registry.catalog.blob(repository, digest)


async def commit_blob(registry: Registry, blob: BlobCommit, claim: BlobClaim | None = None) -> bool:
    """Have content placed, under a claim, and commit it; return whether the blob was present before.

    The first attempt uses `claim`, if it is given. Damaged content that is there is made absent first. Durable when it
    returns. Raises QuotaExceeded, Unavailable.
    """
    repository, digest = blob.repository, blob.digest
    deadline = asyncio.get_running_loop().time() + _DAMAGED_WAIT_S
    while True:
        async with claim or BlobClaim(registry, repository, digest) as held:
            claim = None
            outcome = await held.take()
            if outcome is ClaimOutcome.CLAIMED:
                await blob.place()
            elif not await _is_intact(registry, blob):
                if asyncio.get_running_loop().time() > deadline:
                    raise Unavailable("the blob is damaged, and being pushed", retry_after_s=1, digest=digest)
                await asyncio.sleep(_DOOMED_POLL_S)
                continue
            published = await registry.catalog.do(
                PublishBlob(
                    repository=repository,
                    digest=digest,
                    token=held.token,
                    size=blob.size,
                    session=blob.session,
                    quotas=registry.quotas.of(repository),
                )
            )
            held.is_standing = False
        match published:
            case PublishOutcome.PRESENT:
                return outcome is ClaimOutcome.PRESENT
            case OverQuota():  # other pushes used the quota concurrently
                await _take_back(registry, repository, digest)
                raise quota.exceeded(repository, published)
            case PublishOutcome.CLAIM_LOST:  # the catalog restarted, or the blob was present and has been deleted
                continue


async def _is_intact(registry: Registry, blob: BlobCommit) -> bool:
    """Return whether a present blob is undamaged; a damaged one is made absent, unless it is being pushed."""
    row = await registry.catalog.blob(blob.repository, blob.digest)
    if row is not None and row.held:
        return await is_held_intact(registry, blob.repository, blob.digest, row, blob.found_by)
    if row is None:
        return False
    if blob.damage is not None:
        error = await blob.damage(row)
    else:
        found = await registry.storage.stat(blob.repository, blob.digest)
        error = "" if found == row.size else size_mismatch(found, row.size)
    if error:
        await quarantine_damaged(registry, blob.repository, blob.digest, row, error, blob.found_by)
    return not error


async def _equals_staged(
    registry: Registry, upload: UploadKey, staged: Progress, repository: Repository, digest: Digest
) -> bool:
    """Return whether a blob's content has the bytes that are staged."""
    try:
        return await registry.storage.matches(upload, staged, repository, digest)
    except UploadMissingError:
        # Placed by a concurrent request, or by an earlier one whose response the client did not receive.
        return await registry.storage.stat(repository, digest) == staged.offset


async def _take_back(registry: Registry, repository: Repository, digest: Digest) -> None:
    """Delete content that was placed and may not become a blob, unless another push is about to commit it."""
    doom = DoomBlob(repository=repository, digest=digest, token=new_id(), owner=registry.catalog.owner, orphan=True)
    await delete_blob(registry.catalog, registry.storage, doom)


async def _twin(registry: Registry, upload: UploadKey, staged: Progress, digest: Digest) -> Repository | None:
    """Return another repository whose file of the same content may be shared, its bytes compared; None: there is none.

    A damaged one that is found on the way is made absent.
    """
    async for holder, row in _holders(registry, upload.repository, digest, staged.offset):
        if await _equals_staged(registry, upload, staged, holder, digest):
            return holder
        await quarantine_damaged(registry, holder, digest, row, _OTHER_BYTES, FoundBy.PUSH)
    return None


async def _holders(
    registry: Registry, repository: Repository, digest: Digest, size: int
) -> AsyncIterator[tuple[Repository, BlobRow]]:
    """Iterate over repositories whose file of that content may be shared with another one, as their rows say.

    One of another size is made absent.
    """
    for holder in await registry.catalog.repositories_with(digest, "", _TWINS):
        if holder == repository or not registry.shares(repository, holder):
            continue
        row = await registry.catalog.blob(holder, digest)
        # It has no file yet, if the catalog holds its bytes.
        if row is None or row.held:
            continue
        if row.size == size:
            yield holder, row
        else:
            await quarantine_damaged(registry, holder, digest, row, _OTHER_BYTES, FoundBy.PUSH)
