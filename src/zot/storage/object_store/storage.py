"""The storage driver for object stores: each repository's content is an object below the repository's name."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from zot.oci.digest import Digest, InvalidDigestError, algorithm_of, finished, hasher, parse_digest
from zot.oci.names import Repository
from zot.storage.append import AppendBuffers, append_body
from zot.storage.interface import (
    SMALL_BYTES,
    Checkpoint,
    Content,
    ContentDamagedError,
    ContentMissingError,
    DigestMismatchError,
    FoundFile,
    HeldContent,
    Progress,
    StorageUnavailableError,
    UploadKey,
    UploadLockedError,
    UploadMissingError,
    require_digest,
)
from zot.storage.layout_paths import LayoutPaths, is_session
from zot.storage.object_store.content import ObjectContent
from zot.storage.object_store.identity import ObjectStoreIdentity
from zot.storage.object_store.interface import ObjectInfo, ObjectMissingError, ObjectPart, ObjectStore, together
from zot.storage.object_store.local_locks import LocalLocks
from zot.storage.object_store.markers import Markers, marked_digest
from zot.storage.object_store.staged import (
    ChunkMemory,
    StagedChunks,
    chunks,
    staged_state,
    upload_prefix,
    uploads_prefix,
)
from zot.storage.threads import ThreadPools
from zot.storage.uploads import HashStates

_READ_BYTES = 8 * 1024 * 1024
_REQUESTS_AT_ONCE = 16
_LOCK_WAIT_S = 2.0
_LOCK_POLL_S = 0.02
_EMPTY = b""
_REMOVAL_PREPARED_S = 6.0
_REMOVAL_EXPIRES_S = 75.0
"""10 s from the decision to the call, 6 s to prepare, 35 s for the request: clocks may differ by 24 s."""


class ObjectStorage:
    """Keeps content in an object store (`Storage`).

    A repository's content is its own object, also if another repository has the same digest: a copy is made on the
    server of the object store, and costs no transfer.
    """

    def __init__(
        self,
        objects: ObjectStore,
        pools: ThreadPools,
        locks: LocalLocks,
        *,
        expected: str | None,
        chunk_bytes: int,
        memory: ChunkMemory | None = None,
    ) -> None:
        """Stage uploads in chunks of `chunk_bytes`, which are in `memory`, the budget of several stores or its own.

        With `expected` the object store must be the store with that identity.
        """
        self._identity = ObjectStoreIdentity(objects, expected)
        self._objects = objects
        self._pools = pools
        self._locks = locks
        self._chunk_bytes = chunk_bytes
        self._memory = memory or ChunkMemory()
        self._paths = LayoutPaths("")
        self._collected = AppendBuffers()
        self._states = HashStates()
        self._requests = asyncio.Semaphore(_REQUESTS_AT_ONCE)
        self._markers = Markers(objects)

    # --- content ---

    async def open(self, repository: Repository, digest: Digest) -> Content:
        """Open content for reading; all of a small one is read at once. Raises ContentMissingError."""
        try:
            info, data = await self._objects.open(self._key(repository, digest), SMALL_BYTES)
            if marked_digest(info) is not None:
                if await self._look(repository, digest) is None:
                    raise ContentMissingError(f"{repository} has an empty object in place of {digest}")
                info, data = await self._objects.open(info.key, SMALL_BYTES)
        except ObjectMissingError:
            raise ContentMissingError(f"{repository} has no content {digest}") from None
        if info.size <= SMALL_BYTES:
            return HeldContent(data, (info.key, info.version))
        return ObjectContent(self._objects, info, repository)

    async def stat(self, repository: Repository, digest: Digest) -> int | None:
        """Return the size of content in bytes, or None if it is missing."""
        info = await self._look(repository, digest)
        return None if info is None else info.size

    async def matches(self, upload: UploadKey, staged: Progress, repository: Repository, digest: Digest) -> bool:
        """Return whether content equals the staged bytes, by the digests of both."""
        info = await self._look(repository, digest)
        if info is None or info.size != staged.offset:
            return False
        async with self._held(upload):
            parts = list(chunks(upload, staged_state(staged, self._chunk_bytes)))
            if not parts or await self._objects.look(parts[0].key) is None:
                raise UploadMissingError(f"no bytes of upload {upload.session} are staged")
        return await self.is_whole(repository, digest)

    async def is_whole(self, repository: Repository, digest: Digest) -> bool:
        """Return whether content has its digest, reading all of it."""
        key = self._key(repository, digest)
        try:
            info = await self._look(repository, digest)
            return info is not None and await self._digest([ObjectPart(key, info.size)], algorithm_of(digest)) == digest
        except ObjectMissingError:
            return False

    async def place(self, upload: UploadKey, staged: Progress, digest: Digest, twin: Repository | None) -> None:
        """Make verified staged bytes content: copied, or assembled from the chunks, by the object store itself."""
        del twin  # its object is no nearer to the content's place than the chunks
        key = self._key(upload.repository, digest)
        async with self._held(upload):
            parts = list(chunks(upload, staged_state(staged, self._chunk_bytes)))
            try:
                await (self._objects.assemble(parts, key) if parts else self._objects.write(key, [_EMPTY]))
            except ObjectMissingError:
                if await self.stat(upload.repository, digest) == staged.offset:
                    return
                raise UploadMissingError(f"bytes of upload {upload.session} are gone") from None
        await self.discard(upload)

    async def link(self, source: Repository, target: Repository, digest: Digest, size: int) -> None:
        """Copy the source's content to the target on the server of the object store."""
        info = await self._look(source, digest)
        if info is None:
            raise ContentMissingError(f"{source} has no content {digest}")
        if info.size != size:
            raise ContentDamagedError(f"{digest} of {source} has {info.size} bytes instead of {size}")
        if source == target:
            return
        try:
            await self._objects.assemble([ObjectPart(info.key, size)], self._key(target, digest))
        except ObjectMissingError:
            raise ContentMissingError(f"{source} has no content {digest}") from None

    async def put(self, repository: Repository, digest: Digest, content: bytes) -> None:
        """Store small content in one request."""
        await self._objects.write(self._key(repository, digest), [content])

    async def put_all(self, contents: Mapping[Repository, Mapping[Digest, bytes]]) -> None:
        """Store small contents side by side."""

        async def put(repository: Repository, digest: Digest, content: bytes) -> None:
            async with self._requests:
                await self.put(repository, digest, content)

        puts = [put(repository, *each) for repository, contained in contents.items() for each in contained.items()]
        await together(puts)

    async def put_verified(
        self, repository: Repository, digest: Digest, pieces: Sequence[bytes], twin: Repository | None
    ) -> None:
        """Verify bytes in memory and write them straight to their key."""
        del twin
        await self.verify_pieces(repository, digest, pieces)
        await self._objects.write(self._key(repository, digest), pieces)

    async def verify_pieces(self, repository: Repository, digest: Digest, pieces: Sequence[bytes]) -> None:
        """Check the digest of bytes in memory."""
        del repository
        await self._pools.hash.run(require_digest, pieces, digest)

    def removal_expires_s(self, repository: Repository) -> float:
        """Return how long a request that removes an object may be under way, and clocks differ."""
        del repository
        return _REMOVAL_EXPIRES_S

    async def remove(self, repository: Repository, digest: Digest) -> None:
        """Remove content, by a request that expires.

        Raises StorageUnavailableError while content of the store may be the original of a marker.
        """
        called_s = time.monotonic()
        await self._markers.require_none()
        await self._remove_content(self._key(repository, digest), called_s)

    async def quarantine(self, repository: Repository, digest: Digest) -> bool:
        """Copy damaged content below `.zot/quarantine`, then remove it; an empty object records that it was missing.

        Raises StorageUnavailableError if the copy took long: the next call finds it, and removes at once.
        """
        called_s = time.monotonic()
        key, kept = self._key(repository, digest), self._quarantined(repository, digest)
        info, copied = await self._objects.look(key), await self._objects.look(kept)
        if info is None:
            if copied is None:
                await self._objects.write(kept, [_EMPTY])
            return False
        # A copy that is newer than the content is one of it: nothing else is written there.
        if copied is None or copied.size != info.size or copied.modified_s <= info.modified_s:
            await self._objects.assemble([ObjectPart(key, info.size)], kept)
        await self._remove_content(key, called_s)
        return True

    async def _remove_content(self, key: str, called_s: float) -> None:
        """Remove the object of content. Raises StorageUnavailableError if its call was too long ago, StorageError."""
        if time.monotonic() - called_s > _REMOVAL_PREPARED_S:
            raise StorageUnavailableError(f"{key} is removed later: what comes before took too long")
        await self._objects.remove(key)

    async def is_quarantined(self, repository: Repository, digest: Digest) -> bool:
        """Return whether content of that name was found damaged or missing and was quarantined."""
        return await self._objects.look(self._quarantined(repository, digest)) is not None

    async def walk(self, repository: Repository) -> AsyncIterator[FoundFile]:
        """Iterate over the repository's content."""
        prefix = f"{repository}/blobs/"
        async for batch in self._objects.list(prefix):
            for info in batch:
                algorithm, _, encoded = info.key.removeprefix(prefix).partition("/")
                with suppress(InvalidDigestError):
                    yield FoundFile(parse_digest(f"{algorithm}:{encoded}"), info.size, info.modified_s)

    # --- uploads ---

    async def resume_point(self, upload: UploadKey, recorded: Progress) -> Progress:
        """Return `recorded`: what an object store has acknowledged it keeps."""
        del upload
        return recorded

    async def append(
        self,
        upload: UploadKey,
        start: Progress,
        body: AsyncIterator[bytes],
        checkpoint: Checkpoint,
        last: Checkpoint | None = None,
        *,
        waits: bool = True,
    ) -> Progress:
        """Write the body to chunks after the first `start.offset` bytes and return the new progress."""
        async with self._held(upload, waits=waits):
            state = staged_state(start, self._chunk_bytes)
            hashing = start.algorithm, self._states.take(upload, start)
            target = StagedChunks(self._objects, self._pools.hash, upload, state, hashing, self._memory)
            try:
                if start.offset:
                    await checkpoint(start)
                    await target.resume()
                return await append_body(target, body, checkpoint, last or checkpoint, self._collected)
            finally:
                await target.close()
                self._states.keep(upload, target.progress, target.hash)

    async def open_staged(self, upload: UploadKey) -> Content:
        """Raise UploadMissingError: chunks are read once they are assembled."""
        raise UploadMissingError(f"the bytes of upload {upload.session} cannot be read before they are placed")

    async def verify(self, upload: UploadKey, progress: Progress, digest: Digest) -> None:
        """Check that the first `progress.offset` bytes have this digest."""
        actual = progress.prefix
        if actual is None or algorithm_of(actual) != algorithm_of(digest):
            async with self._held(upload):
                parts = list(chunks(upload, staged_state(progress, self._chunk_bytes)))
                try:
                    actual = await self._digest(parts, algorithm_of(digest))
                except ObjectMissingError:
                    raise UploadMissingError(f"bytes of upload {upload.session} are gone") from None
        if actual != digest:
            raise DigestMismatchError(digest, actual)

    async def discard(self, upload: UploadKey) -> None:
        """Remove all chunks of an upload, also those that no progress names."""
        with suppress(UploadMissingError):
            prefix = upload_prefix(upload)
            async for batch in self._objects.list(prefix):
                await together([self._remove(info.key) for info in batch])

    async def _remove(self, key: str) -> None:
        async with self._requests:
            await self._objects.remove(key)

    async def staged(self, repository: Repository) -> list[tuple[str, float]]:
        """Return the repository's staged uploads: session and time of the last change."""
        changed: dict[str, float] = {}
        prefix = uploads_prefix(repository)
        async for batch in self._objects.list(prefix):
            for info in batch:
                session = info.key.removeprefix(prefix).partition("/")[0]
                if is_session(session):
                    changed[session] = max(changed.get(session, 0.0), info.modified_s)
        return list(changed.items())

    async def busy(self, upload: UploadKey) -> bool:
        """Return whether a request of a process of this machine is working on the upload."""
        if not is_session(upload.session):
            return False
        async with self._locks.attempt(_lock_name(upload)) as is_free:
            return not is_free

    # --- the store ---

    async def free_bytes(self, repository: Repository) -> int | None:
        """Return None: an object store has no known limit."""
        del repository
        return None

    async def ensure_space(self, repository: Repository, needed_bytes: int) -> None:
        """Do nothing: an object store has no known limit."""

    async def ready(self, repository: Repository | None = None) -> None:
        """Raise StorageError unless the object store answers, and is the expected store."""
        del repository
        await self._identity.check()

    async def close(self) -> None:
        """Close all connections."""
        await self._markers.close()
        await self._objects.close()

    # --- keys and bytes ---

    @asynccontextmanager
    async def _held(self, upload: UploadKey, *, waits: bool = True) -> AsyncIterator[None]:
        """Hold the upload's lock during the block. Raises UploadLockedError, UploadMissingError, StorageError."""
        upload_prefix(upload)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (_LOCK_WAIT_S if waits else 0.0)
        while True:
            async with self._locks.attempt(_lock_name(upload)) as is_held:
                if is_held:
                    yield
                    return
            if loop.time() >= deadline:
                raise UploadLockedError(f"another request writes to upload {upload.session}")
            await asyncio.sleep(_LOCK_POLL_S)

    async def _look(self, repository: Repository, digest: Digest) -> ObjectInfo | None:
        """Return the object of content, None if it is missing; a marker is replaced first, if it has an original."""
        info = await self._objects.look(self._key(repository, digest))
        if info is None or marked_digest(info) is None:
            return info
        await self._markers.restore_one(info, digest)
        info = await self._objects.look(info.key)
        return None if info is None or marked_digest(info) is not None else info

    def _key(self, repository: Repository, digest: Digest) -> str:
        return self._paths.content(repository, digest).removeprefix("/")

    def _quarantined(self, repository: Repository, digest: Digest) -> str:
        return self._paths.quarantined(repository, digest).removeprefix("/")

    async def _digest(self, parts: Sequence[ObjectPart], algorithm: str) -> Digest:
        """Return the digest of objects, one after another. Raises ObjectMissingError, StorageError."""
        state = hasher(algorithm)
        for part in parts:
            for offset in range(0, part.size, _READ_BYTES):
                piece = await self._objects.read(part.key, offset, min(_READ_BYTES, part.size - offset))
                await self._pools.hash.complete(state.update, piece)
        return finished(state, algorithm)


def _lock_name(upload: UploadKey) -> str:
    return f"upload {upload.session} to {upload.repository}"
