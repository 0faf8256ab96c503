"""Manifests: pull, push and delete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from zot.catalog.manifest_commands import (
    Absent,
    Deleted,
    Referenced,
    RemoveManifest,
    TagMove,
    TagsDiffer,
    TouchManifest,
)
from zot.catalog.rows import CarriedEntry, ManifestRow, Unread
from zot.oci.digest import Digest
from zot.oci.media_types import OCTET_STREAM
from zot.oci.names import Repository, Tag, as_digest, as_tag
from zot.registry.damage import FoundBy
from zot.registry.errors import (
    InUse,
    ManifestConflict,
    ManifestUnknown,
    NameUnknown,
    TagImmutable,
    Unavailable,
)
from zot.registry.fetch import check_tag, fetch_manifest
from zot.registry.manifest_bytes import read_manifest
from zot.registry.manifest_commit import ManifestCommit, StoredManifest, commit_manifest
from zot.registry.registry import Registry
from zot.registry.request import PullManifest, PushManifest
from zot.storage.interface import Content, ContentMissingError

# How often a deletion is decided again because the manifest's tags changed concurrently.
_DECISIONS = 5


class PulledManifest(NamedTuple):
    """A manifest as it was pushed, byte for byte."""

    digest: Digest
    media_type: str
    content: bytes
    stale: bool = False
    """Whether an upstream could not tell in time if the tag still points to it."""


class OpenedManifest(NamedTuple):
    """A manifest that is too large to be held in memory: its file, which the caller closes."""

    digest: Digest
    media_type: str
    content: Content


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
    if registry.upstreams and (tag := as_tag(request.reference)):
        checked = await check_tag(registry, request.repository, tag, row)
        return (await _stored(registry, request, checked.row))._replace(stale=checked.stale)
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
    """Return a manifest that the catalog does not have, from a source or a carried entry."""
    repository, reference = request.repository, request.reference
    row = await registry.catalog.repository(repository)
    if row is None or not row.imported:
        found = await registry.layouts.manifest(repository, reference)
        if found is not None:
            return PulledManifest(*found)
    exists = row is not None or await registry.layouts.exists(repository)
    if exists:
        for entry in await registry.catalog.carried_as(repository, reference):
            if (carried := await _carried(registry, request, entry)) is not None:
                return carried
    fetched = await fetch_manifest(registry, repository, reference)
    if fetched is not None:
        return PulledManifest(*fetched)
    if not exists:
        raise NameUnknown(name=repository, reference=reference)
    raise ManifestUnknown(reference=reference)


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
    return await commit_manifest(registry, ManifestCommit(request, content, media_type, moves, by))


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
