"""A name for each request, in the log, the audit log and the answer: what a user quotes, an operator finds."""

from __future__ import annotations

import re
import secrets
from itertools import count

from zot.api.client_address import ClientAddresses
from zot.api.headers import REQUEST_ID
from zot.api.http_request import HttpRequest
from zot.logs import fields

_ACCEPTABLE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


class RequestIds:
    """Names requests: as a trusted proxy did, or by a name that no other request of any process has."""

    def __init__(self, addresses: ClientAddresses) -> None:
        """Take who knows which peers are trusted."""
        self._addresses = addresses
        self._process = secrets.token_hex(6)
        self._numbers = count(1)

    def begin(self, http: HttpRequest) -> str:
        """Name the request, at its start: what its task logs says so."""
        given = http.headers.get(REQUEST_ID)
        if given is not None and _ACCEPTABLE.fullmatch(given) and self._addresses.trusts(http):
            name = given
        else:
            name = f"{self._process}-{next(self._numbers):x}"
        http.request_id = name
        fields.REQUEST_ID.set(name)
        return name
