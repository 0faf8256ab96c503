"""Connections: aiohttp's protocol with bounds on what a client may do to it."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server

from zot.api.errors import answer
from zot.api.http_request import HttpRequest
from zot.api.observing import Observe, Observers
from zot.registry.errors import RegistryError, Unavailable

_ORIGIN = re.compile(r"https?://[^/?#]*", re.IGNORECASE)


class BadRequest(RegistryError):
    """The bytes are not an acceptable HTTP request."""

    code, status, message = "UNSUPPORTED", 400, "bad request"


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one connection may hold, and all together."""

    header_bytes: int = 32 * 1024
    """Of the request line, and of each header."""
    headers: int = 128
    header_s: float = 5.0
    """From a request's first byte to the end of its headers."""
    keep_alive_s: float = 120.0
    requests: int = 10_000
    """After which it is closed, so that the load of several processes evens out."""
    age_s: float = 300.0
    connections: int = 10_000
    read_buffer_bytes: int = 256 * 1024
    stalled_s: float = 60.0
    """How long the kernel tries to send to a client that takes nothing; 0: as long as it likes."""


class Connection(RequestHandler):
    """One client's connection."""

    __slots__ = ("_born_s", "_header_timer", "_limits", "client_words")

    client_words: object
    """What the access log made of the last request's headers: a client sends the same ones again and again."""

    def __init__(self, server: ConnectionServer, limits: ConnectionLimits, **parameters: Any) -> None:
        """Take the limits, and what aiohttp's own protocol takes."""
        super().__init__(server, **parameters)
        self._limits = limits
        self._born_s = self._loop.time()
        self._header_timer: asyncio.TimerHandle | None = None
        self.client_words = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start with the kernel told to give up on a client that takes nothing."""
        super().connection_made(transport)
        peer = transport.get_extra_info("socket")
        stalled_ms = int(self._limits.stalled_s * 1000)
        if stalled_ms and peer is not None and peer.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, stalled_ms)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the timer."""
        self._stop_header_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and start a timer while a request's headers are incomplete."""
        super().data_received(data)
        if self._current_request is not None or self._messages:
            if self._header_timer is not None:
                self._stop_header_timer()
        elif self._header_timer is None and not self._request_in_progress:
            self._header_timer = self._loop.call_later(self._limits.header_s, self._headers_late)

    @property
    def requests_of_all(self) -> int:
        """How many requests came so far, on all connections of the server."""
        return self._manager.requests_count if self._manager is not None else 0

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return self._request_in_progress or bool(self._messages)

    def worn_out(self) -> bool:
        """Tell whether this connection has served long enough and should be closed after the answer."""
        return self._request_count >= self._limits.requests or self._loop.time() - self._born_s >= self._limits.age_s

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer bytes that are no request in the form of every other error.

        Who went away, or is dropped, is not answered, and is no fault of this side that its log should tell of.
        """
        if isinstance(exc, ConnectionError):
            if self.transport is not None:
                # Not closed: that would wait until a client that takes nothing has taken what is left.
                self.transport.abort()
            raise exc
        if status != 400:
            return super().handle_error(request, status, exc, message)
        response = answer(BadRequest((message or "malformed HTTP").splitlines()[0][:200]))
        response.force_close()
        return response

    def _headers_late(self) -> None:
        self._header_timer = None
        if self._current_request is None and not self._messages:
            self.force_close()

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None


class ConnectionServer(Server):
    """Makes the connections of one process, and refuses those beyond its limit before descriptors run out."""

    def __init__(
        self,
        handler: Callable[[HttpRequest], Any],
        limits: ConnectionLimits,
        observers: Sequence[Observe],
    ) -> None:
        """Take the handler of requests, the limits, and those who are told of each answer."""
        super().__init__(self._unless_full, request_factory=self._request)
        self._handle = handler
        self._limits = limits
        self._observers = Observers(observers)
        self.draining = False

    def __call__(self) -> Connection:
        """Make the protocol of a new connection."""
        limits = self._limits
        return Connection(
            self,
            limits,
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

    def replace(self, handler: Callable[[HttpRequest], Any]) -> None:
        """Have requests to come answered by another handler; those under way stay with theirs."""
        self._handle = handler

    def flush(self) -> None:
        """Have the observers told of every answer that was sent."""
        self._observers.flush()

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 (aiohttp's)
        """End all connections; what was under way gets the time, in seconds."""
        await super().shutdown(timeout)
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
        return HttpRequest(message, payload, connection, writer, task, self._loop)

    async def _unless_full(self, http: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(http, HttpRequest)
        if len(self._connections) > self._limits.connections:
            response: web.StreamResponse = answer(Unavailable("too many connections", retry_after_s=1))
            response.force_close()
            return response
        response = await self._handle(http)
        connection = http.protocol
        if not response.prepared and (self.draining or (isinstance(connection, Connection) and connection.worn_out())):
            response.force_close()
        return response


def _in_origin_form(message: RawRequestMessage) -> RawRequestMessage:
    """Return a message whose target is an URL, as proxies are asked, with its path alone (RFC 9112, 3.2.2)."""
    origin = _ORIGIN.match(message.path)
    if origin is None:
        return message
    path = message.path[origin.end() :]
    return message._replace(path=path if path.startswith("/") else f"/{path}")
