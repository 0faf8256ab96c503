"""Small bodies of pushed blobs, received in memory rather than into a staged file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from zot.catalog.blob_commands import HELD_LIMIT_BYTES
from zot.oci.digest import Digest, algorithm_of, digest_of

LARGEST_BYTES = 1024 * 1024
_TOGETHER_BYTES = 32 * 1024 * 1024


class SmallBodies:
    """Receives small bodies; those of all clients of the process share one memory budget.

    Up to `held_bytes` the catalog takes their bytes; larger ones are written once all of them are here.
    """

    def __init__(
        self,
        largest_bytes: int = LARGEST_BYTES,
        limit_bytes: int = _TOGETHER_BYTES,
        held_bytes: int = HELD_LIMIT_BYTES,
    ) -> None:
        """Receive bodies of at most `largest_bytes`, and `limit_bytes` of them at once."""
        self._largest_bytes = largest_bytes
        self._free_bytes = limit_bytes
        self.held_bytes = held_bytes

    def admits(self, length: int | None, digest: Digest) -> bool:
        """Return whether a body of that length is to be received here; None: the length is not known."""
        if length == 0 and digest != digest_of(b"", algorithm_of(digest)):
            return False  # a request that finishes what another one is about to record
        return length is not None and length <= min(self._largest_bytes, self._free_bytes)

    @asynccontextmanager
    async def received(self, body: AsyncIterator[bytes], length: int) -> AsyncIterator[list[bytes]]:
        """Yield the pieces of a body of an admitted length, which ends with it; they count until the block ends."""
        self._free_bytes -= length
        try:
            yield [piece async for piece in body]
        finally:
            self._free_bytes += length
