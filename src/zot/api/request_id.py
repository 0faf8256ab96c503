"""A name for each request, in the log, the audit log and the answer: what a user quotes, an operator finds."""

from __future__ import annotations

import re
import secrets
from itertools import count

from aiohttp import web

from zot.api.client_address import ClientAddresses
from zot.logs.fields import REQUEST_ID

HEADER = "X-Request-Id"

_ACCEPTABLE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


_KEY = web.RequestKey("request_id", str)


def request_id(http: web.BaseRequest) -> str:
    """Return the request's name; empty if it was not given one."""
    return http.get(_KEY) or ""


class RequestIds:
    """Names requests: as a trusted proxy did, or by a name that no other request of any process has."""

    def __init__(self, addresses: ClientAddresses) -> None:
        """Take who knows which peers are trusted."""
        self._addresses = addresses
        self._process = secrets.token_hex(6)
        self._numbers = count(1)

    def begin(self, http: web.BaseRequest) -> str:
        """Name the request, at its start: what its task logs says so, and `request_id` finds it."""
        given = http.headers.get(HEADER)
        if given is not None and _ACCEPTABLE.fullmatch(given) and self._addresses.trusts(http):
            name = given
        else:
            name = f"{self._process}-{next(self._numbers):x}"
        http[_KEY] = name
        REQUEST_ID.set(name)
        return name
