"""aiohttp's HTTP protocol, changed to read bodies on demand and to serve half-closed clients.

`tests/api/test_private_names.py` lists the private names of aiohttp that this module and `connection.py` use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server

from zot.api.http_request import HttpRequest

BUFFERED_LIMIT_BYTES = 64 * 1024 * 1024
"""Bytes of bodies that the connections of a process hold together, apart from `HEAD_BYTES` of each."""
HEAD_BYTES = 8 * 1024
"""Bytes read at once while no body is wanted. OpenSSL holds a record of up to 16 KiB besides."""

HEADERS_BYTES = 128 * 1024
"""Longest request line with its headers."""
HEADERS_BYTES_IF_FULL = 16 * 1024
"""Longest ones while the connections of the process hold as much as they may."""

COLLECTED_BYTES = 1024 * 1024
"""Bytes of a body that are collected before its reader continues, while the connections hold little."""

_PIECE_BYTES = 256 * 1024
_SMALL_PIECE_BYTES = 16 * 1024
_HEADERS_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nServer: zot\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


class ReadBuffers:
    """The read buffer of all connections of a process, and how many bytes they hold.

    One buffer serves all of them: what is read is copied out of it before the next connection reads.
    """

    def __init__(self, limit_bytes: int = BUFFERED_LIMIT_BYTES) -> None:
        """Hold at most `limit_bytes`, and a small piece of each connection beyond it."""
        self._limit_bytes = limit_bytes
        self._buffer = memoryview(bytearray(_PIECE_BYTES))
        self.held_bytes = 0

    def free(self, *, wanted: bool) -> memoryview:
        """Return where to read to: large for a body that is wanted, smaller the more the connections hold."""
        if not wanted or self.held_bytes >= self._limit_bytes:
            return self._buffer[:HEAD_BYTES]
        if self.held_bytes * 2 >= self._limit_bytes:
            return self._buffer[:_SMALL_PIECE_BYTES]
        return self._buffer

    @property
    def collected_bytes(self) -> int:
        """How many bytes of one body may be collected at the moment; at least one."""
        return COLLECTED_BYTES if self.held_bytes * 2 < self._limit_bytes else 1

    @property
    def headers_bytes(self) -> int:
        """How long the headers of one request may be at the moment."""
        return HEADERS_BYTES if self.held_bytes < self._limit_bytes else HEADERS_BYTES_IF_FULL

    def filled(self, length: int) -> bytes:
        """Return a copy of what was read."""
        return self._buffer[:length].tobytes()


class RegistryProtocol(RequestHandler, asyncio.BufferedProtocol):
    """One connection.

    A body is read from the socket only while `read_body` waits for it; at most one small piece is read unwanted. A
    reader continues once for each MiB, not once for each time that the socket had bytes.
    Headers that are too long in all are refused. Complete requests of a client that then closed its side are served.
    """

    __slots__ = (
        "_buffers",
        "_collecting",
        "_dropped",
        "_full",
        "_half_closed",
        "_headers_bytes",
        "_held_bytes",
        "_interruption",
        "_rest",
        "body_bytes",
        "serving",
        "waits_since",
    )

    serving: HttpRequest | None
    """The request under way: from the moment it is taken up until its response is sent."""
    body_bytes: int
    """Bytes that came while `read_body` waited for them, of all bodies."""
    waits_since: float | None
    """When `read_body` began to wait, or the last byte came, by the loop's clock; None: it does not wait."""

    def __init__(self, server: Server, buffers: ReadBuffers, **parameters: Any) -> None:
        """Take the process' buffers, and what aiohttp's own protocol takes."""
        super().__init__(server, **parameters)
        self._buffers = buffers
        self._held_bytes = 0
        self._headers_bytes = 0
        self._dropped: StreamReader | None = None
        self._collecting: asyncio.Future[None] | None = None
        self._interruption: Exception | None = None
        self._full = False
        self._rest = b""
        self._half_closed = False
        self.serving = None
        self.body_bytes = 0
        self.waits_since = None

    @property
    def busy(self) -> bool:
        """Whether a request is being served or waits."""
        return self.serving is not None or bool(self._messages)

    @property
    def ends(self) -> bool:
        """Whether the client has ended its side and sends no more requests."""
        return self._half_closed and not self._messages

    @property
    def requests_of_all(self) -> int:
        """How many requests came so far, on all connections of the server."""
        return self._manager.requests_count if self._manager is not None else 0

    @property
    def requests(self) -> int:
        """How many requests came on this connection."""
        return self._request_count

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the event loop reads to."""
        del sizehint
        return self._buffers.free(wanted=self._collecting is not None)

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what was read."""
        self.data_received(self._buffers.filled(nbytes))

    def data_received(self, data: bytes) -> None:
        """Parse, and stop reading if more of a body may come that is not wanted yet."""
        waiting, before = len(self._messages), self._body() or self._dropped
        super().data_received(data)
        self._end_broken_body()
        if self._collecting is not None:
            self._hold(len(data))
            self.body_bytes += len(data)
            self.waits_since = self._loop.time()
            body = self._body()
            if self._held_bytes >= self._buffers.collected_bytes or body is None or body.is_eof() or body.exception():
                self._continue()
            return
        if len(self._messages) > waiting:
            self._hold_headers(0)
        elif before is None or before.is_eof():
            self._hold_headers(self._headers_bytes + len(data))
        if self._headers_bytes > self._buffers.headers_bytes:
            self._refuse_headers()
        body = self._body()
        if body is not None and not body.is_eof():
            self._hold(len(data))
            self._pause()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep a connection open whose client has sent all of its requests and waits for the responses."""
        if self._messages and not self._messages[-1][1].is_eof():
            self._messages.pop()
        if self.serving is not None and not self.serving.content.is_eof():
            return False
        # TLS has no half-closed connections: the client's end of the stream ends both.
        self._half_closed = self.busy and self.ssl_context is None
        return self._half_closed

    def connection_lost(self, exc: BaseException | None) -> None:
        """Release the bytes that the connection held; what came of a body before it broke off can still be read."""
        if self._collecting is not None and self.serving is not None and self.serving.content.exception() is None:
            self._rest = self.serving.content.read_nowait()
        self._free()
        self._hold_headers(0)
        super().connection_lost(exc)
        self._continue()

    def pause_reading(self) -> None:
        """Let the reader of a body continue: aiohttp calls this when it buffers as much of the body as it may."""
        self._full = True
        super().pause_reading()
        self._continue()

    def interrupt(self, error: Exception | None) -> None:
        """Have `read_body` raise an error, after the bytes that have come; None: do not."""
        self._interruption = error
        if error is not None:
            self._continue()

    async def read_body(self, content: StreamReader) -> bytes:
        """Return the next bytes of the body of the request under way, about a MiB of them; none at its end.

        Asking for them means that the bytes returned before are not held by this connection any more.
        """
        self._free()
        full, self._full = self._full, False
        try:
            if not (content.is_eof() or content.exception() or self._interruption or full):
                await self._collect(content)
            if self._rest:
                piece, self._rest = self._rest, b""
                return piece
            if self._interruption is not None:
                if content.exception() is None and (piece := content.read_nowait()):
                    return piece
                raise self._interruption
            return await content.readany()
        finally:
            if not content.is_eof():
                self._pause()

    async def _collect(self, content: StreamReader) -> None:
        """Wait until there are bytes to return, or none will come."""
        content.set_read_chunk_size(COLLECTED_BYTES)
        self._collecting = self._loop.create_future()
        self.waits_since = self._loop.time()
        self._resume()
        try:
            await self._collecting
        finally:
            self._collecting = self.waits_since = None

    def _continue(self) -> None:
        if self._collecting is not None and not self._collecting.done():
            self._collecting.set_result(None)

    def log_access(self, request: web.BaseRequest, response: web.StreamResponse, time: float | None) -> None:
        """Note that the response is sent: aiohttp reads and drops the rest of the body for a moment, then closes."""
        super().log_access(request, response, time)
        self.serving = None
        self._dropped = request.content
        self._free()
        if not request.content.is_eof() or self._headers_bytes:
            self._resume()
        if self.ends:
            self.close()

    def _end_broken_body(self) -> None:
        """Fail the reader of a body whose end will not come: aiohttp does not if its trailers are refused."""
        refused = bool(self._messages) and not isinstance(self._messages[-1][0], RawRequestMessage)
        if refused and self.serving is not None and not self.serving.content.is_eof():
            self.serving.content.set_exception(web.RequestPayloadError("the body is malformed"))

    def _body(self) -> StreamReader | None:
        """Return the body being received, or the last one."""
        if self._messages:
            return self._messages[-1][1]
        return None if self.serving is None else self.serving.content

    def _hold(self, length: int) -> None:
        self._held_bytes += length
        self._buffers.held_bytes += length

    def _hold_headers(self, length: int) -> None:
        self._buffers.held_bytes += length - self._headers_bytes
        self._headers_bytes = length

    def _refuse_headers(self) -> None:
        """Refuse headers that are too long in all; behind a request being served, read no more until its response."""
        if self.busy:
            self._pause()
            return
        _if_open(self.transport, lambda transport: transport.write(_HEADERS_TOO_LARGE))
        _if_open(self.transport, lambda transport: transport.close())

    def _free(self) -> None:
        self._buffers.held_bytes -= self._held_bytes
        self._held_bytes = 0

    def _pause(self) -> None:
        _if_open(self.transport, lambda transport: transport.pause_reading())

    def _resume(self) -> None:
        _if_open(self.transport, lambda transport: transport.resume_reading())


def _if_open(transport: asyncio.Transport | None, act: Callable[[asyncio.Transport], None]) -> None:
    if transport is not None and not transport.is_closing():
        with suppress(RuntimeError):  # it was closed by the other side
            act(transport)
