"""/v2/{name}/blobs/uploads/ and the upload sessions below it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from zot.api.authorization import Call, may_pull
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
    UploadStatus,
)
from zot.registry.upload_session import LeaseLostError
from zot.storage.append import PIECE_BYTES


class Uploads:
    """Handles the requests that push and mount blobs."""

    def __init__(self, registry: Registry, policy: Policy, limits: TransferLimits, addresses: ClientAddresses) -> None:
        """Serve one registry."""
        self._registry = registry
        self._policy = policy
        self._limits = limits
        self._addresses = addresses

    async def begin(self, call: Call[BeginUpload]) -> web.Response:
        """POST: mount a blob, receive a whole one, or open a session."""
        request = call.request
        repository, principal = request.repository, call.principal.name
        if request.mount is not None and await self._mount(call, request.mount):
            return _created(repository, request.mount)
        if request.digest is not None:
            await self._receive_whole(call, request.digest)
            return _created(repository, request.digest)
        session = await uploads.begin(
            self._registry, repository, principal, request.algorithm, client=self._counted_for(call)
        )
        return _accepted(202, repository, session, 0)

    async def status(self, call: Call[UploadStatus]) -> web.Response:
        """GET: the offset of the session."""
        request = call.request
        offset = await uploads.status(self._registry, request, call.principal.name)
        return _accepted(204, request.repository, request.session, offset)

    async def append(self, call: Call[AppendUpload]) -> web.Response:
        """PATCH: a chunk at its place (Content-Range), or the next bytes (without)."""
        http, request = call.http, call.request
        body = iter_chunks(http, self._limits, PIECE_BYTES)
        async with self._explaining_refusals(call):
            offset = await uploads.append(
                self._registry, request, call.principal.name, body, _chunk(http), announced=http.content_length
            )
        return _accepted(202, request.repository, request.session, offset)

    async def finish(self, call: Call[FinishUpload]) -> web.Response:
        """PUT: the last bytes, if there are any, and the digest of all."""
        http, request = call.http, call.request
        body = None if is_empty(http) else iter_chunks(http, self._limits, PIECE_BYTES)
        async with self._explaining_refusals(call):
            await uploads.finish(
                self._registry, request, call.principal.name, body, _chunk(http), announced=http.content_length
            )
        return _created(request.repository, request.digest)

    async def cancel(self, call: Call[CancelUpload]) -> web.Response:
        """DELETE: discard the session."""
        await uploads.cancel(self._registry, call.request, call.principal.name)
        return web.Response(status=204)

    async def _mount(self, call: Call[BeginUpload], digest: Digest) -> bool:
        """Mount a blob from a repository that the principal may read."""

        def readable(source: Repository) -> bool:
            return may_pull(self._policy, call, source, digest)

        request = call.request
        return await blobs.mount(
            self._registry, request.repository, digest, request.source, readable, by=call.principal.name
        )

    async def _receive_whole(self, call: Call[BeginUpload], digest: Digest) -> None:
        http = call.http
        media_type = http.headers.get("Content-Type", OCTET_STREAM).partition(";")[0].strip()
        if media_type != OCTET_STREAM:
            raise ContentTypeUnsupported(f"a blob is sent as {OCTET_STREAM}", mediaType=media_type[:200])
        length = http.content_length
        if length is None:
            if http.body_exists:
                raise UploadInvalid("a blob in one request needs a Content-Length", digest=digest)
            length = 0
        await uploads.whole(
            self._registry,
            call.request.repository,
            call.principal.name,
            digest,
            iter_chunks(http, self._limits, PIECE_BYTES),
            length,
            client=self._counted_for(call),
        )

    def _counted_for(self, call: Call[BeginUpload]) -> str:
        """Return whose limit on open uploads counts: the user's, or that of an anonymous client's address."""
        principal = call.principal
        if principal.authenticated:
            return f"user {principal.name}"
        return f"address {network_of(self._addresses.of(call.http).ip)}"

    @asynccontextmanager
    async def _explaining_refusals(self, call: Call[OfUpload]) -> AsyncIterator[None]:
        """Add to a refused chunk where the upload is (distribution-spec, Pushing a blob in chunks).

        A request whose session a newer one took gets no response: its client has given it up.
        """
        request = call.request
        try:
            yield
        except RangeInvalid as error:
            offset = await uploads.status(self._registry, request, call.principal.name)
            headers = {"Location": _location(request.repository, request.session), "Range": _range(offset)}
            raise ErrorResponse(error, headers) from error
        except LeaseLostError as error:
            raise ConnectionAbortedError("a newer request has the upload") from error


def _chunk(http: HttpRequest) -> ByteRange | None:
    """Return the range of the upload that the body is; None without Content-Range."""
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


def _accepted(status: int, repository: Repository, session: str, offset: int) -> web.Response:
    headers = {
        "Location": _location(repository, session),
        "Range": _range(offset),
        "Blob-Upload-UUID": session,
        "Docker-Upload-UUID": session,
    }
    return web.Response(status=status, headers=headers)


def _created(repository: Repository, digest: Digest) -> web.Response:
    headers = {"Location": f"/v2/{repository}/blobs/{digest}", "Docker-Content-Digest": digest}
    return web.Response(status=201, headers=headers)


def _location(repository: Repository, session: str) -> str:
    return f"/v2/{repository}/blobs/uploads/{session}"


def _range(offset: int) -> str:
    # The specification has no way to say "nothing yet"; clients take 0-0 for it.
    return f"0-{max(0, offset - 1)}"
