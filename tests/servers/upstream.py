"""A registry that mirrors fetch from: it counts requests, and breaks, lies or refuses where a test says so."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

from layout.images import INDEX, Image, sha256

Fault = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
"""Responds instead of the registry; None: the registry responds."""

_MANIFEST = re.compile(r"/v2/(.+)/manifests/([^/]+)")
_BLOB = re.compile(r"/v2/(.+)/blobs/([^/]+)")
_REFERRERS = re.compile(r"/v2/(.+)/referrers/([^/]+)")
_RANGE = re.compile(r"bytes=(\d+)-")
_START_S = 10.0


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    authorization: str = ""
    range: str = ""


@dataclass
class ScriptedUpstream:
    """A registry with some images. `fault` may be set and removed while it runs."""

    url: str = ""
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    user: str = ""
    """`name:password` that a client needs; empty: none."""
    token: str = ""
    """The token that a client needs, which `/token` gives to `user`."""
    realm: str = ""
    """Another token server than its own."""
    fault: Fault | None = None

    def add(self, repository: str, image: Image, tag: str | None = None) -> None:
        """Have an image with its blobs and children, and a tag that points to it."""
        for reference in (image.digest, *([tag] if tag else [])):
            self.manifests[repository, reference] = (image.media_type, image.content)
        self.blobs |= {sha256(blob): blob for blob in image.blobs}
        for child in image.children:
            self.add(repository, child)

    def count(self, method: str, part: str = "") -> int:
        """Return how many requests came by a method, for paths that contain `part`."""
        return sum(each.method == method and part in each.path for each in self.asked)

    async def respond(self, request: web.Request) -> web.StreamResponse:
        """Respond to one request."""
        headers = request.headers
        self.asked.append(
            Asked(request.method, request.path, headers.get("Authorization", ""), headers.get("Range", ""))
        )
        if self.fault is not None and (response := await self.fault(request)) is not None:
            return response
        basic = f"Basic {base64.b64encode(self.user.encode()).decode()}"
        authorization = request.headers.get("Authorization", "")
        if request.path == "/token":
            if self.user and authorization != basic:
                return web.Response(status=401)
            return web.json_response({"token": self.token, "expires_in": 300})
        if self.token and authorization != f"Bearer {self.token}":
            realm = self.realm or f"{self.url}/token"
            return web.Response(status=401, headers={"WWW-Authenticate": f'Bearer realm="{realm}",service="test"'})
        if self.user and not self.token and authorization != basic:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="test"'})
        return self._content(request)

    def _content(self, request: web.Request) -> web.Response:
        if found := _MANIFEST.fullmatch(request.path):
            media_type, content = self.manifests.get((found[1], found[2]), ("", b""))
            headers = {"Content-Type": media_type, "Docker-Content-Digest": sha256(content)}
            return web.Response(body=content, headers=headers) if media_type else web.Response(status=404)
        if found := _REFERRERS.fullmatch(request.path):
            entries = [
                {"mediaType": media_type, "digest": reference, "size": len(content)}
                for (repository, reference), (media_type, content) in self.manifests.items()
                if repository == found[1]
                and ":" in reference
                and json.loads(content).get("subject", {}).get("digest") == found[2]
            ]
            return web.json_response({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
        if (found := _BLOB.fullmatch(request.path)) and (blob := self.blobs.get(found[2])) is not None:
            if part := _RANGE.fullmatch(request.headers.get("Range", "")):
                start = int(part[1])
                headers = {"Content-Range": f"bytes {start}-{len(blob) - 1}/{len(blob)}"}
                return web.Response(status=206, body=blob[start:], headers=headers)
            return web.Response(body=blob)
        return web.Response(status=404)


@contextmanager
def scripted_upstream(tls: ssl.SSLContext | None = None) -> Iterator[ScriptedUpstream]:
    """Run a registry without images until the end of the block, in a thread with its own event loop."""
    upstream, started = ScriptedUpstream(), threading.Event()
    loop = asyncio.new_event_loop()
    stopping = asyncio.Event()

    async def run() -> None:
        runner = web.ServerRunner(web.Server(upstream.respond), shutdown_timeout=0)  # type: ignore[arg-type]
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        port = runner.addresses[0][1]
        upstream.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        started.set()
        await stopping.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), name="upstream")
    thread.start()
    try:
        assert started.wait(_START_S)
        yield upstream
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
        loop.close()
