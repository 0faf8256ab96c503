"""/v2/{name}/blobs/{digest}."""

from __future__ import annotations

import logging
from contextlib import closing

from aiohttp import web

from zot.api.authorization import Call, may_pull
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
    LOCATION,
    RANGE,
)
from zot.auth.decision import Policy
from zot.catalog.rows import BlobRow
from zot.oci.media_types import OCTET_STREAM
from zot.oci.ranges import UnsatisfiableRangeError, parse_ranges
from zot.registry import blobs
from zot.registry.registry import Registry
from zot.registry.request import DeleteBlob, PullBlob
from zot.storage.interface import Content, StorageError

_log = logging.getLogger("zot.api")


class Blobs:
    """Handles the requests to blobs."""

    def __init__(self, registry: Registry, policy: Policy, limits: TransferLimits) -> None:
        """Serve one registry; clients are redirected only to what `policy` lets them pull."""
        self._registry = registry
        self._policy = policy
        self._limits = limits

    async def pull(self, call: Call[PullBlob]) -> web.StreamResponse:
        """GET and HEAD: the content, or ranges of it."""
        http, request = call.http, call.request
        found = await blobs.pull_or_follow(self._registry, request)
        headers: dict[str, str] = {
            CONTENT_TYPE: (isinstance(found, BlobRow) and found.media_type) or OCTET_STREAM,
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
            if isinstance(found, BlobRow):
                found = await blobs.check_content(self._registry, request, found)
            headers[CONTENT_LENGTH] = str(found.size)
            return web.Response(headers=headers)
        content: Content = (
            (await blobs.open_content(self._registry, request, found))[0] if isinstance(found, BlobRow) else found
        )
        with closing(content):
            return await self._send(call, content, headers)

    async def _send(self, call: Call[PullBlob], content: Content, headers: dict[str, str]) -> web.StreamResponse:
        """Send the content or ranges of it, or redirect to it."""
        http, digest = call.http, call.request.digest
        asked, ranges = http.headers.get(RANGE), None
        if asked is None:
            url = await self._location(call, content)
            if url is not None:
                return web.Response(status=307, headers={LOCATION: url, CONTENT_DIGEST: digest})
        elif range_applies(http, digest):
            try:
                ranges = parse_ranges(asked, content.size)
            except UnsatisfiableRangeError:
                return web.Response(status=416, headers={"Content-Range": f"bytes */{content.size}"})
        return await send(http, content, ranges, headers, self._limits)

    async def _location(self, call: Call[PullBlob], content: Content) -> str | None:
        """Return the URL to redirect the client to; without one this server sends the content.

        HEAD and ranges are never redirected: a signed URL is for one method, and some clients lose the range.
        """
        if not self._registry.redirects(call.request.repository):
            return None
        try:
            location = await content.location()
        except StorageError as error:
            _log.warning("%s is sent, not redirected to: %s", call.request.digest, error)
            return None
        if location is None:
            return None
        own = location.repository == call.request.repository
        return location.url if own or may_pull(self._policy, call, location.repository, call.request.digest) else None

    async def delete(self, call: Call[DeleteBlob]) -> web.Response:
        """DELETE: the blob is gone when this responds."""
        await blobs.delete(self._registry, call.request.repository, call.request.digest)
        return web.Response(status=202)
