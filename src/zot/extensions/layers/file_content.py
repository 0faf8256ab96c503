"""Reads one file out of a layer: the layer is decompressed up to it, in steps of threads, and nothing is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, closing

from zot.extensions.layers.decompression import HEAD_BYTES, LayerDamagedError, LayerDecompressor, detect
from zot.extensions.layers.interface import LayerContentError, LayerFile, LayersUnavailableError
from zot.foundation.threads import ThreadPool, ThreadPoolBusyError
from zot.oci.digest import Digest
from zot.oci.names import Repository
from zot.registry import blobs
from zot.registry.errors import BlobUnknown
from zot.registry.registry import Registry
from zot.registry.request import PullBlob
from zot.storage.interface import Content

_READ_BYTES = 256 << 10
_OPEN_LIMIT = 8


async def open_layer(registry: Registry, repository: Repository, layer: Digest) -> Content | None:
    """Open a layer of a repository; return None if it is not there. Raises CatalogError, StorageError."""
    row = await registry.catalog.blob(repository, layer)
    if row is None:
        return None
    try:
        content, _ = await blobs.open_content(registry, PullBlob(repository=repository, digest=layer), row)
    except BlobUnknown:
        return None
    return content


class FileContents:
    """Opens files of layers, a few at once."""

    def __init__(self, registry: Registry, threads: ThreadPool) -> None:
        """Read layers of a registry; decompress in `threads`."""
        self._registry = registry
        self._threads = threads
        self._open = 0

    @asynccontextmanager
    async def open(self, repository: Repository, layer: Digest, file: LayerFile) -> AsyncIterator[AsyncIterator[bytes]]:
        """See `LayerFiles.open`."""
        if file.offset is None:
            raise LayerContentError("The layer has no bytes of this file in one piece.")
        if self._open == _OPEN_LIMIT:
            raise LayersUnavailableError("too many files of layers are being read")
        self._open += 1
        try:
            content = await open_layer(self._registry, repository, layer)
            if content is None:
                raise LayerContentError("The registry does not have this layer.")
            with closing(content):
                async with aclosing(self._part(content, file.offset, file.size)) as pieces:
                    yield pieces
        finally:
            self._open -= 1

    async def _part(self, content: Content, offset: int, size: int) -> AsyncGenerator[bytes, None]:
        """Yield a part of what a layer decompresses to. Raises LayerContentError."""
        end, position = offset + size, 0
        if not size:
            return
        try:
            async with aclosing(self._decompressed(content)) as pieces:
                async for piece in pieces:
                    part = piece[max(0, offset - position) : max(0, end - position)]
                    position += len(piece)
                    if part:
                        yield part
                    if position >= end:
                        return
        except LayerDamagedError as error:
            raise LayerContentError(f"The layer is damaged: {error}.") from error
        raise LayerContentError("The layer ends before the end of this file.")

    async def _decompressed(self, content: Content) -> AsyncGenerator[bytes, None]:
        head = await content.read(0, HEAD_BYTES)
        compression = detect(head)
        if compression is None:
            raise LayerDamagedError("it is no archive")
        decompressor = LayerDecompressor(compression)
        for start in range(0, content.size, _READ_BYTES):
            pieces = decompressor.pieces(await content.read(start, _READ_BYTES))
            while piece := await self._next(pieces):
                yield piece
                await asyncio.sleep(0)

    async def _next(self, pieces: Iterator[bytes]) -> bytes:
        try:
            return await self._threads.run(next, pieces, b"")
        except ThreadPoolBusyError as error:
            raise LayersUnavailableError("too many files of layers are being read") from error
