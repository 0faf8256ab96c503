"""Connections: the server's protocol with bounds on what a client may do to it."""

from __future__ import annotations

import asyncio
import heapq
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import HttpVersion11, StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server

from zot.api.completed_requests import Observe, Observers
from zot.api.errors import error_response
from zot.api.framing import bad_request, framing_fault
from zot.api.headers import CONNECTION, SERVER, TRANSFER_ENCODING
from zot.api.http_request import CompleteResponse, Handler, HttpRequest
from zot.api.protocol import ReadBuffers, RegistryProtocol
from zot.api.sending_threads import SendingThreads
from zot.config import default_limits
from zot.registry.errors import Unavailable

CLIENT_CLOSED_REQUEST = 499
"""Status in logs and metrics of a request whose client was gone before its response."""

PRODUCT = "zot"
"""The header Server, in place of the library's own, which shows its version and Python's."""

DRAINED_BYTES = 64 << 10
"""Bodies up to this size are read to their end although the request is refused."""

_CUT_OFF_S = 2.0
"""How long a stop waits for requests that are cut off to record what came of their bodies."""

# At the limit connections are closed that were idle for a second: all that never sent a request, else an eighth of the
# limit. Where none is idle, a sixteenth more is accepted to be refused.
_CLOSED_SHARE = 8
_REFUSED_SHARE = 16
_IDLE_S = 1.0

