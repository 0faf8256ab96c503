"""The staged files of uploads on a disk: locked, cut, appended to, hashed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import NamedTuple

from zot.foundation.bounded_map import BoundedMap
from zot.foundation.threads import ThreadPool, settled
from zot.oci.digest import Hash, finished, hasher
from zot.oci.names import Repository
from zot.storage.directories import Directories
from zot.storage.disk import Disk, File
from zot.storage.file_content import FileContent
from zot.storage.free_space import FreeSpace
from zot.storage.interface import Progress, UploadKey, UploadLockedError, UploadMissingError
from zot.storage.layout_paths import LayoutPaths, is_session
from zot.storage.os_errors import storage_errors
from zot.storage.threads import ThreadPools

_SPACE_CHECK_BYTES = 64 * 1024 * 1024
_SYNC_BYTES = 32 * 1024 * 1024
_READ_BYTES = 1024 * 1024
_STATES = 1024


class LockedFile(NamedTuple):
    """A locked staged file, and its size when it was opened. Closing the file releases the lock."""

    file: File
    size: int


class UploadFiles:
    """Blocking operations on staged files; call each in a pool's thread. They raise OSError, too."""

    def __init__(
        self, disk: Disk, paths: LayoutPaths, directories: Directories, free_space: FreeSpace, *, durable: bool
    ) -> None:
        """Operate on the repositories below one root."""
        self._durable = durable
        self._disk = disk
        self._paths = paths
        self._directories = directories
        self._free_space = free_space

    def open_to_append(self, upload: UploadKey, offset: int) -> LockedFile:
        """Open and lock the staged file as `open_locked` does; at offset 0, create it if there is none.

        Raises StorageFullError before the bytes of a client are asked for.
        """
        if offset == 0:
            return self._create_locked(upload)
        with ExitStack() as failing:
            held = self.open_locked(upload, offset)
            failing.enter_context(held.file)
            self._free_space.check()
            failing.pop_all()
        return held

    def open_to_read(self, upload: UploadKey, pool: ThreadPool) -> FileContent:
        """Open the staged file, which another request may be writing. Raises UploadMissingError."""
        try:
            file = self._disk.open(self._paths.staged(upload))
        except (FileNotFoundError, NotADirectoryError):
            raise UploadMissingError(f"no staged bytes of upload {upload.session}") from None
        with ExitStack() as failing:
            failing.enter_context(file)
            status = self._disk.status_of(file)
            failing.pop_all()
        return FileContent(self._disk, pool, file, status, None)

    def check_space(self, needed_bytes: int) -> None:
        """Raise StorageFullError unless a push may take `needed_bytes` of the root's disk."""
        self._free_space.check(needed_bytes)

    def _create_locked(self, upload: UploadKey) -> LockedFile:
        path = self._paths.staged(upload)
        self._directories.for_uploads(upload.repository)
        self._free_space.check()
        try:
            file = self._disk.create(path, exclusive=True)
        except FileExistsError:
            return self.open_locked(upload, 0)
        return self._lock(upload, file, 0)

    def open_locked(self, upload: UploadKey, offset: int) -> LockedFile:
        """Open and lock the staged file, which must have at least `offset` bytes.

        Raises UploadMissingError; UploadLockedError at once if another request holds the lock.
        """
        try:
            file = self._disk.open_to_write(self._paths.staged(upload))
        except (FileNotFoundError, NotADirectoryError):
            raise UploadMissingError(f"no staged bytes of upload {upload.session}") from None
        return self._lock(upload, file, offset)

    def _lock(self, upload: UploadKey, file: File, offset: int) -> LockedFile:
        with ExitStack() as failing:
            failing.enter_context(file)
            if not self._disk.lock(file):
                raise UploadLockedError(f"another request writes to upload {upload.session}")
            self._require_current(upload, file)
            size = self._disk.status_of(file).st_size
            if size < offset:
                raise UploadMissingError(f"upload {upload.session} has {size} bytes staged, of {offset} recorded")
            failing.pop_all()
        return LockedFile(file, size)

    def _require_current(self, upload: UploadKey, file: File) -> None:
        # The previous holder of the lock may have placed the file: then it is content and must not be changed.
        try:
            current = os.path.samestat(self._disk.status(file.path), self._disk.status_of(file))
        except FileNotFoundError:
            current = False
        if not current:
            raise UploadMissingError(f"upload {upload.session} is finished")

    def busy(self, upload: UploadKey) -> bool:
        """Return whether an open file of any process holds the staged file's lock."""
        try:
            self.open_locked(upload, 0).file.close()
        except UploadLockedError:
            return True
        except UploadMissingError:
            return False
        return False

    def cut_locked(self, held: LockedFile, length: int) -> None:
        """Cut off the bytes after the first `length`."""
        if held.size > length:
            self._disk.truncate(held.file, length)

    def write(self, file: File, chunks: Sequence[bytes], offset: int) -> int:
        """Write the chunks at `offset` and return the offset of their end. Raises StorageFullError."""
        end = offset + sum(map(len, chunks))
        if offset // _SPACE_CHECK_BYTES != end // _SPACE_CHECK_BYTES:
            self._free_space.check()
        self._disk.write(file, chunks, offset)
        return end

    def sync(self, file: File) -> None:
        """Sync the staged bytes, if the store is durable. After an OSError the upload is dropped."""
        if not self._durable:
            return
        try:
            self._disk.sync(file)
        except OSError:
            # Bytes may be lost, and a second sync would not report that.
            with suppress(OSError):
                self._disk.unlink(file.path)
            raise

    def hash(self, file: File, offset: int, length: int, state: Hash) -> None:
        """Feed `length` bytes from `offset` to a hash state."""
        end = offset + length
        while offset < end:
            piece = self._disk.read(file, min(_READ_BYTES, end - offset), offset)
            if not piece:
                raise UploadMissingError(f"the staged bytes end at {offset}, before the {end} recorded")
            state.update(piece)
            offset += len(piece)

    def rename(self, upload: UploadKey, target: str) -> None:
        """Rename the staged file to `target`. Raises UploadMissingError if it was discarded concurrently."""
        path = self._paths.staged(upload)
        try:
            self._disk.rename(path, target)
        except FileNotFoundError:
            if self._is_there(path):
                raise
            raise UploadMissingError(f"upload {upload.session} is discarded") from None

    def _is_there(self, path: str) -> bool:
        try:
            self._disk.status(path)
        except FileNotFoundError:
            return False
        return True

    def discard(self, upload: UploadKey) -> None:
        """Remove the staged file. Idempotent."""
        try:
            self._disk.unlink(self._paths.staged(upload))
        except (FileNotFoundError, NotADirectoryError, UploadMissingError):
            return

    def staged(self, repository: Repository) -> list[tuple[str, float]]:
        """Return the sessions with staged files, and the times of the files' last change."""
        found = []
        try:
            with self._disk.entries(self._paths.uploads(repository)) as entries:
                for entry in entries:
                    if is_session(entry.name) and entry.is_file(follow_symlinks=False):
                        with suppress(FileNotFoundError):  # finished concurrently
                            found.append((entry.name, entry.stat(follow_symlinks=False).st_mtime))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return found


