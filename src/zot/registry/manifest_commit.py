"""How bytes become a manifest: check them, then store them and move tags in one commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from zot.catalog.command import ChangeSource, new_id
from zot.catalog.manifest_commands import (
    MissingBlobs,
    PutManifest,
    Stored,
    TagMove,
    TagRefused,
)
from zot.catalog.quotas import OverQuota
from zot.oci.digest import Digest
from zot.oci.names import Repository, Tag
from zot.registry import quota
from zot.registry.blob_commit import manifest_as_blob
from zot.registry.errors import ManifestBlobUnknown, TooManyRequests
from zot.registry.large_manifests import LARGE_BYTES
from zot.registry.pushed_manifest import PushedManifest, check
from zot.registry.registry import Registry
from zot.registry.request import PushManifest
from zot.registry.tags import refusal_of

# The catalog's log and database have a manifest's bytes, and so has its layout.
_COPIES = 3


class ManifestCommit(NamedTuple):
    """A manifest that is to be stored, and the tags that are to point to it."""

    request: PushManifest
    content: bytes
    media_type: str | None
    """The Content-Type; None: the content tells."""
    moves: Sequence[TagMove]
    """The request's tags, with what the principal may do to each."""
    by: str
    source: ChangeSource = ChangeSource.CLIENT


class StoredManifest(NamedTuple):
    """What a push stored."""

    digest: Digest
    subject: Digest | None
    tags: tuple[Tag, ...]


async def commit_manifest(registry: Registry, commit: ManifestCommit) -> StoredManifest:
    """Store a valid manifest and move its tags. Durable when it returns. Idempotent.

    Raises ManifestInvalid, ManifestTooLarge, MediaTypeUnsupported, DigestInvalid, ManifestBlobUnknown, NotGranted,
    QuotaExceeded, TooManyRequests, Unavailable.
    """
    request, content, media_type, *_ = commit
    if len(content) <= LARGE_BYTES:
        return await _store(registry, commit, check(registry, request, content, media_type))
    async with registry.large_manifests.turn():
        checked = await registry.large_manifests.run(check, registry, request, content, media_type)
        return await _store(registry, commit, checked)


async def _store(registry: Registry, commit: ManifestCommit, pushed: PushedManifest) -> StoredManifest:
    request = commit.request
    content, digest, parsed, edges = pushed
    needed = tuple(edge.digest for edge in edges if not (edge.child or edge.optional))
    if needed and not await registry.exists(request.repository):
        # Refused before `writable`: a push that cannot succeed creates no repository.
        raise _refusal(request.repository, MissingBlobs(needed))
    await registry.writable(request.repository, commit.by, commit.source)
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
        tags=tuple(commit.moves),
        by=commit.by,
        source=commit.source,
        quotas=registry.quotas.of(request.repository),
        repositories_limit=registry.quotas.repositories,
    )
    outcome = await registry.catalog.do(command)
    if isinstance(outcome, MissingBlobs) and await _are_manifests(registry, request.repository, outcome.digests):
        outcome = await registry.catalog.do(msgspec.structs.replace(command, id=new_id()))
    if not isinstance(outcome, Stored):
        raise _refusal(request.repository, outcome)
    return StoredManifest(digest, parsed.subject, tuple(move.tag for move in commit.moves))


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
        case TagRefused():
            return refusal_of(outcome)
        case OverQuota(limit, _, of_repositories=True):
            return TooManyRequests("the registry's limit on repositories is reached", limit=limit)
        case OverQuota():
            return quota.exceeded(repository, outcome)
