"""What every request passes before it is parsed, and the headers that every response has."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from itertools import count

from aiohttp import web

from zot.api import cookies
from zot.api.client_address import ClientAddresses
from zot.api.cors import Cors
from zot.api.headers import CACHE_CONTROL, REQUEST_ID, VERSION
from zot.api.http_request import HttpRequest
from zot.api.ratelimit import RateLimiter
from zot.api.route import PREFIX
from zot.logs import fields

_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_VERSION = "registry/2.0"
_EXTENSIONS = f"{PREFIX}_zot/"


class RequestIds:
    """Names requests, in the logs and in the response: what a user quotes, an operator finds."""

    def __init__(self, addresses: ClientAddresses) -> None:
        """Accept the names of the peers that `addresses` trusts."""
        self._addresses = addresses
        self._process = secrets.token_hex(6)
        self._numbers = count(1)

    def begin(self, http: HttpRequest) -> str:
        """Name the request, as a trusted proxy did or uniquely among all processes; its task logs by that name."""
        given = http.headers.get(REQUEST_ID)
        if given is not None and _ACCEPTABLE_ID.fullmatch(given) and self._addresses.trusts(http):
            name = given
        else:
            name = f"{self._process}-{next(self._numbers):x}"
        http.request_id = name
        fields.REQUEST_ID.set(name)
        return name


@dataclass(frozen=True, slots=True)
class Middleware:
    """Request ids, rate limits, and the rules for pages of other origins."""

    ids: RequestIds
    cors: Cors
    ratelimit: RateLimiter | None = None

    def refusal(self, http: HttpRequest) -> web.Response | None:
        """Name the request; return a response if no handler is to see it."""
        self.ids.begin(http)
        if http.method == "OPTIONS":
            return self.cors.preflight(http)
        return self.ratelimit.refusal(http) if self.ratelimit is not None else None

    def add_headers(self, http: HttpRequest, response: web.StreamResponse) -> None:
        """Add the headers that every response has, just before they are sent.

        It is called once for each response, also to bytes that are no HTTP request.
        """
        headers = response.headers
        headers[REQUEST_ID] = http.request_id or self.ids.begin(http)
        if http.raw_path.startswith(PREFIX):
            headers.setdefault(VERSION, _VERSION)
            if http.raw_path.startswith(_EXTENSIONS):  # what one user may see, and only for now
                headers.setdefault(CACHE_CONTROL, "no-store")
        cookies.add_headers(http, response)
        self.cors.add_headers(http, response)
        if self.ratelimit is not None:
            self.ratelimit.add_headers(http, response)
