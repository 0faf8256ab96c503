"""Request bodies as bounded async chunks, with idle and throughput limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import HttpVersion11, web

from zot.api.http_request import HttpRequest
from zot.api.protocol import RegistryProtocol
from zot.config import default_limits
from zot.registry.errors import BodyTooLarge, RegistryError, SizeInvalid, Unavailable, UploadInvalid

Take = Callable[[int], None]

_FLOOR_WINDOW_S = 60.0


class SlowClientError(ConnectionError):
    """The client makes too little progress, or none: its connection is closed."""


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """How slow a client may be. The time of a whole body is not limited: it depends on its size."""

    sending_idle_s: float | None = 60.0
    """Longest time without a byte from a client that sends; None: no limit."""
    taking_idle_s: float | None = 60.0
    """Longest time in which a client may read nothing of its response; None: no limit."""
    floor_bytes_per_s: int = default_limits.BYTES_PER_S
    """Lowest average over a minute."""


class ThroughputFloor:
    """Checks the average speed of a client, minute by minute."""

    def __init__(self, limits: TransferLimits) -> None:
        """Start the first minute."""
        self._floor_bytes = limits.floor_bytes_per_s * _FLOOR_WINDOW_S
        self._loop = asyncio.get_running_loop()
        self._begin()

    def add(self, length: int) -> None:
        """Count bytes. Raises SlowClientError at the end of a minute in which there were too few."""
        self._bytes += length
        if self._loop.time() > self._window_end:
            if self._bytes < self._floor_bytes:
                raise SlowClientError(f"{self._bytes} bytes in {_FLOOR_WINDOW_S:.0f} s")
            self._begin()

    def _begin(self) -> None:
        self._window_end, self._bytes = self._loop.time() + _FLOOR_WINDOW_S, 0


async def send_continue(http: HttpRequest) -> None:
    """Send 100 Continue if the client waits for it (RFC 9110, 10.1.1): call it once the request is allowed."""
    if http.headers.get("Expect", "").lower() == "100-continue" and http.version >= HttpVersion11:
        await http.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # What follows is the start of the response again, as far as the server's own bookkeeping goes.
        http.writer.output_size = 0


async def iter_chunks(http: HttpRequest, limits: TransferLimits, together_bytes: int = 1) -> AsyncIterator[bytes]:
    """Iterate over the body as it is received.

    Of a fast client `together_bytes` are received before the first of them is returned.
    Raises SlowClientError, ConnectionError, UploadInvalid (broken framing).
    """
    connection = http.protocol
    assert isinstance(connection, RegistryProtocol)
    await send_continue(http)
    average = ThroughputFloor(limits)
    while True:
        try:
            if http.content.is_eof():  # there is nothing to wait for
                pieces = await connection.read_body(http)
            else:
                async with asyncio.timeout(limits.sending_idle_s):
                    pieces = await connection.read_body(http, together_bytes)
        except (asyncio.CancelledError, TimeoutError) as error:  # the server is stopping, or the client is slow
            for piece in connection.taken():
                yield piece
            if isinstance(error, TimeoutError):
                raise SlowClientError(f"no byte for {limits.sending_idle_s} s") from error
            raise
        except web.RequestPayloadError as error:
            if http.transport is None:
                raise ConnectionResetError("the connection broke in the body") from error
            raise UploadInvalid("the body is malformed") from error
        for piece in pieces:
            if not piece:
                return
            average.add(len(piece))
            yield piece
        if not pieces:
            return


class MemoryBudget:
    """Bounds the bytes of bodies that a process holds at once, of all clients together."""

    def __init__(self, limit_bytes: int, small_bytes: int = 0, reserved_bytes: int = 0) -> None:
        """Hold at most `limit_bytes`, and `reserved_bytes` more of bodies of up to `small_bytes`."""
        self._free_bytes = limit_bytes + reserved_bytes
        self._small_bytes = small_bytes
        self._reserved_bytes = reserved_bytes

    @contextmanager
    def share(self) -> Iterator[Take]:
        """Yield a function that takes bytes of the budget until the block ends. It raises Unavailable at the limit."""
        taken = 0

        def take(length: int) -> None:
            nonlocal taken
            reserved_bytes = self._reserved_bytes if taken + length > self._small_bytes else 0
            if length > self._free_bytes - reserved_bytes:
                raise Unavailable("too many manifests are being received", retry_after_s=1)
            self._free_bytes -= length
            taken += length

        try:
            yield take
        finally:
            self._free_bytes += taken


async def read_limited(
    http: HttpRequest,
    limits: TransferLimits,
    limit_bytes: int,
    take: Take = lambda _: None,
    too_large: type[RegistryError] = BodyTooLarge,
) -> bytes:
    """Return a whole body of at most `limit_bytes`. Raises `too_large` before more is held, SizeInvalid.

    `take` is called with the length of each chunk before it is held, and may raise.
    """
    length = http.content_length
    if length is not None and length > limit_bytes:
        raise too_large(f"the body has at most {limit_bytes} bytes", length=length)
    content = bytearray()
    async for piece in iter_chunks(http, limits):
        take(len(piece))
        content += piece
        if len(content) > limit_bytes:
            raise too_large(f"the body has at most {limit_bytes} bytes")
    if length is not None and len(content) != length:
        raise SizeInvalid(f"{len(content)} bytes were received where {length} were announced")
    return bytes(content)


def is_empty(http: HttpRequest) -> bool:
    """Tell whether the request has no body, by its headers."""
    return not http.body_exists or http.content_length == 0
