"""The access log: one line for each request that was answered, in zot's fields."""

from __future__ import annotations

import time
from itertools import chain

import msgspec
from aiohttp import web

from zot.api.call import PRINCIPAL
from zot.api.client_address import ClientAddresses
from zot.api.request_id import request_id
from zot.logs.masking import masked_headers, masked_query
from zot.logs.writer import LineWriter

_TARGET_LIMIT = 2048
_HEADER_LIMIT = 256

# Probes that went well say nothing, every few seconds.
_PROBES = frozenset({"/livez", "/readyz", "/startupz"})

# What a line holds besides path and headers.
_OVERHEAD_BYTES = 800


# What separates headers' names and values in a line that waits: no header can hold it.
_SEPARATOR = "\0"


class AccessLine(msgspec.Struct, frozen=True, gc=False):
    """An answered request, as the event loop takes it down; the log's own thread makes words of it.

    It holds nothing but texts and numbers: thousands may wait, and the garbage collector never looks at them.
    """

    time_ns: int
    client: str
    method: str
    target: str
    status: int
    latency_s: float
    body_bytes: int
    headers: str
    """Names and values, separated."""
    username: str
    request_id: str

    @property
    def size_bytes(self) -> int:
        """About how much memory it holds."""
        return _OVERHEAD_BYTES + len(self.target) + len(self.headers)

    def values(self) -> dict[str, object]:
        """Return zot's fields, secrets masked and long values cut."""
        headers = self.headers.split(_SEPARATOR)
        values: dict[str, object] = {
            "time": self.time_ns,
            "level": "info",
            "message": "HTTP API",
            "module": "http",
            "component": "session",
            "clientIP": self.client,
            "method": self.method,
            "path": masked_query(self.target[:_TARGET_LIMIT]),
            "statusCode": self.status,
            "latency": f"{self.latency_s * 1000:.3f}ms",
            "bodySize": self.body_bytes,
            "headers": masked_headers(zip(headers[::2], headers[1::2], strict=False), _HEADER_LIMIT),
        }
        if self.username:
            values["username"] = self.username
        if self.request_id:
            values["requestId"] = self.request_id
        return values


class AccessLog:
    """Writes the lines."""

    def __init__(self, writer: LineWriter, addresses: ClientAddresses) -> None:
        """Take where lines go, and who knows clients' addresses."""
        self._writer = writer
        self._addresses = addresses

    def observe(self, http: web.BaseRequest, response: web.StreamResponse, seconds: float) -> None:
        """Take down an answered request; lines are dropped rather than waited for (`LineWriter`)."""
        target, status = http.raw_path, response.status
        if target in _PROBES and status < 400:
            return
        principal = http.get(PRINCIPAL)
        line = AccessLine(
            time.time_ns(),
            str(self._addresses.of(http)),
            http.method,
            target,
            status,
            seconds,
            _body_bytes(http, response),
            _SEPARATOR.join(chain.from_iterable(http.headers.items())),
            "" if principal is None else principal.name,
            request_id(http),
        )
        self._writer.write(line, keep=False)


def _body_bytes(http: web.BaseRequest, response: web.StreamResponse) -> int:
    """Return the length of the body: the announced one, as what goes out by sendfile is not counted by anybody."""
    if http.method == "HEAD" or response.status in {204, 304}:
        return 0
    length = response.content_length
    return response.body_length if length is None else length
