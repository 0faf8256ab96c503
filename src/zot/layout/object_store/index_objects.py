"""Read `index.json` objects of any writer and size: whole, in pieces, or descriptor by descriptor."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from zot.layout import index_json
from zot.layout.index_json import IndexHead, IndexReader, InvalidLayoutError
from zot.layout.interface import INDEX_LIMIT_BYTES, FileSignature, IndexFile
from zot.oci.digest import digest_of, hasher, hex_of
from zot.storage.object_store.interface import ObjectInfo, ObjectMissingError, ObjectStore
from zot.storage.threads import ThreadPools

_PIECE_BYTES = 1024 * 1024
# Pieces of some hundred descriptors, which one job parses.
_SCAN_BYTES = 64 * 1024


def signature_of(info: ObjectInfo) -> FileSignature:
    """Return the signature of an object: its size, and a number made of its version."""
    return FileSignature(info.size, int(hex_of(digest_of(info.version.encode()))[:15], 16), 0)


class OpenIndexObject:
    """An `index.json` that is being read once: an `IndexScan`, or its bytes in pieces."""

    def __init__(self, objects: ObjectStore, pools: ThreadPools, info: ObjectInfo, first: bytes) -> None:
        """Read the object that `info` is about, whose first bytes are known."""
        self._objects = objects
        self._pools = pools
        self._info = info
        self._first = first
        self.signature = signature_of(info)
        self.head = IndexHead()
        self.digest = ""

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Iterate over the bytes. Raises InvalidLayoutError if the object was replaced before all were read."""
        key, size = self._info.key, self._info.size
        piece, offset = self._first, 0
        while piece:
            yield piece
            offset += len(piece)
            piece = await self._next(offset)
        # Ranges of two versions may look like an index that no program ever wrote.
        if size > len(self._first):
            now = await self._objects.look(key)
            if offset != size or now is None or now.version != self._info.version:
                raise _replaced()

    async def _next(self, offset: int) -> bytes:
        if offset >= self._info.size:
            return b""
        try:
            return await self._objects.read(self._info.key, offset, min(_PIECE_BYTES, self._info.size - offset))
        except ObjectMissingError:
            raise _replaced() from None

    async def descriptors(self) -> AsyncIterator[list[bytes]]:
        """Iterate over the descriptors in their order and as they are written, in batches."""
        reader, state = IndexReader(), hasher()

        def parse(part: bytes) -> list[bytes]:
            state.update(part)
            return list(reader.feed(part))

        async with aclosing(self.pieces()) as pieces:
            async for piece in pieces:
                for start in range(0, len(piece), _SCAN_BYTES):
                    yield await self._pools.read.run(parse, piece[start : start + _SCAN_BYTES])
        self.head, self.digest = reader.finish(), state.hexdigest()

    async def load(self) -> IndexFile:
        """Return it parsed. Raises InvalidLayoutError."""
        async with aclosing(self.pieces()) as pieces:
            read = [piece async for piece in pieces]

        def parse() -> IndexFile:
            content = b"".join(read)
            return IndexFile(index_json.decode(content), hex_of(digest_of(content)), self.signature)

        return await self._pools.read.run(parse)


async def open_index(objects: ObjectStore, pools: ThreadPools, key: str) -> OpenIndexObject | None:
    """Open an `index.json`, None if it is missing. Raises StorageError."""
    try:
        info, first = await objects.open(key, _PIECE_BYTES)
    except ObjectMissingError:
        return None
    return OpenIndexObject(objects, pools, info, first)


def check_size(opened: OpenIndexObject) -> None:
    """Raise InvalidLayoutError if it has more than INDEX_LIMIT_BYTES."""
    size = opened.signature.size
    if size > INDEX_LIMIT_BYTES:
        raise InvalidLayoutError(f"index.json has {size} bytes, more than {INDEX_LIMIT_BYTES}")


def _replaced() -> InvalidLayoutError:
    return InvalidLayoutError("index.json was replaced while it was read")
