"""Long lists as JSON, encoded and sent in steps: no long response is whole in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing

import msgspec
from aiohttp import HttpVersion11, web

from zot.api.body import SlowClientError, ThroughputFloor, TransferLimits
from zot.api.http_request import HttpRequest

# A list that fits is sent whole, with its length.
_WHOLE_BYTES = 16 * 1024


async def send_list(
    http: HttpRequest,
    limits: TransferLimits,
    document: Mapping[str, object],
    steps: AsyncGenerator[Sequence[object]],
    headers: Mapping[str, str],
) -> web.StreamResponse:
    """Send a document whose last member is the list of all entries of the steps.

    What a step raises before the first bytes are sent is raised here; after it the connection ends, and the JSON with
    it. Raises ConnectionError if the client is gone, SlowClientError if it reads too slowly.
    """
    opening = msgspec.json.encode(document).removesuffix(b"]}")
    return await send_pieces(http, limits, _encoded(opening, steps), headers)


async def send_pieces(
    http: HttpRequest, limits: TransferLimits, pieces: AsyncGenerator[bytes], headers: Mapping[str, str]
) -> web.StreamResponse:
    """Send a body in pieces, whole if it is short. Raises as `send_list` does."""
    async with aclosing(pieces):
        begun = b""
        async for piece in pieces:
            begun += piece
            if len(begun) > _WHOLE_BYTES:
                return await _streamed(http, limits, begun, pieces, headers)
        return web.Response(body=begun, headers=headers)


async def _streamed(
    http: HttpRequest, limits: TransferLimits, begun: bytes, pieces: AsyncIterator[bytes], headers: Mapping[str, str]
) -> web.StreamResponse:
    response = web.StreamResponse(headers=headers)
    if http.version < HttpVersion11:
        # Without chunks the end of the connection is the end of the body.
        response.force_close()
    await response.prepare(http)
    if http.method == "HEAD":
        await response.write_eof()
        return response
    average = ThroughputFloor(limits)
    await _write(http, response, begun, limits, average)
    async for piece in pieces:
        await _write(http, response, piece, limits, average)
    await response.write_eof()
    return response


async def _write(
    http: HttpRequest, response: web.StreamResponse, piece: bytes, limits: TransferLimits, average: ThroughputFloor
) -> None:
    try:
        async with asyncio.timeout(limits.taking_idle_s):
            await response.write(piece)
    except TimeoutError as error:
        raise SlowClientError(f"the client read nothing for {limits.taking_idle_s} s") from error
    http.sent_bytes += len(piece)
    average.add(len(piece))


async def _encoded(opening: bytes, steps: AsyncGenerator[Sequence[object]]) -> AsyncGenerator[bytes]:
    yield opening
    between = b""
    async with aclosing(steps):
        async for step in steps:
            if step:
                yield between + msgspec.json.encode(step)[1:-1]
                between = b","
    yield b"]}"
