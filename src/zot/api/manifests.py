"""/v2/{name}/manifests/{reference}."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from zot.api.authorized_request import AuthorizedRequest
from zot.api.blob_stream import send
from zot.api.body import MemoryBudget, TransferLimits, read_limited
from zot.api.conditional import entity_tag, is_current
from zot.api.headers import CONTENT_DIGEST, CONTENT_LENGTH, CONTENT_TYPE, ETAG
from zot.api.http_request import HttpRequest
from zot.auth.decision import Policy
from zot.catalog.manifest_commands import TagMove
from zot.oci.names import Tag, as_digest, as_tag
from zot.registry import manifests, tags
from zot.registry.errors import ManifestTooLarge, MediaTypeUnsupported
from zot.registry.manifests import OpenedManifest
from zot.registry.registry import Registry
from zot.registry.request import Action, DeleteManifest, PullManifest, PushManifest


async def get(
    registry: Registry, pace: TransferLimits, call: AuthorizedRequest, request: PullManifest
) -> web.StreamResponse:
    """GET and HEAD: the manifest, byte for byte as it was pushed."""
    found = await manifests.pull(registry, request)
    headers: dict[str, str] = {
        CONTENT_TYPE: found.media_type,
        CONTENT_DIGEST: found.digest,
        ETAG: entity_tag(found.digest),
    }
    if isinstance(found, OpenedManifest):
        return await _from_file(call, request, found, headers, pace)
    if is_current(call.http, found.digest):
        return web.Response(status=304, headers=headers)
    if request.head:
        headers[CONTENT_LENGTH] = str(len(found.content))
        return web.Response(headers=headers)
    return web.Response(body=found.content, headers=headers)


async def _from_file(
    call: AuthorizedRequest, request: PullManifest, found: OpenedManifest, headers: dict[str, str], pace: TransferLimits
) -> web.StreamResponse:
    """Send a manifest that is larger than this registry takes, which another program stored."""
    current = is_current(call.http, found.digest)
    if not current and not request.head:
        return await send(call.http, found.content, None, headers, pace)
    found.content.close()
    if current:
        return web.Response(status=304, headers=headers)
    headers[CONTENT_LENGTH] = str(found.content.size)
    return web.Response(headers=headers)


async def put(
    registry: Registry,
    policy: Policy,
    pace: TransferLimits,
    room: MemoryBudget,
    call: AuthorizedRequest,
    request: PushManifest,
) -> web.Response:
    """PUT: store it and move its tags; what the principal may do to each is a condition of the change itself."""
    registry.refuse_if_read_only()
    media_type = _media_type(call.http)
    with room.share() as take:
        content = await read_limited(call.http, pace, registry.limits.manifest_bytes, take, ManifestTooLarge)
        moves = _moves(policy, call, request)
        pushed = await manifests.push(registry, request, content, media_type, moves, call.principal.name)
    response = web.Response(status=201)
    response.headers["Location"] = f"/v2/{request.repository}/manifests/{pushed.digest}"
    response.headers[CONTENT_DIGEST] = pushed.digest
    if pushed.subject is not None:
        response.headers["OCI-Subject"] = pushed.subject
    if as_digest(request.reference) is not None:
        for tag in pushed.tags:
            response.headers.add("OCI-Tag", tag)
    return response


async def remove(registry: Registry, policy: Policy, call: AuthorizedRequest, request: DeleteManifest) -> web.Response:
    """DELETE: a tag, or a manifest with every tag that points to it."""
    repository, principal = request.repository, call.principal

    def immutable(tag: Tag) -> bool:
        return policy.immutable(principal, repository, tag)

    tag, digest = as_tag(request.reference), as_digest(request.reference)
    if tag is not None:
        await tags.delete(registry, repository, tag, immutable=immutable(tag), by=principal.name)
    elif digest is not None:
        await manifests.delete(
            registry,
            repository,
            digest,
            immutable=immutable,
            detect_collision=policy.detects_collisions(principal, repository, call.circumstances),
            by=principal.name,
        )
    return web.Response(status=202)


def _moves(policy: Policy, call: AuthorizedRequest, request: PushManifest) -> Sequence[TagMove]:
    moves = []
    for tag in request.tags:
        granted = call.decision.granted(tag)
        moves.append(
            TagMove(
                tag=tag,
                may_create=Action.CREATE in granted,
                may_move=Action.UPDATE in granted,
                immutable=policy.immutable(call.principal, request.repository, tag),
            )
        )
    return moves


def _media_type(http: HttpRequest) -> str | None:
    header = http.headers.get(CONTENT_TYPE)
    if header is None:
        return None
    media_type = header.partition(";")[0].strip()
    if not media_type:
        raise MediaTypeUnsupported("Content-Type is empty")
    return media_type
