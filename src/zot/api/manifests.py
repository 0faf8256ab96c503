"""/v2/{name}/manifests/{reference}."""

from __future__ import annotations

from contextlib import closing

from aiohttp import web

from zot.api.authorization import Call
from zot.api.blob_stream import send
from zot.api.body import MemoryBudget, TransferLimits, read_limited
from zot.api.conditional import entity_tag, is_current
from zot.api.headers import CONTENT_DIGEST, CONTENT_LENGTH, CONTENT_TYPE, ETAG
from zot.api.http_request import HttpRequest
from zot.auth.decision import Policy
from zot.catalog.manifest_commands import TagMove, TagPosition
from zot.oci.names import Tag, as_digest, as_tag
from zot.registry import manifests, tags
from zot.registry.errors import ManifestTooLarge, MediaTypeUnsupported
from zot.registry.large_manifests import LARGE_BYTES
from zot.registry.manifests import OpenedManifest
from zot.registry.registry import MIB, Registry
from zot.registry.request import Action, DeleteManifest, PullManifest, PushManifest, RestoreRepositoryTags

MANIFESTS_LIMIT_BYTES = 64 * MIB
"""Bytes of manifests being received by one process; more if a single one may be larger than a quarter of it."""
STALE = '110 - "Response is Stale"'
"""RFC 7234, 5.5.1: the upstream of a mirrored tag was not asked, or did not answer in time."""
SMALL_MANIFESTS_LIMIT_BYTES = 16 * MIB
"""Kept for manifests that are not large, so that large ones waiting for their turn make no small one fail."""


class Manifests:
    """Handles the requests to manifests."""

    def __init__(self, registry: Registry, policy: Policy, limits: TransferLimits) -> None:
        """Serve one registry."""
        self._registry = registry
        self._policy = policy
        self._limits = limits
        received_bytes = max(MANIFESTS_LIMIT_BYTES, 4 * registry.limits.manifest_bytes)
        self._budget = MemoryBudget(received_bytes, LARGE_BYTES, SMALL_MANIFESTS_LIMIT_BYTES)

    async def pull(self, call: Call[PullManifest]) -> web.StreamResponse:
        """GET and HEAD: the manifest, byte for byte as it was pushed."""
        request = call.request
        found = await manifests.pull(self._registry, request)
        headers: dict[str, str] = {
            CONTENT_TYPE: found.media_type,
            CONTENT_DIGEST: found.digest,
            ETAG: entity_tag(found.digest),
        }
        if isinstance(found, OpenedManifest):
            return await self._send_file(call, found, headers)
        if found.stale:
            headers["Warning"] = STALE
        if is_current(call.http, found.digest):
            return web.Response(status=304, headers=headers)
        if request.head:
            headers[CONTENT_LENGTH] = str(len(found.content))
            return web.Response(headers=headers)
        return web.Response(body=found.content, headers=headers)

    async def _send_file(
        self, call: Call[PullManifest], found: OpenedManifest, headers: dict[str, str]
    ) -> web.StreamResponse:
        """Send a manifest larger than this registry accepts, which another program stored."""
        with closing(found.content):
            if is_current(call.http, found.digest):
                return web.Response(status=304, headers=headers)
            if call.request.head:
                headers[CONTENT_LENGTH] = str(found.content.size)
                return web.Response(headers=headers)
            return await send(call.http, found.content, None, headers, self._limits)

    async def push(self, call: Call[PushManifest]) -> web.Response:
        """PUT: store it and move its tags; what the principal may do to each is a condition of the change itself."""
        registry, request = self._registry, call.request
        registry.refuse_if_read_only()
        media_type = _media_type(call.http)
        with self._budget.share() as take:
            limit_bytes = registry.limits.manifest_bytes
            content = await read_limited(call.http, self._limits, limit_bytes, take, ManifestTooLarge)
            moves = [tag_move(self._policy, call, tag) for tag in request.tags]
            stored = await manifests.push(registry, request, content, media_type, moves, call.principal.name)
        response = web.Response(status=201)
        response.headers["Location"] = f"/v2/{request.repository}/manifests/{stored.digest}"
        response.headers[CONTENT_DIGEST] = stored.digest
        if stored.subject is not None:
            response.headers["OCI-Subject"] = stored.subject
        if as_digest(request.reference) is not None:
            for tag in stored.tags:
                response.headers.add("OCI-Tag", tag)
        return response

    async def delete(self, call: Call[DeleteManifest]) -> web.Response:
        """DELETE: a tag, or a manifest with every tag that points to it."""
        repository, principal = call.request.repository, call.principal

        def immutable(tag: Tag) -> bool:
            return self._policy.immutable(principal, repository, tag)

        tag, digest = as_tag(call.request.reference), as_digest(call.request.reference)
        if tag is not None:
            await tags.delete(self._registry, repository, tag, immutable=immutable(tag), by=principal.name)
        elif digest is not None:
            await manifests.delete(
                self._registry,
                repository,
                digest,
                immutable=immutable,
                detect_collision=self._policy.detects_collisions(principal, repository, call.context),
                by=principal.name,
            )
        return web.Response(status=202)


def tag_move(
    policy: Policy, call: Call[PushManifest | RestoreRepositoryTags], tag: Tag, expected: TagPosition | None = None
) -> TagMove:
    """Return the move of a tag of the request, with what was granted on it, and where it has to point before."""
    granted = call.decision.granted(tag)
    return TagMove(
        tag=tag,
        may_create=Action.CREATE in granted,
        may_move=Action.UPDATE in granted,
        immutable=policy.immutable(call.principal, call.request.repository, tag),
        expected=expected,
    )


def _media_type(http: HttpRequest) -> str | None:
    header = http.headers.get(CONTENT_TYPE)
    if header is None:
        return None
    media_type = header.partition(";")[0].strip()
    if not media_type:
        raise MediaTypeUnsupported("Content-Type is empty")
    return media_type
