"""Bodies of requests, piece by piece: nothing is read before it is wanted, nobody may dawdle for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import web

from zot.registry.errors import ManifestTooLarge, SizeInvalid, UploadInvalid

_FLOOR_WINDOW_S = 60.0


class SlowClient(ConnectionError):
    """The client makes no progress, or too little of it: its connection is closed."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What is expected of a client. Neither bounds how long a body may take, which is its size's matter."""

    idle_s: float | None = 60.0
    """Longest time without a byte; None: no limit."""
    floor_bytes_per_s: int = 1024
    """Lowest average over a minute."""


async def invite(http: web.BaseRequest) -> None:
    """Ask for the body if the client waits to be asked (RFC 9110, 10.1.1): call it once the request is allowed."""
    if http.headers.get("Expect", "").lower() == "100-continue":
        await http.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # What follows is the start of the response again, as far as the server's own bookkeeping goes.
        http.writer.output_size = 0


async def pieces(http: web.BaseRequest, pace: Pace) -> AsyncIterator[bytes]:
    """Iterate over the body as it comes. Raises SlowClient, ConnectionError, UploadInvalid (broken framing)."""
    await invite(http)
    loop = asyncio.get_running_loop()
    window_end, received = loop.time() + _FLOOR_WINDOW_S, 0
    while True:
        try:
            async with asyncio.timeout(pace.idle_s):
                piece = await http.content.readany()
        except TimeoutError as error:
            raise SlowClient(f"no byte for {pace.idle_s} s") from error
        except web.RequestPayloadError as error:
            if http.transport is None:
                raise ConnectionResetError("the connection broke in the body") from error
            raise UploadInvalid("the body is malformed") from error
        if not piece:
            return
        received += len(piece)
        if loop.time() > window_end:
            if received < pace.floor_bytes_per_s * _FLOOR_WINDOW_S:
                raise SlowClient(f"{received} bytes in a minute")
            window_end, received = loop.time() + _FLOOR_WINDOW_S, 0
        yield piece


async def small(http: web.BaseRequest, pace: Pace, limit_bytes: int) -> bytes:
    """Return a body that has to be small, whole. Raises ManifestTooLarge before more than the limit is held."""
    length = http.content_length
    if length is not None and length > limit_bytes:
        raise ManifestTooLarge(f"the body has at most {limit_bytes} bytes", length=length)
    content = bytearray()
    async for piece in pieces(http, pace):
        content += piece
        if len(content) > limit_bytes:
            raise ManifestTooLarge(f"the body has at most {limit_bytes} bytes")
    if length is not None and len(content) != length:
        raise SizeInvalid(f"{len(content)} bytes came where {length} were announced")
    return bytes(content)


def is_empty(http: web.BaseRequest) -> bool:
    """Tell whether the request has no body, by its headers."""
    return not http.body_exists or http.content_length == 0
