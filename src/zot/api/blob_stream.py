"""Sends blobs, whole or in ranges, by sendfile where the content is a file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import IO, cast
from uuid import uuid4

from aiohttp import web

from zot.api.body import SlowClientError, ThroughputFloor, TransferLimits
from zot.api.connection import Connection
from zot.api.http_request import HttpRequest
from zot.api.sending_threads import BURST_BYTES, SendingThreads
from zot.api.tls_transport import PIECE_BYTES, TlsTransport
from zot.oci.ranges import ByteRange
from zot.registry.blob_fetch import FetchedContent
from zot.storage.interface import Content

# asyncio passes the whole length to one sendfile call, which freezes the loop for as long as the client is fast. In
# windows of this size the other connections get their turn, at the same throughput. While others ask for something
# windows are smaller: four streams then hold up a request for a millisecond, not for five, and have less throughput.
_WINDOW_BYTES = 1024 * 1024
_SHARED_WINDOW_BYTES = 256 * 1024
_SLOW_WINDOW_BYTES = PIECE_BYTES
_SLOW_S = 1.0
_FAST_S = 0.05
_READ_AHEAD_BYTES = 8 * _WINDOW_BYTES


async def send(
    http: HttpRequest,
    content: Content,
    ranges: Sequence[ByteRange] | None,
    headers: dict[str, str],
    limits: TransferLimits,
) -> web.StreamResponse:
    """Send all of the content, or the ranges of it.

    Raises ConnectionError if the response has begun and cannot be finished: the connection then ends short of the
    announced length, which no client takes for the whole.
    """
    if ranges is None:
        return await _send_one(http, content, ByteRange(0, content.size), 200, headers, limits)
    if len(ranges) == 1:
        headers["Content-Range"] = ranges[0].content_range(content.size)
        return await _send_one(http, content, ranges[0], 206, headers, limits)
    return await _send_parts(http, content, ranges, headers, limits)


async def _send_one(
    http: HttpRequest,
    content: Content,
    part: ByteRange,
    status: int,
    headers: dict[str, str],
    limits: TransferLimits,
) -> web.StreamResponse:
    if content.data is not None:
        return web.Response(status=status, headers=headers, body=content.data[part.start : part.stop])
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = part.length
    await response.prepare(http)
    await _transfer(http, response, content, part, limits)
    await response.write_eof()
    return response


async def _send_parts(
    http: HttpRequest,
    content: Content,
    ranges: Sequence[ByteRange],
    headers: dict[str, str],
    limits: TransferLimits,
) -> web.StreamResponse:
    """Send several ranges as multipart/byteranges (RFC 9110, 14.6)."""
    boundary = uuid4().hex
    media_type = headers["Content-Type"]
    openings = [
        f"\r\n--{boundary}\r\nContent-Type: {media_type}\r\n"
        f"Content-Range: {part.content_range(content.size)}\r\n\r\n".encode()
        for part in ranges
    ]
    closing = f"\r\n--{boundary}--\r\n".encode()
    headers["Content-Type"] = f"multipart/byteranges; boundary={boundary}"
    response = web.StreamResponse(status=206, headers=headers)
    response.content_length = sum(map(len, openings)) + sum(part.length for part in ranges) + len(closing)
    await response.prepare(http)
    for opening, part in zip(openings, ranges, strict=True):
        await response.write(opening)
        await _transfer(http, response, content, part, limits)
        await asyncio.sleep(0)
    await response.write(closing)
    await response.write_eof()
    return response


async def _transfer(
    http: HttpRequest, response: web.StreamResponse, content: Content, part: ByteRange, limits: TransferLimits
) -> None:
    sendfile = _can_sendfile(http, content)
    offset = part.start
    if sendfile and part.length <= _WINDOW_BYTES:
        # Most clients take that at once, and need no timer, no wait and no further window.
        offset += _send_now(http, content, offset, part.length)
        if offset == part.stop:
            return
    send = _by_sendfile if sendfile else _by_reading
    loop = asyncio.get_running_loop()
    average, idle_s = ThroughputFloor(limits), limits.taking_idle_s
    window = _WINDOW_BYTES if idle_s is None else _SLOW_WINDOW_BYTES
    threads, descriptor = _threads(http, part.length), content.fileno()
    fast = threads is not None and descriptor is not None
    requests = _requests_of_all(http)
    while offset < part.stop:
        if fast and threads is not None and descriptor is not None:
            length = min(BURST_BYTES, part.stop - offset)
            sent = await threads.send(http, descriptor, offset, length)
            offset += sent
            http.sent_bytes += sent
            average.add(sent)
            requests, before = _requests_of_all(http), requests
            # Threads would take the processor from other requests, which windows of this loop leave in turn.
            fast = sent == length and requests == before
            if requests != before:
                window = _SHARED_WINDOW_BYTES
            continue
        length = min(window, part.stop - offset)
        if isinstance(content, FetchedContent):
            length = await content.available(offset, length)
        content.will_need(offset, _READ_AHEAD_BYTES)
        began = loop.time()
        try:
            async with asyncio.timeout(idle_s):
                await send(http, response, content, offset, length)
        except TimeoutError as error:
            raise SlowClientError(f"the client took less than {length} bytes in {idle_s} s") from error
        offset += length
        http.sent_bytes += length
        if not isinstance(content, FetchedContent):  # an upstream may be slower than a client has to be
            average.add(length)
        await asyncio.sleep(0)
        requests, before = _requests_of_all(http), requests
        if loop.time() - began > _SLOW_S:
            # Small windows for slow clients, so that the time limit is one on progress and not on their speed.
            window = _SLOW_WINDOW_BYTES
        else:
            window = _WINDOW_BYTES if requests == before else _SHARED_WINDOW_BYTES
        fast = requests == before and loop.time() - began < _FAST_S


def _threads(http: HttpRequest, length: int) -> SendingThreads | None:
    """Return the threads for a body that is worth one: by encryption, or by its length."""
    connection = http.protocol
    if not isinstance(connection, Connection):
        return None
    return connection.threads if length > _WINDOW_BYTES or isinstance(http.transport, TlsTransport) else None


def _requests_of_all(http: HttpRequest) -> int:
    """Return how many requests this process has received, on all connections."""
    connection = http.protocol
    return connection.requests_of_all if isinstance(connection, Connection) else 0


def _can_sendfile(http: HttpRequest, content: Content) -> bool:
    transport = http.transport
    return (
        content.fileno() is not None
        and transport is not None
        and transport.get_extra_info("sslcontext") is None
        and hasattr(asyncio.get_running_loop(), "_sendfile_native")
    )


def _send_now(http: HttpRequest, content: Content, offset: int, length: int) -> int:
    """Send what the socket takes without waiting, and return how many bytes that is. Raises ConnectionError."""
    transport, descriptor = _open_transport(http), content.fileno()
    assert descriptor is not None
    if transport.get_write_buffer_size():  # of the headers
        return 0
    connection = transport.get_extra_info("socket")
    try:
        sent = os.sendfile(connection.fileno(), descriptor, offset, length)
    except ConnectionError:
        raise
    except OSError:  # it takes nothing, or the disk failed
        return 0
    http.sent_bytes += sent
    return sent


def _open_transport(http: HttpRequest) -> asyncio.Transport:
    """Return the transport of the connection. Raises ConnectionResetError if it is closed."""
    if http.transport is None or http.transport.is_closing():
        raise ConnectionResetError("the client went away")
    return http.transport


class _File:
    """The part of a file object that `loop.sendfile` uses."""

    mode = "rb"

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def seek(self, offset: int) -> int:
        return offset


async def _by_sendfile(
    http: HttpRequest, response: web.StreamResponse, content: Content, offset: int, length: int
) -> None:
    transport, descriptor = http.transport, content.fileno()
    if transport is None or transport.is_closing() or descriptor is None:
        raise ConnectionResetError("the client went away")
    file = cast("IO[bytes]", _File(descriptor))
    try:
        sent = await asyncio.get_running_loop().sendfile(transport, file, offset, length, fallback=False)
    except asyncio.SendfileNotAvailableError:
        # Raised for any failure of a window's first call: reading separates the client's failures from the disk's.
        await _by_reading(http, response, content, offset, length)
        return
    if sent != length:
        raise ConnectionAbortedError(f"the file ended {length - sent} bytes early")


async def _by_reading(
    http: HttpRequest, response: web.StreamResponse, content: Content, offset: int, length: int
) -> None:
    piece = await content.read(offset, length)
    if len(piece) != length:
        raise ConnectionAbortedError(f"the content ended {length - len(piece)} bytes early")
    await response.write(piece)
    if http.transport is None or http.transport.is_closing():
        raise ConnectionResetError("the client went away")
