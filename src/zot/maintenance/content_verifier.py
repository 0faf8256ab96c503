"""Verify content by reading it, and bytes that repositories share only once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Hashable

from zot.foundation.threads import ThreadPool
from zot.oci.digest import Digest, algorithm_of, finished, hasher
from zot.oci.names import Repository
from zot.registry.damage import BAD_DIGEST, NOT_FOUND, size_mismatch
from zot.storage.interface import ContentMissingError, Storage, StorageError, StorageUnavailableError

_PIECE_BYTES = 1 << 20
# Verified content of this run, so that bytes that repositories share are read once.
_REMEMBERED = 1_000_000


class ContentVerifier:
    """Reads content of one storage and compares it with its digest."""

    def __init__(self, storage: Storage, hash_pool: ThreadPool) -> None:
        """Hash in the threads of a pool."""
        self._storage = storage
        self._pool = hash_pool
        self._shared: dict[Hashable, Digest] = {}

    def forget(self) -> None:
        """Read all files again from here on, also those that are verified."""
        self._shared.clear()

    async def read(self, repository: Repository, digest: Digest, size: int) -> AsyncGenerator[int | str, None]:
        """Read content; yield the number of bytes of each read, and at the end a text if it is damaged."""
        try:
            content = await self._storage.open(repository, digest)
        except ContentMissingError:
            yield NOT_FOUND
            return
        try:
            if content.size != size:
                yield size_mismatch(content.size, size)
                return
            if content.identity is not None and self._shared.get(content.identity) == digest:
                return
            state, offset = hasher(algorithm_of(digest)), 0
            while piece := await content.read(offset, _PIECE_BYTES):
                await self._pool.run(state.update, piece)
                offset += len(piece)
                yield len(piece)
            actual = finished(state, algorithm_of(digest))
            if actual != digest:
                yield f"{BAD_DIGEST}: the content has {actual}"
            elif content.identity is not None and len(self._shared) < _REMEMBERED:
                self._shared[content.identity] = digest
        except StorageUnavailableError:  # tells nothing about the content
            raise
        except StorageError as error:  # a sector that cannot be read
            yield str(error)
        finally:
            content.close()

    async def is_intact(self, repository: Repository, digest: Digest, size: int) -> bool:
        """Return whether content exists, has `size` bytes and its digest, reading all of it."""
        return not [read async for read in self.read(repository, digest, size) if isinstance(read, str)]
