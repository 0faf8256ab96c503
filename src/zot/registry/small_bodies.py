"""Which bodies of pushed blobs are received in memory rather than into a staged file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from zot.catalog.blob_commands import HELD_LIMIT_BYTES
from zot.oci.digest import Digest, algorithm_of, digest_of

LARGEST_BYTES = 1024 * 1024
_TOGETHER_BYTES = 32 * 1024 * 1024


class SmallBodies:
    """Admits small bodies to memory; those of all clients of the process share one budget.

    Up to `held_bytes` the catalog takes their bytes; larger ones are written once all of them are here.
    """

    def __init__(
        self,
        largest_bytes: int = LARGEST_BYTES,
        limit_bytes: int = _TOGETHER_BYTES,
        held_bytes: int = HELD_LIMIT_BYTES,
    ) -> None:
        """Admit bodies of at most `largest_bytes`, and `limit_bytes` of them at once."""
        self._largest_bytes = largest_bytes
        self._free_bytes = limit_bytes
        self.held_bytes = held_bytes

    @contextmanager
    def admit(self, length: int | None, digest: Digest) -> Iterator[bool]:
        """Yield whether a body of that length is to be received in memory: then it counts until the block ends.

        None: the length is not known.
        """
        if length is None or length > min(self._largest_bytes, self._free_bytes):
            yield False
        elif length == 0 and digest != digest_of(b"", algorithm_of(digest)):
            yield False  # a request that finishes what another one is about to record
        else:
            self._free_bytes -= length
            try:
                yield True
            finally:
                self._free_bytes += length
