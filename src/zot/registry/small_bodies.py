"""Small bodies of pushed blobs, received in memory rather than into a staged file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from zot.catalog.blob_commands import HELD_LIMIT_BYTES
from zot.oci.digest import Digest, algorithm_of, digest_of
from zot.storage.interface import DigestMismatchError

_TOGETHER_BYTES = 16 * 1024 * 1024


class SmallBodies:
    """Receives small bodies; those of all clients of the process share one memory budget."""

    def __init__(self, largest_bytes: int = HELD_LIMIT_BYTES, limit_bytes: int = _TOGETHER_BYTES) -> None:
        """Receive bodies of at most `largest_bytes`, and `limit_bytes` of them at once."""
        self._largest_bytes = largest_bytes
        self._free_bytes = limit_bytes

    def admits(self, length: int | None, digest: Digest) -> bool:
        """Return whether a body of that length is to be received here; None: the length is not known."""
        if length == 0 and digest != digest_of(b"", algorithm_of(digest)):
            return False  # a request that finishes what another one is about to record
        return length is not None and length <= min(self._largest_bytes, self._free_bytes)

    @asynccontextmanager
    async def received(self, body: AsyncIterator[bytes], length: int, digest: Digest) -> AsyncIterator[bytes]:
        """Yield all bytes of a body of an admitted length, which ends with it; they count until the block ends.

        Raises DigestMismatchError if they have another digest.
        """
        self._free_bytes -= length
        try:
            received = bytearray()
            async for piece in body:
                received += piece
            content = bytes(received)
            actual = digest_of(content, algorithm_of(digest))
            if actual != digest:
                raise DigestMismatchError(digest, actual)
            yield content
        finally:
            self._free_bytes += length
