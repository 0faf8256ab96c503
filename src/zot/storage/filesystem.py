"""The storage driver for a file system: an OCI image layout for each repository below one root."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from zot.foundation.threads import ThreadPool
from zot.oci.digest import HEX_LENGTHS, Digest, algorithm_of, finished, hasher
from zot.oci.names import Repository
from zot.storage.append import AppendBuffers, append_body
from zot.storage.content import ContentFiles
from zot.storage.copy import copy_content
from zot.storage.directories import Directories
from zot.storage.disk import Disk, File
from zot.storage.file_content import SharedContents
from zot.storage.free_space import Floor, FreeSpace
from zot.storage.identity import StoreIdentity
from zot.storage.interface import (
    Checkpoint,
    Content,
    ContentMissingError,
    DigestMismatchError,
    FoundFile,
    Progress,
    StorageError,
    UploadKey,
    UploadLockedError,
    UploadMissingError,
    require_digest,
)
from zot.storage.layout_paths import LayoutPaths
from zot.storage.os_errors import storage_errors
from zot.storage.synced_directories import SyncedDirectories
from zot.storage.threads import ThreadPools
from zot.storage.uploads import HashStates, LockedFile, StagedUpload, UploadFiles

P = ParamSpec("P")
T = TypeVar("T")

_MIB = 1024 * 1024
_LOCK_WAIT_S = 2.0
_LOCK_POLL_S = 0.02
# One job of hashing: short enough that a cancelled request need not wait long.
_HASH_STEP_BYTES = 64 * _MIB


class FilesystemStorage:
    """Stores content in files below a directory (`Storage`). Each step runs in a thread of a pool.

    A cancelled call waits for its thread and leaves no file open. Without `durable`, a power loss may take acknowledged
    content; a process may be killed at any moment in either case.
    """

    def __init__(
        self,
        root: str,
        pools: ThreadPools,
        *,
        durable: bool = True,
        expected: str | None = None,
        min_free_percent: float = 1.0,
        min_free_bytes: int | None = None,
        disk: Disk | None = None,
        synced: SyncedDirectories | None = None,
    ) -> None:
        """Use the directory `root`, which is created by the first write.

        With `expected` the root must be the store with that identity. Pushes leave `min_free_percent` and
        `min_free_bytes` free (see `Floor`). The pools may be shared and stay open. `synced` is shared with the other
        processes of a server.
        """
        self.root = str(Path(root).absolute())
        disk = disk or Disk()
        paths = LayoutPaths(self.root)
        self._disk = disk
        self._pools = pools
        self._identity = StoreIdentity(disk, self.root, expected)
        directories = Directories(disk, paths, self._identity, synced, durable=durable)
        self._collected = AppendBuffers()
        self._free_space = FreeSpace(disk, self.root, Floor(min_free_percent, min_free_bytes))
        self._uploads = UploadFiles(disk, paths, directories, self._free_space, durable=durable)
        self._content = ContentFiles(disk, paths, directories, self._uploads, durable=durable)
        self._states = HashStates()
        self._shared = SharedContents()

    @property
    def links_refused(self) -> int:
        """How often content was copied because the file system refused a hard link."""
        return self._content.links_refused

    async def identity(self) -> str:
        """Return the store's identity; create the root and the identity on first use.

        Raises StorageError if another one is expected.
        """
        return await _run(self._pools.durable, f"open the store {self.root}", self._identity.establish)

    # --- content ---

    async def open(self, repository: Repository, digest: Digest) -> Content:
        """Open content for reading. Raises ContentMissingError."""
        shared = self._shared.find(repository, digest)
        if shared is not None:
            return shared
        with storage_errors(f"open {digest} of {repository}"):
            opened = await self._pools.read.acquire(
                lambda: self._content.open_to_send(repository, digest, self._pools.read), lambda opened: opened.close()
            )
        self._shared.keep(repository, digest, opened)
        return opened

    async def stat(self, repository: Repository, digest: Digest) -> int | None:
        """Return the size of content in bytes, or None if it is missing."""
        shared = self._shared.find(repository, digest)
        if shared is not None:
            shared.close()
            return shared.size
        return await _run(
            self._pools.read, f"look for {digest} in {repository}", self._content.size, repository, digest
        )

    async def matches(self, upload: UploadKey, staged: Progress, repository: Repository, digest: Digest) -> bool:
        """Return whether content equals the staged bytes, in steps of the hashing pool."""
        size, doing = staged.offset, f"read an upload to {upload.repository}"
        # An empty upload takes one step, too: it has to be there.
        for offset in range(0, max(size, 1), _HASH_STEP_BYTES):
            step = (offset, min(_HASH_STEP_BYTES, size - offset))
            compare = partial(self._content.same, upload, size, repository, digest, step)
            if not await _once_free(partial(_run, self._pools.hash, doing, compare)):
                return False
        return True

    async def is_whole(self, repository: Repository, digest: Digest) -> bool:
        """Return whether content has its digest, in steps of the hashing pool."""
        opened = await self._open_if_readable(repository, digest)
        if opened is None:
            return False
        file, status = opened
        try:
            return await self._digest(file, status.st_size, algorithm_of(digest)) == digest
        except (OSError, UploadMissingError):
            return False
        finally:
            await self._pools.read.complete(file.close)

    async def place(self, upload: UploadKey, staged: Progress, digest: Digest, twin: Repository | None) -> None:
        """Make verified staged bytes content. Durable."""
        doing, size = f"place {digest} in {upload.repository}", staged.offset
        await _once_free(lambda: _run(self._pools.durable, doing, self._content.place, upload, digest, size, twin))

    async def link(self, source: Repository, target: Repository, digest: Digest, size: int) -> None:
        """Add the source's content to the target, by a hard link or else a copy. Durable."""
        doing = f"link {digest} of {source} in {target}"
        if not await _run(self._pools.durable, doing, self._content.link, source, target, digest, size):
            await copy_content(self, source, self, target, digest, size)

    async def put_verified(
        self, repository: Repository, digest: Digest, pieces: Sequence[bytes], twin: Repository | None
    ) -> None:
        """Verify bytes in memory and make them content, all in one job. Durable."""
        doing = f"store {digest} in {repository}"
        await _run(self._pools.durable, doing, self._content.put_verified, repository, digest, pieces, twin)

    async def verify_pieces(self, repository: Repository, digest: Digest, pieces: Sequence[bytes]) -> None:
        """Check the digest of bytes in memory."""
        await _run(self._pools.hash, f"verify {digest} of {repository}", require_digest, pieces, digest)

    async def put(self, repository: Repository, digest: Digest, content: bytes) -> None:
        """Store small content. Durable."""
        await self.put_all({repository: {digest: content}})

    async def put_all(self, contents: Mapping[Repository, Mapping[Digest, bytes]]) -> None:
        """Store small contents of one repository or several, in one job. Durable."""
        doing = f"store small content in {', '.join(contents)}"
        await _run(self._pools.durable, doing, self._content.put_all, contents)

    def removal_expires_s(self, repository: Repository) -> float:
        """Return 0: a removal ends with its call."""
        del repository
        return 0.0

    async def remove(self, repository: Repository, digest: Digest) -> None:
        """Remove content."""
        doing = f"remove {digest} from {repository}"
        await _run(self._pools.durable, doing, self._content.remove, repository, digest)

    async def quarantine(self, repository: Repository, digest: Digest) -> bool:
        """Move damaged content to `.zot/quarantine` below the root."""
        doing = f"quarantine {digest} of {repository}"
        return await _run(self._pools.durable, doing, self._content.quarantine, repository, digest)

    async def is_quarantined(self, repository: Repository, digest: Digest) -> bool:
        """Return whether content of that name was quarantined."""
        doing = f"look for {digest} of {repository}"
        return await _run(self._pools.read, doing, self._content.is_quarantined, repository, digest)

    async def walk(self, repository: Repository) -> AsyncIterator[FoundFile]:
        """Iterate over content files, some hundred in each job of the reading pool."""
        for algorithm in HEX_LENGTHS:
            walk = self._content.walk(repository, algorithm)
            try:
                while batch := await _run(self._pools.read, f"list content of {repository}", next, walk, None):
                    for found in batch:
                        yield found
            finally:
                await self._pools.read.complete(walk.close)

    # --- uploads ---

    async def resume_point(self, upload: UploadKey, recorded: Progress) -> Progress:
        """Return `recorded`: a file that lost bytes is missing as a whole."""
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
        """Write the body after the first `start.offset` bytes and return the new progress."""
        held = await self._open_to_append(upload, start.offset, waits=waits)
        staged = StagedUpload(self._uploads, self._pools, held.file, start, self._states.take(upload, start))
        try:
            # In an empty file no bytes of a newer request can be cut or overwritten.
            if held.size:
                await checkpoint(start)
                await self._cut(upload, held, start.offset)
            progress = await append_body(staged, body, checkpoint, last or checkpoint, self._collected)
            await staged.settle()
        finally:
            self._states.keep(upload, staged.progress, staged.state)
            await staged.close()
        return progress

    async def open_staged(self, upload: UploadKey) -> Content:
        """Open the staged file for reading. Raises UploadMissingError."""
        with storage_errors(f"open an upload to {upload.repository}"):
            return await self._pools.read.acquire(
                lambda: self._uploads.open_to_read(upload, self._pools.read), lambda opened: opened.close()
            )

    async def verify(self, upload: UploadKey, progress: Progress, digest: Digest) -> None:
        """Check that the first `progress.offset` bytes have this digest."""
        actual = progress.prefix
        if actual is None or algorithm_of(actual) != algorithm_of(digest):
            actual = await self._hash(upload, progress.offset, algorithm_of(digest))
        if actual != digest:
            raise DigestMismatchError(digest, actual)

    async def discard(self, upload: UploadKey) -> None:
        """Remove staged bytes, if there are any."""
        await _run(self._pools.hash, f"discard an upload to {upload.repository}", self._uploads.discard, upload)

    async def staged(self, repository: Repository) -> list[tuple[str, float]]:
        """Return the repository's staged uploads: session and time of the last change."""
        return await _run(self._pools.read, f"list uploads to {repository}", self._uploads.staged, repository)

    async def busy(self, upload: UploadKey) -> bool:
        """Return whether a request is working on the upload."""
        return await _run(self._pools.hash, f"look at an upload to {upload.repository}", self._uploads.busy, upload)

    # --- the store ---

    async def free_bytes(self, repository: Repository) -> int | None:
        """Return the free bytes on the root's disk."""
        del repository
        free_bytes, _ = await _run(
            self._pools.read, f"look for free space on {self.root}", self._disk.free_bytes, self.root
        )
        return free_bytes

    async def ensure_space(self, repository: Repository, needed_bytes: int) -> None:
        """Raise StorageFullError unless a push of `needed_bytes` leaves the configured free space."""
        del repository
        if self._free_space.is_plenty(needed_bytes):
            return

        def check() -> None:
            # The free space of another disk tells nothing.
            self._identity.check()
            self._free_space.check(needed_bytes)

        await _run(self._pools.read, f"look for free space on {self.root}", check)

    async def ready(self, repository: Repository | None = None) -> None:
        """Raise StorageError unless the root is the expected store and writable."""
        del repository
        doing = f"use the store {self.root}"

        def look() -> bool:
            self._identity.reread()
            return self._disk.writable(self.root)

        if not await _run(self._pools.durable, doing, look):
            raise StorageError(f"cannot write to {self.root}: it is read-only, or belongs to another user")

    async def close(self) -> None:
        """Close the contents that are kept for further requests; each call closes what else it opened."""
        self._shared.close()

    # --- content and staged files ---

    async def _open_if_readable(self, repository: Repository, digest: Digest) -> tuple[File, os.stat_result] | None:
        try:
            return await self._pools.read.acquire(
                lambda: self._content.open(repository, digest), lambda opened: opened[0].close()
            )
        except (OSError, ContentMissingError):
            return None

    async def _open_to_append(self, upload: UploadKey, offset: int, *, waits: bool) -> LockedFile:
        def attempt() -> Awaitable[LockedFile]:
            return self._pools.hash.acquire(
                lambda: self._uploads.open_to_append(upload, offset), lambda held: held.file.close()
            )

        with storage_errors(f"begin an upload to {upload.repository}"):
            return await (_once_free(attempt) if waits else attempt())

    async def _open_locked(self, upload: UploadKey, offset: int) -> LockedFile:
        with storage_errors(f"open an upload to {upload.repository}"):
            return await _once_free(
                lambda: self._pools.hash.acquire(
                    lambda: self._uploads.open_locked(upload, offset), lambda held: held.file.close()
                )
            )

    async def _cut(self, upload: UploadKey, held: LockedFile, length: int) -> None:
        if held.size > length:
            with storage_errors(f"cut an upload to {upload.repository}"):
                await self._pools.hash.complete(self._uploads.cut_locked, held, length)

    async def _hash(self, upload: UploadKey, length: int, algorithm: str) -> Digest:
        held = await self._open_locked(upload, length)
        try:
            with storage_errors(f"read an upload to {upload.repository}"):
                return await self._digest(held.file, length, algorithm)
        finally:
            await self._pools.hash.complete(held.file.close)

    async def _digest(self, file: File, length: int, algorithm: str) -> Digest:
        """Return the digest of a file's first bytes, in steps of the hashing pool.

        Raises UploadMissingError, OSError.
        """
        state = hasher(algorithm)
        for offset in range(0, length, _HASH_STEP_BYTES):
            step = min(_HASH_STEP_BYTES, length - offset)
            await self._pools.hash.complete(self._uploads.hash, file, offset, step, state)
        return finished(state, algorithm)


async def _run(pool: ThreadPool, doing: str, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    with storage_errors(doing):
        return await pool.run(job, *args, **kwargs)


async def _once_free(attempt: Callable[[], Awaitable[T]]) -> T:
    """Retry for `_LOCK_WAIT_S` while another request holds the upload. Raises UploadLockedError."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _LOCK_WAIT_S
    while True:
        try:
            return await attempt()
        except UploadLockedError:
            if loop.time() > deadline:
                raise
        await asyncio.sleep(_LOCK_POLL_S)