_ORIGIN = re.compile(r"https?://[^/?#]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of one connection, and of all together."""

    header_bytes: int = default_limits.HEADER_BYTES
    """Of the request line, and of each header."""
    headers: int = 128
    header_s: float = default_limits.HEADER_TIMEOUT_S
    """For the headers of a request: from the start of the connection, or from the first byte of a later request."""
    keep_alive_s: float = default_limits.IDLE_TIMEOUT_S
    requests: int = 10_000
    """After which it is closed, so that the load of several processes evens out."""
    age_s: float = 300.0
    connections: int = 10_000
    """Beyond it idle connections are closed, and requests refused."""
    read_buffer_bytes: int = 256 * 1024
    stalled_s: float = 60.0
    """How long the kernel tries to send to a client that takes nothing; 0: as long as it likes."""


class Connection(RegistryProtocol):
    """One client's connection."""

    __slots__ = ("_born_s", "_header_timer", "_limits", "client_fields", "idle_since_s", "threads")

    client_fields: object
    """The access log's fields of the last request's headers: a client sends the same ones again and again."""
    threads: SendingThreads
    """The threads that send large content of all connections."""
    idle_since_s: float
    """When the last response was sent, or the connection was made, by the event loop's clock."""

    def __init__(
        self, server: ConnectionServer, limits: ConnectionLimits, buffers: ReadBuffers, **parameters: Any
    ) -> None:
        """Make the protocol; `parameters` are those of aiohttp's own."""
        super().__init__(server, buffers, **parameters)
        self._limits = limits
        self.threads = server.threads
        self._born_s = self.idle_since_s = self._loop.time()
        self._header_timer: asyncio.TimerHandle | None = None
        self.client_fields = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the timer of the first request, and set how long the kernel sends to a client that reads nothing."""
        super().connection_made(transport)
        self._start_header_timer()
        peer = transport.get_extra_info("socket")
        if peer is None or peer.family == socket.AF_UNIX:
            return
        if self.peername is None:
            # The client is gone. Without an address it would count as a trusted peer on a Unix socket.
            assert self.transport is not None
            self.transport.abort()
            return
        stalled_ms = int(self._limits.stalled_s * 1000)
        if stalled_ms and hasattr(socket, "TCP_USER_TIMEOUT"):
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, stalled_ms)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop the timer."""
        self._stop_header_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and start a timer while a request's headers are incomplete."""
        super().data_received(data)
        if self.busy:
            if self._header_timer is not None:
                self._stop_header_timer()
        elif self._header_timer is None:
            self._start_header_timer()

    @property
    def draining(self) -> bool:
        """Whether the server stops: a response that would go on for long ends."""
        return isinstance(self._manager, ConnectionServer) and self._manager.draining

    def worn_out(self) -> bool:
        """Tell whether this connection has served long enough and should be closed after the response."""
        return self.requests >= self._limits.requests or self._loop.time() - self._born_s >= self._limits.age_s

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the response to bytes that are not a request, in the form of every other error.

        A disconnected or dropped client gets no response: its request has an access line, and is not an error.
        """
        if isinstance(exc, ConnectionError):
            if isinstance(request, HttpRequest):
                self._log_aborted(request)
            if self.transport is not None:
                # Not closed: that would wait until a client that reads nothing has read what is left.
                self.transport.abort()
            raise exc
        if status != 400:
            return super().handle_error(request, status, exc, message)
        response = error_response(bad_request(message or ""))
        response.force_close()
        return response

    def log_access(self, request: web.BaseRequest, response: web.StreamResponse, time: float | None) -> None:
        """Start the idle time until the next request."""
        super().log_access(request, response, time)
        self.idle_since_s = self._loop.time()

    def _log_aborted(self, http: HttpRequest) -> None:
        http.aborted = True
        self.log_access(http, http.response or web.Response(status=CLIENT_CLOSED_REQUEST), http.started_s)

    def _headers_late(self) -> None:
        self._header_timer = None
        if not self.busy:
            self.force_close()

    def _start_header_timer(self) -> None:
        self._header_timer = self._loop.call_later(self._limits.header_s, self._headers_late)

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None


class ConnectionServer(Server):
    """Makes the connections of one process, and refuses those beyond its limit before descriptors run out."""

    def __init__(
        self,
        handler: Handler,
        limits: ConnectionLimits,
        observers: Sequence[Observe],
        add_headers: CompleteResponse = lambda _http, _response: None,
    ) -> None:
        """Serve requests by `handler`; observers see each response, to which `add_headers` adds common headers."""
        super().__init__(self._unless_full, request_factory=self._request)
        self._handle = handler
        self._add_headers = add_headers
        self._limits = limits
        self._observers = Observers(observers)
        self._buffers = ReadBuffers()
        self.threads = SendingThreads()
        self._closed_idle_s = float("-inf")
        self.draining = False

    def __call__(self) -> Connection:
        """Make the protocol of a new connection."""
        limits = self._limits
        return Connection(
            self,
            limits,
            self._buffers,
            loop=self._loop,
            access_log_class=self._observers.of_connection,
            max_line_size=limits.header_bytes,
            max_field_size=limits.header_bytes,
            max_headers=limits.headers,
            keepalive_timeout=limits.keep_alive_s,
            lingering_time=1.0,
            read_bufsize=limits.read_buffer_bytes,
            # Content is stored as it was sent.
            auto_decompress=False,
        )

    def replace(self, handler: Handler, add_headers: CompleteResponse) -> None:
        """Serve requests to come by another handler; those under way stay with theirs."""
        self._handle = handler
        self._add_headers = add_headers

    def flush(self) -> None:
        """Have the observers called for every response that was sent."""
        self._observers.flush()

    @property
    def buffered_bytes(self) -> int:
        """How many bytes of bodies the connections hold."""
        return self._buffers.held_bytes

    @property
    def header_s(self) -> float:
        """How long a client may take for the headers of a request, in seconds."""
        return self._limits.header_s

    def has_room(self, connecting: int) -> bool:
        """Tell whether one more connection may be accepted, beside `connecting` that are being made.

        At the limit idle connections are closed. Where none is, some more are accepted to be refused with 503.
        """
        limit, open_now = self._limits.connections, len(self._connections) + connecting
        if open_now >= limit:
            self._close_idle_at_limit()
        return open_now < limit + limit // _REFUSED_SHARE + 1

    def _close_idle_at_limit(self) -> None:
        """Close the connections without any request, else those idle longest; at most once in a while, for it scans."""
        now_s = self._loop.time()
        if now_s < self._closed_idle_s + _IDLE_S:
            return
        self._closed_idle_s = now_s
        connections = [each for each in self._connections if isinstance(each, Connection)]
        idle = [each for each in connections if not each.busy and each.idle_since_s + _IDLE_S <= now_s]
        count = self._limits.connections // _CLOSED_SHARE + 1
        silent = [each for each in idle if not each.requests]
        for each in silent or heapq.nsmallest(count, idle, key=lambda each: each.idle_since_s):
            each.force_close()

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 (aiohttp's)
        """End all connections; requests under way get the time, in seconds.

        Those that are cut off then record what came of their bodies, which is waited for.
        """
        handlers = [each.handling for each in self._connections if isinstance(each, Connection)]
        await super().shutdown(timeout)
        if tasks := [each for each in handlers if each is not None]:
            await asyncio.wait(tasks, timeout=_CUT_OFF_S)
        self.threads.close()
        self.flush()

    def busy(self) -> int:
        """Return the number of connections with a request under way."""
        return sum(isinstance(each, Connection) and each.busy for each in self._connections)

    def close_idle(self) -> None:
        """Close the connections that wait for a request."""
        for each in list(self._connections):
            if isinstance(each, Connection) and not each.busy:
                each.force_close()

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        connection: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> HttpRequest:
        if not message.path.startswith("/"):
            message = _in_origin_form(message)
        fault = framing_fault(message)
        if fault is not None:
            message = message._replace(version=HttpVersion11, should_close=True)
        elif message.version < HttpVersion11 and TRANSFER_ENCODING in message.headers:
            # A proxy of that version may see another end of the body (RFC 9112, 6.1).
            message = message._replace(should_close=True)
        http = HttpRequest(message, payload, connection, writer, task, self._loop)
        http.complete = self._complete
        http.fault = fault
        http.started_s = self._loop.time()
        if isinstance(connection, Connection):
            connection.serving = http
        return http

    async def _unless_full(self, http: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(http, HttpRequest)
        fault = http.fault
        if fault is None and len(self._connections) > self._limits.connections:
            fault = Unavailable("too many connections", retry_after_s=1)
        if fault is not None:
            response = error_response(fault)
            response.force_close()
            return response
        return await self._handle(http)

    def _complete(self, http: HttpRequest, response: web.StreamResponse) -> None:
        """Add the headers that every response has; end the connection with the response if it should."""
        response.headers[SERVER] = PRODUCT
        if self.draining or _is_last(http.protocol) or _leaves_body(http):
            response.force_close()
            if http.version >= HttpVersion11:
                response.headers[CONNECTION] = "close"
            else:
                response.headers.popall(CONNECTION, None)
        self._add_headers(http, response)


def _is_last(connection: RequestHandler) -> bool:
    return isinstance(connection, Connection) and (connection.ends or connection.worn_out())


def _leaves_body(http: HttpRequest) -> bool:
    """Tell whether the client sends a body that is not wanted and too long to be read to its end and dropped.

    A small one is read, which costs less than another connection. And containerd, whose manifest is refused for want
    of a token, waits indefinitely if the connection closes before it has sent all of it.
    """
    if not http.body_exists or http.content.is_eof():
        return False
    length = http.content_length
    waits = http.headers.get("Expect", "").lower() == "100-continue"
    return length is None or length > DRAINED_BYTES or waits


def _in_origin_form(message: RawRequestMessage) -> RawRequestMessage:
    """Return a message whose target is an URL, as proxies are asked, with its path alone (RFC 9112, 3.2.2)."""
    origin = _ORIGIN.match(message.path)
    if origin is None:
        return message
    path = message.path[origin.end() :]
    return message._replace(path=path if path.startswith("/") else f"/{path}")
