"""Bodies of requests, piece by piece: nothing is read before it is wanted, nobody may dawdle for ever."""

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
    """The client makes no progress, or too little of it: its connection is closed."""


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """What is expected of a client. Neither bounds how long a body may take, which is its size's matter."""

    sending_idle_s: float | None = 60.0
    """Longest time without a byte from a client that sends; None: no limit."""
    taking_idle_s: float | None = 60.0
    """Longest time in which a client may take nothing of its answer; None: no limit."""
    floor_bytes_per_s: int = default_limits.BYTES_PER_S
    """Lowest average over a minute."""


class ThroughputFloor:
    """The average speed of a client, minute by minute."""

    def __init__(self, pace: TransferLimits) -> None:
        """Start now."""
        self._floor_bytes = pace.floor_bytes_per_s * _FLOOR_WINDOW_S
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
    """Ask for the body if the client waits to be asked (RFC 9110, 10.1.1): call it once the request is allowed."""
    if http.headers.get("Expect", "").lower() == "100-continue" and http.version >= HttpVersion11:
        await http.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # What follows is the start of the response again, as far as the server's own bookkeeping goes.
        http.writer.output_size = 0


async def iter_chunks(http: HttpRequest, pace: TransferLimits) -> AsyncIterator[bytes]:
    """Iterate over the body as it comes. Raises SlowClientError, ConnectionError, UploadInvalid (broken framing)."""
    connection = http.protocol
    assert isinstance(connection, RegistryProtocol)
    await send_continue(http)
    average = ThroughputFloor(pace)
    while True:
        try:
            async with asyncio.timeout(pace.sending_idle_s):
                piece = await connection.read_body(http.content)
        except TimeoutError as error:
            raise SlowClientError(f"no byte for {pace.sending_idle_s} s") from error
        except web.RequestPayloadError as error:
            if http.transport is None:
                raise ConnectionResetError("the connection broke in the body") from error
            raise UploadInvalid("the body is malformed") from error
        if not piece:
            return
        average.add(len(piece))
        yield piece


class MemoryBudget:
    """The bytes of bodies that a process holds at once: what many clients send together is bounded, too."""

    def __init__(self, limit_bytes: int, small_bytes: int = 0, reserved_bytes: int = 0) -> None:
        """Hold at most `limit_bytes`, and `reserved_bytes` more of bodies of up to `small_bytes`."""
        self._free_bytes = limit_bytes + reserved_bytes
        self._small_bytes = small_bytes
        self._reserved_bytes = reserved_bytes

    @contextmanager
    def share(self) -> Iterator[Take]:
        """Give what takes of the room, and gives it back at the end of the block. It raises Unavailable: no room."""
        taken = 0

        def take(length: int) -> None:
            nonlocal taken
            reserved_bytes = self._reserved_bytes if taken + length > self._small_bytes else 0
            if length > self._free_bytes - reserved_bytes:
                raise Unavailable("too many manifests are on their way", retry_after_s=1)
            self._free_bytes -= length
            taken += length

        try:
            yield take
        finally:
            self._free_bytes += taken


async def read_limited(
    http: HttpRequest,
    pace: TransferLimits,
    limit_bytes: int,
    take: Take = lambda _: None,
    too_large: type[RegistryError] = BodyTooLarge,
) -> bytes:
    """Return a body that has to be small, whole. Raises `too_large` before more than the limit is held.

    `take` is told how much comes before it is held, and may refuse it.
    """
    length = http.content_length
    if length is not None and length > limit_bytes:
        raise too_large(f"the body has at most {limit_bytes} bytes", length=length)
    content = bytearray()
    async for piece in iter_chunks(http, pace):
        take(len(piece))
        content += piece
        if len(content) > limit_bytes:
            raise too_large(f"the body has at most {limit_bytes} bytes")
    if length is not None and len(content) != length:
        raise SizeInvalid(f"{len(content)} bytes came where {length} were announced")
    return bytes(content)


def is_empty(http: HttpRequest) -> bool:
    """Tell whether the request has no body, by its headers."""
    return not http.body_exists or http.content_length == 0