class HashStates:
    """Live hash states of this process's appends, for the next append to continue. Never saved."""

    def __init__(self) -> None:
        """Start with none."""
        self._states: BoundedMap[tuple[UploadKey, Progress], Hash] = BoundedMap(_STATES)

    def take(self, upload: UploadKey, start: Progress) -> Hash | None:
        """Return and forget the state after the first `start.offset` bytes, or None if it is unknown.

        A state is found by the digest of those bytes: if another process wrote other bytes, the digest differs.
        """
        if start.offset == 0:
            return hasher(start.algorithm)
        return self._states.pop((upload, start), None) if start.prefix is not None else None

    def keep(self, upload: UploadKey, progress: Progress, state: Hash | None) -> None:
        """Remember a state; the oldest one is dropped when there are too many."""
        if state is None or progress.offset == 0:
            return
        self._states[upload, progress] = state


class StagedUpload:
    """A locked staged file that is being appended to (`AppendTarget`)."""

    def __init__(
        self, uploads: UploadFiles, pools: ThreadPools, file: File, start: Progress, state: Hash | None
    ) -> None:
        """Append at `start.offset`; `state` is the hash state after the bytes before it, if known."""
        self._uploads = uploads
        self._pools = pools
        self._file = file
        self._offset = start.offset
        self._algorithm = start.algorithm
        self.state = state
        self._syncing: asyncio.Future[None] | None = None
        self._synced = start.offset

    @property
    def progress(self) -> Progress:
        """The bytes that are staged, with their digest if the hash state is known."""
        prefix = finished(self.state, self._algorithm) if self.state is not None else None
        return Progress(self._offset, self._algorithm, prefix)

    async def write(self, chunks: Sequence[bytes]) -> None:
        """Write and hash the chunks in one job.

        They are synced while the next chunks arrive, so that neither the bytes that are still to be synced when the
        upload is placed, nor the memory that waits for the disk, grow with the upload.
        """
        with storage_errors("write staged bytes"):
            await self._pools.hash.complete(self._write, chunks)
        if self._offset - self._synced >= _SYNC_BYTES:
            await self.settle()
            self._synced = self._offset
            self._syncing = asyncio.ensure_future(self._pools.durable.complete(self._uploads.sync, self._file))

    async def flush(self) -> None:
        """Do nothing: all that was written counts."""

    async def settle(self) -> None:
        """Wait for the running sync. Raises StorageError if it failed; the upload is dropped then."""
        syncing, self._syncing = self._syncing, None
        if syncing is not None:
            with storage_errors("sync staged bytes"):
                await settled(syncing)

    async def close(self) -> None:
        """Close the file once no thread uses it."""
        try:
            if self._syncing is not None:
                with suppress(OSError):  # a successful append calls `settle`; this one failed already
                    await settled(self._syncing)
        finally:
            await self._pools.hash.complete(self._file.close)

    def _write(self, chunks: Sequence[bytes]) -> None:
        # Offset and state advance here, in the thread: the waiting task may be cancelled.
        end = self._uploads.write(self._file, chunks, self._offset)
        if self.state is not None:
            for chunk in chunks:
                self.state.update(chunk)
        self._offset = end
