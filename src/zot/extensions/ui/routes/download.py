"""Sends a file out of a layer while the layer is decompressed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

from aiohttp import web

from zot.api.body import SlowClientError, ThroughputFloor, TransferLimits
from zot.api.http_request import HttpRequest
from zot.extensions.layers.interface import LayerContentError, LayersUnavailableError
from zot.storage.interface import StorageError


async def send_pieces(
    http: HttpRequest, headers: Mapping[str, str], first: bytes, rest: AsyncIterator[bytes], limits: TransferLimits
) -> web.StreamResponse:
    """Send a file as its bytes come; `headers` have its length.

    Raises ConnectionError if the client is too slow, or if the layer turns out to be damaged: the connection then ends
    short of the announced length.
    """
    response = web.StreamResponse(headers=headers)
    await response.prepare(http)
    average = ThroughputFloor(limits)
    piece = first
    while piece:
        try:
            async with asyncio.timeout(limits.taking_idle_s):
                await response.write(piece)
        except TimeoutError as error:
            raise SlowClientError(
                f"the client took less than {len(piece)} bytes in {limits.taking_idle_s} s"
            ) from error
        http.sent_bytes += len(piece)
        average.add(len(piece))
        try:
            piece = await anext(rest, b"")
        except (LayerContentError, LayersUnavailableError, StorageError) as error:
            raise ConnectionError(f"the file cannot be read to its end: {error}") from error
    await response.write_eof()
    return response
