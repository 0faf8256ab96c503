"""Storing manifests and moving tags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from zot.catalog.command import new_id
from zot.catalog.edges import edges
from zot.catalog.manifest_commands import Edge, MissingBlobs, PutManifest, Refusal, Stored, TagMove, TagRefused
from zot.catalog.quotas import OverQuota
from zot.oci import media_types
from zot.oci.digest import CANONICAL, Digest, algorithm_of, digest_of
from zot.oci.manifest import InvalidManifestError, Manifest, parse_manifest
from zot.oci.names import Reference, Repository, Tag, as_digest
from zot.registry import quota
from zot.registry.blobs import manifest_as_blob
from zot.registry.errors import (
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestTooLarge,
    MediaTypeUnsupported,
    NotGranted,
    TagImmutable,
    TooManyRequests,
)
from zot.registry.large_manifests import LARGE_BYTES
from zot.registry.registry import Registry
from zot.registry.request import PushManifest

# The catalog's log and database have a manifest's bytes, and so has its layout.
_COPIES = 3


class PushedManifest(NamedTuple):
    """What was stored."""

    digest: Digest
    subject: Digest | None
    tags: tuple[Tag, ...]


async def manifest(
    registry: Registry,
    request: PushManifest,
    content: bytes,
    media_type: str | None,
    moves: Sequence[TagMove],
    by: str,
) -> PushedManifest:
    """Store a manifest and point `moves` at it. When it returns, both survive power loss. Again does no harm.

    `moves` are the request's tags with what the principal may do to each. Raises ManifestInvalid, ManifestTooLarge,
    MediaTypeUnsupported, DigestInvalid, ManifestBlobUnknown, NotGranted, QuotaExceeded, TooManyRequests, Unavailable.
    """
    registry.refuse_if_read_only()
    if len(content) <= LARGE_BYTES:
        return await _store(registry, request, _read(registry, request, content, media_type), moves, by)
    async with registry.large_manifests.turn():
        read = await registry.large_manifests.run(_read, registry, request, content, media_type)
        return await _store(registry, request, read, moves, by)


class _Read(NamedTuple):
    """What the bytes say."""

    content: bytes
    digest: Digest
    manifest: Manifest
    edges: tuple[Edge, ...]


def _read(registry: Registry, request: PushManifest, content: bytes, media_type: str | None) -> _Read:
    """Take a manifest's bytes apart, without any wait. Raises what `parse` raises, and DigestInvalid."""
    digest = _digest(request, content)
    parsed = parse(registry, request.reference, content, media_type)
    return _Read(content, digest, parsed, edges(parsed, sparse=registry.sparse))


async def _store(
    registry: Registry, request: PushManifest, read: _Read, moves: Sequence[TagMove], by: str
) -> PushedManifest:
    content, digest, parsed, needed = read
    lacking = tuple(edge.digest for edge in needed if not (edge.child or edge.optional))
    if lacking and not await registry.exists(request.repository):
        # Said before `writable`: a push that cannot succeed makes no repository.
        raise _refusal(request.repository, MissingBlobs(lacking))
    await registry.writable(request.repository)
    if await registry.catalog.resolve(request.repository, digest) is None:
        await registry.storage.require_room(request.repository, _COPIES * len(content))
    command = PutManifest(
        repository=request.repository,
        digest=digest,
        content=content,
        media_type=parsed.media_type,
        artifact_type=parsed.artifact_type,
        subject=parsed.subject,
        annotations=parsed.annotations,
        edges=needed,
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
    return PushedManifest(digest, parsed.subject, tuple(move.tag for move in moves))


async def _are_manifests(registry: Registry, repository: Repository, digests: Sequence[Digest]) -> bool:
    """Tell whether all of these missing blobs are manifests of the repository: then they are blobs from now on."""
    for digest in digests:
        if await registry.catalog.resolve(repository, digest) is None:
            return False
    for digest in digests:
        if await manifest_as_blob(registry, repository, digest) is None:
            return False
    return True


def parse(registry: Registry, reference: Reference, content: bytes, media_type: str | None) -> Manifest:
    """Return what the bytes that are pushed say. Raises ManifestTooLarge, MediaTypeUnsupported, ManifestInvalid."""
    if len(content) > registry.limits.manifest_bytes:
        raise ManifestTooLarge(f"a manifest has at most {registry.limits.manifest_bytes} bytes")
    accepted = media_types.MANIFESTS if registry.docker_types else media_types.OCI_MANIFESTS
    if media_type is not None and media_type not in accepted:
        raise MediaTypeUnsupported(mediaType=media_type[:200])
    try:
        parsed = parse_manifest(content, media_type)
    except InvalidManifestError as error:
        raise ManifestInvalid(str(error), reference=reference) from error
    if parsed.media_type not in accepted:
        raise MediaTypeUnsupported(mediaType=parsed.media_type)
    _check_types(parsed, reference)
    return parsed


def _check_types(parsed: Manifest, reference: Reference) -> None:
    """Refuse types by which nothing can be found (image-spec manifest.md): reading is lenient, pushing is strict."""
    named = {"artifactType": parsed.artifact_type or None}
    if parsed.media_type not in media_types.INDEXES:
        named["config.mediaType"] = parsed.blobs[0].media_type
    for field, media_type in named.items():
        if media_type is not None and not media_types.is_media_type(media_type):
            shown = repr(media_type[:200])
            raise ManifestInvalid(f"{field} {shown} is not a media type such as type/subtype", reference=reference)


def _digest(request: PushManifest, content: bytes) -> Digest:
    """Return the digest to store under: the one asked for, which must be the content's, else the canonical one."""
    claimed = as_digest(request.reference)
    actual = digest_of(content, algorithm_of(claimed) if claimed else CANONICAL)
    if claimed is not None and claimed != actual:
        raise DigestInvalid(f"the manifest has digest {actual}", reference=claimed)
    return actual


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
