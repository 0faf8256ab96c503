"""/v2/{name}/blobs/{digest}."""

from __future__ import annotations

from aiohttp import web

from zot.api.authorization import Call
from zot.api.blob_stream import send
from zot.api.body import TransferLimits
from zot.api.conditional import entity_tag, is_current, range_applies
from zot.api.headers import (
    ACCEPT_RANGES,
    CONTENT_DIGEST,
    CONTENT_LENGTH,
    CONTENT_SECURITY_POLICY,
    CONTENT_TYPE,
    CONTENT_TYPE_OPTIONS,
    ETAG,
    RANGE,
)
from zot.oci.media_types import OCTET_STREAM
from zot.oci.ranges import UnsatisfiableRangeError, parse_ranges
from zot.registry import blobs
from zot.registry.registry import Registry
from zot.registry.request import DeleteBlob, PullBlob


class Blobs:
    """Handles the requests to blobs."""

    def __init__(self, registry: Registry, limits: TransferLimits) -> None:
        """Serve one registry."""
        self._registry = registry
        self._limits = limits

    async def pull(self, call: Call[PullBlob]) -> web.StreamResponse:
        """GET and HEAD: the content, or ranges of it."""
        http, request = call.http, call.request
        row = await blobs.pull(self._registry, request)
        headers: dict[str, str] = {
            CONTENT_TYPE: row.media_type or OCTET_STREAM,
            CONTENT_DIGEST: request.digest,
            ETAG: entity_tag(request.digest),
            ACCEPT_RANGES: "bytes",
            # The client that pushed the blob chose its type: a browser led here shows no page of it and runs nothing.
            CONTENT_TYPE_OPTIONS: "nosniff",
            CONTENT_SECURITY_POLICY: "sandbox",
        }
        if is_current(http, request.digest):
            return web.Response(status=304, headers=headers)
        if request.head:
            row = await blobs.check_content(self._registry, request, row)
            headers[CONTENT_LENGTH] = str(row.size)
            return web.Response(headers=headers)
        content, row = await blobs.open_content(self._registry, request, row)
        ranges = None
        asked = http.headers.get(RANGE)
        if asked is not None and range_applies(http, request.digest):
            try:
                ranges = parse_ranges(asked, row.size)
            except UnsatisfiableRangeError:
                content.close()
                return web.Response(status=416, headers={"Content-Range": f"bytes */{row.size}"})
        return await send(http, content, ranges, headers, self._limits)

    async def delete(self, call: Call[DeleteBlob]) -> web.Response:
        """DELETE: the blob is gone when this responds."""
        await blobs.delete(self._registry, call.request.repository, call.request.digest)
        return web.Response(status=202)
