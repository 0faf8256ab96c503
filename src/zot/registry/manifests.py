"""Manifests: pull, push and delete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from zot.catalog.command import new_id
from zot.catalog.manifest_commands import (
    Absent,
    Deleted,
    MissingBlobs,
    PutManifest,
    Referenced,
    Refusal,
    RemoveManifest,
    Stored,
    TagMove,
    TagRefused,
    TagsDiffer,
    TouchManifest,
)
from zot.catalog.quotas import OverQuota
from zot.catalog.rows import CarriedEntry, ManifestRow, Unread
from zot.oci.digest import Digest
from zot.oci.media_types import OCTET_STREAM
from zot.oci.names import Repository, Tag, as_digest
from zot.registry import quota
from zot.registry.blob_commit import manifest_as_blob
from zot.registry.damage import FoundBy
from zot.registry.errors import (
    InUse,
    ManifestBlobUnknown,
    ManifestConflict,
    ManifestUnknown,
    NameUnknown,
    NotGranted,
    TagImmutable,
    TooManyRequests,
    Unavailable,
)
from zot.registry.large_manifests import LARGE_BYTES
from zot.registry.manifest_bytes import read_manifest
from zot.registry.pushed_manifest import PushedManifest, check
from zot.registry.registry import Registry
from zot.registry.request import PullManifest, PushManifest
from zot.storage.interface import Content, ContentMissingError

# The catalog's log and database have a manifest's bytes, and so has its layout.
_COPIES = 3
# How often a deletion is decided again because the manifest's tags changed concurrently.
_DECISIONS = 5


class PulledManifest(NamedTuple):
    """A manifest as it was pushed, byte for byte."""

    digest: Digest
    media_type: str
    content: bytes


class OpenedManifest(NamedTuple):
    """A manifest that is too large to be held in memory: its file, which the caller closes."""

    digest: Digest
    media_type: str
    content: Content


class StoredManifest(NamedTuple):
    """What a push stored."""

    digest: Digest
    subject: Digest | None
    tags: tuple[Tag, ...]


async def pull(registry: Registry, request: PullManifest) -> PulledManifest | OpenedManifest:
    """Return the manifest that the reference stands for now. Raises ManifestUnknown, NameUnknown, Unavailable.

    The caller may rely on it for the collection's delay, as with blobs: a push that is about to list it in an index.
    """
    row = await registry.catalog.resolve(request.repository, request.reference)
    # A digest that is known stands for the same content, whatever another program wrote.
    if (row is None or not as_digest(request.reference)) and await registry.level(request.repository):
        row = await registry.catalog.resolve(request.repository, request.reference)
    if row is None:
        return await _outside_catalog(registry, request)
    return await _stored(registry, request, row)


async def _stored(registry: Registry, request: PullManifest, row: ManifestRow) -> PulledManifest:
    if row.marked and not await registry.touch(TouchManifest(repository=request.repository, digest=row.digest)):
        raise ManifestUnknown(reference=request.reference)
    content = registry.cache.get(row.digest)
    if content is None:
        found = await read_manifest(
            registry.catalog,
            registry.storage,
            registry.damage,
            request.repository,
            row.digest,
            FoundBy.PULL,
            mends=not registry.read_only,
        )
        content = found.content
        if content is None:  # deleted between the two reads, or damaged
            raise ManifestUnknown(reference=request.reference)
        registry.cache.put(row.digest, content)
    return PulledManifest(row.digest, row.media_type, content)


async def _outside_catalog(registry: Registry, request: PullManifest) -> PulledManifest | OpenedManifest:
    row = await registry.catalog.repository(request.repository)
    if row is None or not row.imported:
        found = await registry.layouts.read(request.repository, request.reference)
        if found is not None:
            return PulledManifest(*found)
        if row is None and not await registry.layouts.exists(request.repository):
            raise NameUnknown(name=request.repository, reference=request.reference)
    for entry in await registry.catalog.carried_as(request.repository, request.reference):
        if (carried := await _carried(registry, request, entry)) is not None:
            return carried
    raise ManifestUnknown(reference=request.reference)


async def _carried(
    registry: Registry, request: PullManifest, entry: CarriedEntry
) -> PulledManifest | OpenedManifest | None:
    """Return the manifest of an entry of `index.json` that is carried along, None if there is nothing to serve."""
    if entry.digest is None:
        return None
    if entry.unread is not None:
        await registry.layouts.read_carried(request.repository, entry)
    row = await registry.catalog.resolve(request.repository, entry.digest)
    if row is not None:
        return await _stored(registry, request, row)
    if entry.unread is not Unread.TOO_LARGE:
        return None
    try:
        opened = await registry.storage.open(request.repository, entry.digest)
    except ContentMissingError:
        return None
    return OpenedManifest(entry.digest, entry.media_type or OCTET_STREAM, opened)


async def push(
    registry: Registry,
    request: PushManifest,
    content: bytes,
    media_type: str | None,
    moves: Sequence[TagMove],
    by: str,
) -> StoredManifest:
    """Store a manifest and point `moves` at it. When it returns, both survive power loss. Idempotent.

    `moves` are the request's tags with what the principal may do to each. Raises ManifestInvalid, ManifestTooLarge,
    MediaTypeUnsupported, DigestInvalid, ManifestBlobUnknown, NotGranted, QuotaExceeded, TooManyRequests, Unavailable.
    """
    registry.refuse_if_read_only()
    if len(content) <= LARGE_BYTES:
        return await _store(registry, request, check(registry, request, content, media_type), moves, by)
    async with registry.large_manifests.turn():
        checked = await registry.large_manifests.run(check, registry, request, content, media_type)
        return await _store(registry, request, checked, moves, by)


async def _store(
    registry: Registry, request: PushManifest, pushed: PushedManifest, moves: Sequence[TagMove], by: str
) -> StoredManifest:
    content, digest, parsed, edges = pushed
    needed = tuple(edge.digest for edge in edges if not (edge.child or edge.optional))
    if needed and not await registry.exists(request.repository):
        # Refused before `writable`: a push that cannot succeed creates no repository.
        raise _refusal(request.repository, MissingBlobs(needed))
    await registry.writable(request.repository)
    if await registry.catalog.resolve(request.repository, digest) is None:
        await registry.storage.ensure_space(request.repository, _COPIES * len(content))
    command = PutManifest(
        repository=request.repository,
        digest=digest,
        content=content,
        media_type=parsed.media_type,
        artifact_type=parsed.artifact_type,
        subject=parsed.subject,
        annotations=parsed.annotations,
        edges=edges,
        tags=tuple(moves),
        by=by,
        quotas=registry.quotas.of(request.repository),
        repositories_limit=registry.quotas.repositories,
    )
    outcome = await registry.catalog.do(command)
    if isinstance(outcome, MissingBlobs) and await _are_manifests(registry, request.repository, outcome.digests):
        outcome = await registry.catalog.do(msgspec.structs.replace(command, id=new_id()))
    if not isinstance(outcome, Stored):
        raise _refusal(request.repository, outcome)
    return StoredManifest(digest, parsed.subject, tuple(move.tag for move in moves))


async def _are_manifests(registry: Registry, repository: Repository, digests: Sequence[Digest]) -> bool:
    """Return whether all of these missing blobs are manifests of the repository: then they are blobs from now on."""
    for digest in digests:
        if await registry.catalog.resolve(repository, digest) is None:
            return False
    for digest in digests:
        if await manifest_as_blob(registry, repository, digest) is None:
            return False
    return True


def _refusal(repository: Repository, outcome: MissingBlobs | TagRefused | OverQuota) -> Exception:
    match outcome:
        case MissingBlobs(digests):
            shown = ", ".join(digests[:10])
            return ManifestBlobUnknown("the repository lacks blobs that the manifest names", digest=shown)
        case TagRefused(tag, Refusal.IMMUTABLE):
            return TagImmutable(f"tag {tag!r} is immutable and points elsewhere", reference=tag)
        case TagRefused(tag, Refusal.MAY_NOT_MOVE):
            return NotGranted(f"tag {tag!r} exists, and moving it needs the action 'update'", reference=tag)
        case TagRefused(tag, _):
            return NotGranted(f"tag {tag!r} does not exist, and creating it needs the action 'create'", reference=tag)
        case OverQuota(limit, _, of_repositories=True):
            return TooManyRequests("the registry's limit on repositories is reached", limit=limit)
        case OverQuota():
            return quota.exceeded(repository, outcome)


async def delete(
    registry: Registry,
    repository: Repository,
    digest: Digest,
    *,
    immutable: Callable[[Tag], bool],
    detect_collision: bool,
    by: str,
) -> None:
    """Delete a manifest with all its tags, if each of them may be deleted. Durable when it returns.

    Raises ManifestUnknown, NameUnknown, TagImmutable, InUse (an index lists it), ManifestConflict (it has several tags
    and `detect_collision` is set), Unavailable.
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
