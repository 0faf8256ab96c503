"""aiohttp's HTTP protocol, changed to read bodies on demand and to serve half-closed clients.

A body whose length is known passes by the parser: from the first piece that a handler asks for, the bytes that are left
of it are counted here, and a new parser begins with the next request.

`tests/api/test_private_names.py` lists the private names of aiohttp that this module and `connection.py` use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.http import HttpRequestParser, RawRequestMessage
from aiohttp.web_protocol import MAX_MSG_QUEUE_SIZE, RequestHandler
from aiohttp.web_server import Server

from zot.api.headers import TRANSFER_ENCODING
from zot.api.http_request import HttpRequest

BUFFERED_LIMIT_BYTES = 64 * 1024 * 1024
"""Bytes of bodies that the connections of a process hold together, apart from `HEAD_BYTES` of each."""
HEAD_BYTES = 8 * 1024
"""Bytes read at once while no body is wanted. OpenSSL holds a record of up to 16 KiB besides."""

HEADERS_BYTES = 128 * 1024
"""Longest request line with its headers."""
HEADERS_BYTES_IF_FULL = 16 * 1024
"""Longest ones while the connections of the process hold as much as they may."""

_PIECE_BYTES = 256 * 1024
_SMALL_PIECE_BYTES = 16 * 1024
# Of pieces that are handed over together; those of a slow client are handed over as they come.
_TOGETHER_PIECES = 64
_TOGETHER_S = 0.25
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
        if self.scarce:
            return self._buffer[:_SMALL_PIECE_BYTES]
        return self._buffer

    @property
    def scarce(self) -> bool:
        """Whether the connections hold so much that each piece should be handed over at once."""
        return self.held_bytes * 2 >= self._limit_bytes

    @property
    def headers_bytes(self) -> int:
        """How long the headers of one request may be at the moment."""
        return HEADERS_BYTES if self.held_bytes < self._limit_bytes else HEADERS_BYTES_IF_FULL

    def filled(self, length: int) -> bytes:
        """Return a copy of what was read."""
        return self._buffer[:length].tobytes()


class RegistryProtocol(RequestHandler, asyncio.BufferedProtocol):
    """One connection.

    A body is read from the socket only while `read_body` waits for it; at most one small piece is read unwanted.
    Headers that are too long in all are refused. Complete requests of a client that then closed its side are served.
    """

    __slots__ = (
        "_arrival",
        "_buffers",
        "_dropped",
        "_half_closed",
        "_headers_bytes",
        "_held_bytes",
        "_parameters",
        "_pieces",
        "_rest",
        "_rest_bytes",
        "_wanted",
        "serving",
    )

    serving: HttpRequest | None
    """The request under way: from the moment it is taken up until its response is sent."""

    def __init__(self, server: Server, buffers: ReadBuffers, **parameters: Any) -> None:
        """Take the process' buffers, and what aiohttp's own protocol takes."""
        super().__init__(server, **parameters)
        self._buffers = buffers
        self._held_bytes = 0
        self._headers_bytes = 0
        self._parameters = parameters
        self._dropped: StreamReader | None = None
        self._rest: StreamReader | None = None
        """The body whose next bytes pass by the parser."""
        self._rest_bytes = 0
        self._pieces: list[bytes] = []
        """Of that body, not handed over yet."""
        self._arrival: _Arrival | None = None
        self._wanted = False
        self._half_closed = False
        self.serving = None

    @property
    def busy(self) -> bool:
        """Whether a request is being served or waits."""
        return self.serving is not None or bool(self._messages)

    @property
    def handling(self) -> asyncio.Task[None] | None:
        """The task that serves the connection's requests."""
        return self._task_handler

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
        buffer = self._buffers.free(wanted=self._wanted)
        # Not into the next request, which is the next parser's.
        return buffer if self._rest is None else buffer[: self._rest_bytes]

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what was read, or take it as the body's."""
        data = self._buffers.filled(nbytes)
        if self._rest is None or self._arrival is None:
            self.data_received(data)
            return
        self._pieces.append(data)
        self._hold(nbytes)
        self._rest.total_bytes += nbytes
        self._count_rest(nbytes)
        self._arrival.add(nbytes, ends=self._rest is None)

    def data_received(self, data: bytes) -> None:
        """Parse, and stop reading if more of a body may come that is not wanted yet."""
        waiting, before = len(self._messages), self._body() or self._dropped
        if self._rest is not None:
            rest, data = data[: self._rest_bytes], data[self._rest_bytes :]
            self._rest.feed_data(rest)
            self._count_rest(len(rest))
        if self._rest is None:
            super().data_received(data)
        self._end_broken_body()
        if self._wanted:
            self._hold(len(data))
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
        """Release the bytes that the connection held."""
        self._free()
        self._hold_headers(0)
        super().connection_lost(exc)
        if self._arrival is not None:
            self._arrival.end()

    async def read_body(self, http: HttpRequest, together_bytes: int = 1) -> Sequence[bytes]:
        """Return the next pieces of the body of the request under way; none, or an empty one, at its end.

        Pieces of that many bytes are waited for, a quarter of a second at most, so that the caller is woken once for
        all of them. Asking for the next ones means that those returned before are not held by this connection any more.
        Those that came before an error are returned first.
        """
        self._free()
        content = http.content
        if content.is_eof():
            return [content.read_nowait()]
        self._wanted = True
        self._resume()
        try:
            if self._rest is content or self._pass_parser(http):
                return await self._collected(content, 1 if self._buffers.scarce else together_bytes)
            return [await content.readany()]
        finally:
            self._wanted = False
            if not content.is_eof():
                self._pause()

    def taken(self) -> Sequence[bytes]:
        """Return pieces of the body that came and that `read_body` did not return, because it was cancelled."""
        pieces, self._pieces = self._pieces, []
        return pieces

    async def _collected(self, content: StreamReader, together_bytes: int) -> Sequence[bytes]:
        """Return what comes of a body that passes by the parser."""
        if before := content.read_nowait():
            self._pieces.append(before)
            together_bytes -= len(before)
            if together_bytes <= 0:
                return self.taken()
        self._arrival = _Arrival(self._loop, together_bytes)
        try:
            await self._arrival.enough
        finally:
            self._arrival = None
        if not self._pieces:  # nothing but the connection's end ends the wait without a piece
            raise content.exception() or ConnectionResetError("the connection broke in the body")
        return self.taken()

    def _pass_parser(self, http: HttpRequest) -> bool:
        """Take the rest of the body from here on, if its length is known and no other request is behind it."""
        length, content = http.content_length, http.content
        if length is None or TRANSFER_ENCODING in http.headers or http is not self.serving:
            return False
        if self._messages or self._upgraded or self._reading_paused or self._buffer_paused or content.exception():
            return False
        self._rest, self._rest_bytes = content, length - content.total_bytes
        self._pieces = []
        return True

    def _count_rest(self, length: int) -> None:
        """Count bytes of the body that passes by the parser; at its end, begin with the next request."""
        assert self._rest is not None
        self._rest_bytes -= length
        if self._rest_bytes:
            return
        content, self._rest = self._rest, None
        self._parser = self._new_parser()
        content.feed_eof()

    def _new_parser(self) -> HttpRequestParser:
        """Return a parser as aiohttp makes it for a connection."""
        parameters = self._parameters
        return HttpRequestParser(
            self,
            self._loop,
            parameters["read_bufsize"],
            max_line_size=parameters["max_line_size"],
            max_field_size=parameters["max_field_size"],
            max_headers=parameters["max_headers"],
            payload_exception=web.RequestPayloadError,
            auto_decompress=parameters["auto_decompress"],
            max_msg_queue_size=MAX_MSG_QUEUE_SIZE,
        )

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


class _Arrival:
    """The wait for some pieces of a body."""

    __slots__ = ("_bytes_left", "_deadline_s", "_loop", "_pieces_left", "enough")

    def __init__(self, loop: asyncio.AbstractEventLoop, together_bytes: int) -> None:
        self._loop = loop
        self._bytes_left = together_bytes
        self._pieces_left = _TOGETHER_PIECES
        self._deadline_s = loop.time() + _TOGETHER_S
        self.enough: asyncio.Future[None] = loop.create_future()

    def add(self, length: int, *, ends: bool) -> None:
        """Count a piece that came; `ends` tells whether it is the body's last."""
        self._bytes_left -= length
        self._pieces_left -= 1
        if ends or self._bytes_left <= 0 or not self._pieces_left or self._loop.time() >= self._deadline_s:
            self.end()

    def end(self) -> None:
        """Hand over what came."""
        if not self.enough.done():
            self.enough.set_result(None)


def _if_open(transport: asyncio.Transport | None, act: Callable[[asyncio.Transport], None]) -> None:
    if transport is not None and not transport.is_closing():
        with suppress(RuntimeError):  # it was closed by the other side
            act(transport)
