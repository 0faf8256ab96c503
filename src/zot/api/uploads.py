"""/v2/{name}/blobs/uploads/ and the sessions below it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from zot.api.authorized_request import AuthorizedRequest
from zot.api.body import TransferLimits, is_empty, iter_chunks
from zot.api.client_address import ClientAddresses, network_of
from zot.api.errors import ErrorResponse
from zot.api.http_request import HttpRequest
from zot.auth.decision import Policy
from zot.oci.digest import Digest
from zot.oci.media_types import OCTET_STREAM
from zot.oci.names import Repository
from zot.oci.ranges import ByteRange, parse_chunk_range
from zot.registry import blobs, uploads
from zot.registry.errors import ContentTypeUnsupported, RangeInvalid, UploadInvalid
from zot.registry.registry import Registry
from zot.registry.request import (
    AppendUpload,
    BeginUpload,
    CancelUpload,
    FinishUpload,
    OfUpload,
    PullBlob,
    UploadStatus,
)


async def begin(
    registry: Registry,
    policy: Policy,
    pace: TransferLimits,
    addresses: ClientAddresses,
    call: AuthorizedRequest,
    request: BeginUpload,
) -> web.Response:
    """POST: mount a blob, take a whole one, or open a session."""
    repository = request.repository
    if request.mount is not None and await _mount(registry, policy, call, request, request.mount):
        return _created(repository, request.mount)
    if request.digest is not None:
        await _whole(registry, pace, call, request, request.digest, _owner(call, addresses))
        return _created(repository, request.digest)
    session = await uploads.begin(
        registry, repository, call.principal.name, request.algorithm, owner=_owner(call, addresses)
    )
    return _accepted(202, repository, session, 0)


async def status(registry: Registry, call: AuthorizedRequest, request: UploadStatus) -> web.Response:
    """GET: how far the session is."""
    offset = await uploads.status(registry, request, call.principal.name)
    return _accepted(204, request.repository, request.session, offset)


async def append(
    registry: Registry, pace: TransferLimits, call: AuthorizedRequest, request: AppendUpload
) -> web.Response:
    """PATCH: a chunk at its place (Content-Range), or the next bytes (without)."""
    body = iter_chunks(call.http, pace)
    async with _telling_where(registry, call, request):
        chunk = _chunk(call.http)
        offset = await uploads.append(
            registry, request, call.principal.name, body, chunk, announced=call.http.content_length
        )
    return _accepted(202, request.repository, request.session, offset)


async def finish(
    registry: Registry, pace: TransferLimits, call: AuthorizedRequest, request: FinishUpload
) -> web.Response:
    """PUT: the last bytes, if there are any, and the digest of all."""
    body = None if is_empty(call.http) else iter_chunks(call.http, pace)
    async with _telling_where(registry, call, request):
        chunk = _chunk(call.http)
        await uploads.finish(registry, request, call.principal.name, body, chunk, announced=call.http.content_length)
    return _created(request.repository, request.digest)


async def cancel(registry: Registry, call: AuthorizedRequest, request: CancelUpload) -> web.Response:
    """DELETE: forget the session."""
    await uploads.cancel(registry, request, call.principal.name)
    return web.Response(status=204)


def _owner(call: AuthorizedRequest, addresses: ClientAddresses) -> str:
    """Return whose limit on open uploads counts: the user's, or of anonymous clients that of their address."""
    principal = call.principal
    if principal.authenticated:
        return f"user {principal.name}"
    return f"address {network_of(addresses.of(call.http).ip)}"


async def _mount(
    registry: Registry, policy: Policy, call: AuthorizedRequest, request: BeginUpload, digest: Digest
) -> bool:
    """Mounting needs read on the source: knowing a digest is no right to its content."""

    def readable(source: Repository) -> bool:
        return policy.decide(call.principal, PullBlob(repository=source, digest=digest), call.circumstances).allowed

    return await blobs.mount(registry, request.repository, digest, request.source, readable)


async def _whole(
    registry: Registry, pace: TransferLimits, call: AuthorizedRequest, request: BeginUpload, digest: Digest, owner: str
) -> None:
    media_type = call.http.headers.get("Content-Type", OCTET_STREAM).partition(";")[0].strip()
    if media_type != OCTET_STREAM:
        raise ContentTypeUnsupported(f"a blob is sent as {OCTET_STREAM}", mediaType=media_type[:200])
    length = call.http.content_length
    if length is None:
        if call.http.body_exists:
            raise UploadInvalid("a blob in one request needs a Content-Length", digest=digest)
        length = 0
    body: AsyncIterator[bytes] = iter_chunks(call.http, pace)
    await uploads.whole(registry, request.repository, call.principal.name, digest, body, length, owner=owner)


def _chunk(http: HttpRequest) -> ByteRange | None:
    """Return the place of the body in the upload; None if it was not said."""
    header = http.headers.get("Content-Range")
    if header is None:
        return None
    try:
        chunk = parse_chunk_range(header)
    except ValueError as error:
        raise RangeInvalid(str(error)) from error
    length = http.content_length
    if length is not None and length != chunk.length:
        raise RangeInvalid(f"Content-Range {header[:64]!r} is not of {length} bytes")
    return chunk


@asynccontextmanager
async def _telling_where(registry: Registry, call: AuthorizedRequest, request: OfUpload) -> AsyncIterator[None]:
    """Tell with a refused chunk where to go on (distribution-spec, Pushing a blob in chunks).

    A request that a newer one took the session from gets no answer: its client has given it up.
    """
    try:
        yield
    except RangeInvalid as error:
        offset = await uploads.status(registry, request, call.principal.name)
        raise ErrorResponse(error, {"Location": _location(request), "Range": _range(offset)}) from error
    except uploads.LeaseLostError as error:
        raise ConnectionAbortedError("a newer request has the upload") from error


def _accepted(status: int, repository: Repository, session: str, offset: int) -> web.Response:
    headers = {
        "Location": f"/v2/{repository}/blobs/uploads/{session}",
        "Range": _range(offset),
        "Blob-Upload-UUID": session,
        "Docker-Upload-UUID": session,
    }
    return web.Response(status=status, headers=headers)


def _created(repository: Repository, digest: Digest) -> web.Response:
    headers = {"Location": f"/v2/{repository}/blobs/{digest}", "Docker-Content-Digest": digest}
    return web.Response(status=201, headers=headers)


def _location(request: OfUpload) -> str:
    return f"/v2/{request.repository}/blobs/uploads/{request.session}"


def _range(offset: int) -> str:
    # The specification has no way to say "nothing yet"; clients know 0-0 for it.
    return f"0-{max(0, offset - 1)}"
