"""What every request passes before it is parsed, and every answer before it is sent."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from zot.api import cookies
from zot.api.cors import Cors
from zot.api.errors import SERVER
from zot.api.ratelimit import RateLimit
from zot.api.request_id import HEADER, RequestIds, request_id
from zot.api.route import PREFIX

_VERSION_HEADER = ("Docker-Distribution-API-Version", "registry/2.0")

_KEY = web.RequestKey("guards", object)


@dataclass(frozen=True, slots=True)
class Guards:
    """Request ids, the limit on requests, and the rules for pages of other origins."""

    ids: RequestIds
    cors: Cors
    ratelimit: RateLimit | None = None

    def refusal(self, http: web.BaseRequest) -> web.Response | None:
        """Name the request; return an answer if it goes no further."""
        self.ids.begin(http)
        http[_KEY] = self
        if http.method == "OPTIONS":
            return self.cors.preflight(http)
        return self.ratelimit.refusal(http) if self.ratelimit is not None else None

    def mark(self, http: web.BaseRequest, response: web.StreamResponse) -> None:
        """Add the headers that belong to every answer, unless it is on its way."""
        if response.prepared:
            return
        response.headers[HEADER] = request_id(http)
        response.headers.setdefault(*SERVER)
        if http.raw_path.startswith(PREFIX):
            response.headers.setdefault(*_VERSION_HEADER)
        cookies.mark(http, response)
        self.cors.mark(http, response)
        if self.ratelimit is not None:
            self.ratelimit.mark(http, response)


def mark(http: web.BaseRequest, response: web.StreamResponse) -> None:
    """Add to an answer that is about to be streamed what belongs to every answer."""
    guards = http.get(_KEY)
    if isinstance(guards, Guards):
        guards.mark(http, response)
