"""What every request passes before it is parsed, and every answer before it is sent."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from zot.api import cookies
from zot.api.cors import Cors
from zot.api.errors import PRODUCT
from zot.api.headers import REQUEST_ID, SERVER, VERSION
from zot.api.http_request import HttpRequest
from zot.api.ratelimit import RateLimiter
from zot.api.request_id import RequestIds
from zot.api.route import PREFIX

_VERSION = "registry/2.0"

DRAINED_BYTES = 64 << 10
"""Bodies up to this size are read to their end although the request is refused."""


@dataclass(frozen=True, slots=True)
class Middleware:
    """Request ids, the limit on requests, and the rules for pages of other origins."""

    ids: RequestIds
    cors: Cors
    ratelimit: RateLimiter | None = None

    def refusal(self, http: HttpRequest) -> web.Response | None:
        """Name the request; return an answer if it goes no further."""
        self.ids.begin(http)
        http.guards = self
        if http.method == "OPTIONS":
            return self.cors.preflight(http)
        return self.ratelimit.refusal(http) if self.ratelimit is not None else None

    def mark(self, http: HttpRequest, response: web.StreamResponse) -> None:
        """Add the headers that belong to every answer, unless it is on its way."""
        if response.prepared:
            return
        if http.body_exists and not http.content.is_eof() and not _is_drained(http):
            # The client sends a body that is not wanted: the connection is closed rather than read to its end.
            response.force_close()
        headers = response.headers
        headers[REQUEST_ID] = http.request_id
        headers.setdefault(SERVER, PRODUCT)
        if http.raw_path.startswith(PREFIX):
            headers.setdefault(VERSION, _VERSION)
        cookies.mark(http, response)
        self.cors.mark(http, response)
        if self.ratelimit is not None:
            self.ratelimit.mark(http, response)


def _is_drained(http: HttpRequest) -> bool:
    """Tell whether what is left of a body is read and dropped once the answer is sent, so that the connection stays.

    A small one costs less than another connection. And containerd, whose manifest is refused for want of a token, waits
    indefinitely if the connection closes before it has sent all of it.
    """
    length = http.content_length
    waits = http.headers.get("Expect", "").lower() == "100-continue"
    return length is not None and length <= DRAINED_BYTES and not waits


def mark(http: HttpRequest, response: web.StreamResponse) -> None:
    """Add to a response that is about to be streamed what belongs to every response."""
    http.response = response
    if http.guards is not None:
        http.guards.mark(http, response)
