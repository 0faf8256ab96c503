"""Deleting tags, manifests and blobs: gone at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from zot.catalog.blob_commands import DoomBlob, DoomOutcome, ForgetBlob
from zot.catalog.command import removal_token
from zot.catalog.manifest_commands import Absent, Deleted, DeleteTag, Referenced, RemoveManifest, TagRefused, TagsDiffer
from zot.catalog.rows import BlobRow
from zot.oci.digest import Digest
from zot.oci.names import Repository, Tag
from zot.registry.damage import FoundBy
from zot.registry.errors import (
    BlobUnknown,
    InUse,
    ManifestConflict,
    ManifestUnknown,
    TagImmutable,
    Unavailable,
)
from zot.registry.registry import Registry

# How often a decision is made anew because the tags changed meanwhile.
_DECISIONS = 5


async def tag(registry: Registry, repository: Repository, tag: Tag, *, immutable: bool, by: str) -> None:
    """Delete a tag; its manifest stays. Raises ManifestUnknown, NameUnknown, TagImmutable."""
    registry.refuse_if_read_only()
    await registry.known(repository)
    outcome = await registry.catalog.do(DeleteTag(repository=repository, tag=tag, immutable=immutable, by=by))
    match outcome:
        case Absent():
            raise ManifestUnknown(reference=tag)
        case TagRefused():
            raise TagImmutable(f"tag {tag!r} is immutable", reference=tag)


async def manifest(
    registry: Registry,
    repository: Repository,
    digest: Digest,
    *,
    immutable: Callable[[Tag], bool],
    detect_collision: bool,
    by: str,
) -> None:
    """Delete a manifest with all its tags, each of which passes the guard that deleting it alone would.

    Raises ManifestUnknown, NameUnknown, TagImmutable, InUse (an index lists it), ManifestConflict (it
    has several tags and the caller asked to be told).
    """
    registry.refuse_if_read_only()
    await registry.known(repository)
    details = await registry.catalog.manifest(repository, digest)
    carried = await registry.catalog.carried_as(repository, digest)
    if details is None and not carried:
        raise ManifestUnknown(reference=digest)
    names = tuple(Tag(each.name) for each in carried if each.name is not None)
    tags = details.tags if details is not None else ()
    for _ in range(_DECISIONS):
        if detect_collision and len(tags) > 1:
            raise ManifestConflict(f"{len(tags)} tags point to the manifest", reference=digest)
        kept = next((each for each in (*tags, *names) if immutable(each)), None)
        if kept is not None:
            raise TagImmutable(f"tag {kept!r} points to the manifest and is immutable", reference=digest)
        outcome = await registry.catalog.do(RemoveManifest(repository=repository, digest=digest, if_tags=tags, by=by))
        match outcome:
            case Deleted():
                return
            case Absent():
                raise ManifestUnknown(reference=digest)
            case Referenced(by=indexes):
                raise InUse(f"index {indexes[0]} lists the manifest", reference=digest)
            case TagsDiffer(tags=now):
                tags = now
    raise Unavailable("the manifest's tags keep changing")


async def blob(registry: Registry, repository: Repository, digest: Digest) -> None:
    """Delete a blob that no manifest names. When it returns the blob is gone, durably, and so is its file.

    Raises BlobUnknown, NameUnknown, InUse.
    """
    registry.refuse_if_read_only()
    await registry.known(repository)
    token = removal_token(registry.boot)
    match await registry.catalog.do(DoomBlob(repository=repository, digest=digest, token=token)):
        case DoomOutcome.ABSENT:
            raise BlobUnknown(digest=digest)
        case DoomOutcome.REFERENCED:
            raise InUse("a manifest of the repository names the blob", digest=digest)
        case DoomOutcome.CLAIMED:
            raise Unavailable("the blob is being pushed", retry_after_s=1, digest=digest)
        case DoomOutcome.DOOMED:
            await asyncio.shield(remove_doomed(registry, repository, digest, token))


async def damaged_blob(
    registry: Registry, repository: Repository, digest: Digest, seen: BlobRow, error: str, found_by: FoundBy
) -> bool:
    """Make a damaged blob absent: it is 404, and missing where it is named, until it is pushed again.

    `seen` is its row from before the damage was seen: a blob that was pushed since then is left alone. Its file is kept
    in the quarantine. Durable when it returns. False: nothing was changed, because it was removed or pushed
    concurrently, a push of it is under way, or the registry is read-only. Raises StorageError unless the store is the
    one that it should be: on a disk that is not mounted everything is missing.
    """
    if registry.read_only:
        registry.damage.report(repository, digest, error, found_by, "it is left as it is: the registry is read-only")
        return False
    await registry.storage.ready(repository)
    token = removal_token(registry.boot)
    doom = DoomBlob(repository=repository, digest=digest, token=token, damaged=True, placed_ns=seen.placed_ns)
    if await registry.catalog.do(doom) is not DoomOutcome.DOOMED:
        return False
    await asyncio.shield(remove_doomed(registry, repository, digest, token, set_aside=True))
    registry.damage.report(repository, digest, error, found_by, "it is missing until it is pushed again")
    return True


async def remove_doomed(
    registry: Registry, repository: Repository, digest: Digest, token: str, *, set_aside: bool = False
) -> None:
    """Unlink a doomed blob's file, or set it aside, then forget its row. Idempotent."""
    if set_aside:
        await registry.storage.set_aside(repository, digest)
    else:
        await registry.storage.remove(repository, digest)
    await registry.catalog.do(ForgetBlob(repository=repository, digest=digest, token=token))
    # A manifest may have been pushed that is the same bytes: its layout shows it by the file that was just unlinked.
    content = await registry.catalog.manifest_content(repository, digest)
    if content is not None:
        await registry.storage.put(repository, digest, content)
