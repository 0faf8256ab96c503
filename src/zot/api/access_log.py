"""The access log: one line for each completed request, in zot's fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from aiohttp import web

from zot.api.client_address import ClientAddresses
from zot.api.completed_requests import CompletedRequest
from zot.api.connection import Connection
from zot.api.http_request import HttpRequest
from zot.logs.formatters import as_text, json_line, json_text, timestamp
from zot.logs.masking import masked_headers, masked_query
from zot.logs.writer import LineWriter

_TARGET_LIMIT = 2048
_HEADER_LIMIT = 256

# Successful probes come every few seconds and are not logged.
_PROBES = frozenset({"/livez", "/readyz", "/startupz"})

# The size of a line in text form, without its path.
_OVERHEAD_BYTES = 800


class AccessLine(
    msgspec.Struct,
    frozen=True,
    gc=False,
    rename={"client": "clientIP", "status": "statusCode", "body_bytes": "bodySize", "request_id": "requestId"},
):
    """A completed request, in zot's fields and their order, secrets masked and long values cut."""

    time: int | str
    """Nanoseconds since the epoch, or as text."""
    level: str
    message: str
    module: str
    component: str
    client: str
    method: str
    path: str
    status: int
    latency: str
    body_bytes: int
    headers: msgspec.Raw
    username: str | msgspec.UnsetType
    request_id: str | msgspec.UnsetType

    @property
    def size_bytes(self) -> int:
        """Roughly how much memory the line holds."""
        return _OVERHEAD_BYTES + len(self.path) + len(self.headers)

    def values(self) -> dict[str, object]:
        """Return zot's fields."""
        values: dict[str, object] = msgspec.json.decode(json_text(self))
        return values


class _ClientFields(NamedTuple):
    """The fields that stay the same while a client sends the same headers on one connection."""

    raw_headers: tuple[tuple[bytes, bytes], ...]
    client: str
    headers: msgspec.Raw


class AccessLog:
    """Writes a line for each completed request."""

    def __init__(self, writer: LineWriter, addresses: ClientAddresses) -> None:
        """Write lines to `writer`, with clients' addresses as `addresses` sees them."""
        self._writer = writer
        self._addresses = addresses
        self._json = writer.form is json_line

    def observe(self, completed: Sequence[CompletedRequest]) -> None:
        """Log completed requests; lines that have no space in the queue are dropped (`LineWriter`)."""
        lines = [self._line(each) for each in completed if not _is_good_probe(each)]
        self._writer.write_all([json_text(line) + b"\n" for line in lines] if self._json else lines, keep=False)

    def _line(self, completed: CompletedRequest) -> AccessLine:
        http, response, seconds, time_ns = completed
        fields = self._client_fields(http)
        principal = http.principal
        return AccessLine(
            timestamp(time_ns) if self._json else time_ns,
            "info",
            "HTTP API",
            "http",
            "session",
            fields.client,
            http.method,
            as_text(masked_query(http.raw_path[:_TARGET_LIMIT])),
            response.status,
            f"{seconds * 1000:.3f}ms",
            _body_bytes(http, response),
            fields.headers,
            msgspec.UNSET if principal is None else as_text(principal.name) or msgspec.UNSET,
            http.request_id or msgspec.UNSET,
        )

    def _client_fields(self, http: HttpRequest) -> _ClientFields:
        connection = http.protocol
        assert isinstance(connection, Connection)
        known = connection.client_fields
        if isinstance(known, _ClientFields) and known.raw_headers == http.raw_headers:
            return known
        headers = msgspec.Raw(json_text(masked_headers(http.headers.items(), _HEADER_LIMIT)))
        fields = connection.client_fields = _ClientFields(http.raw_headers, str(self._addresses.of(http)), headers)
        return fields


def _is_good_probe(completed: CompletedRequest) -> bool:
    return completed.http.raw_path in _PROBES and completed.response.status < 400


def _body_bytes(http: HttpRequest, response: web.StreamResponse) -> int:
    """Return the length of the body: as announced, or as sent if the response was aborted."""
    if http.aborted:
        return http.sent_bytes
    if http.method == "HEAD" or response.status in {204, 304}:
        return 0
    length = response.content_length
    return response.body_length if length is None else length
