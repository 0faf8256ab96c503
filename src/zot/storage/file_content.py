"""Open content files, and sharing them between the requests of a moment."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Hashable

from zot.foundation.threads import ThreadPool
from zot.oci.digest import Digest
from zot.oci.names import Repository
from zot.storage.disk import Disk, File
from zot.storage.interface import Location
from zot.storage.os_errors import storage_errors

KEPT_S = 1.0
"""How long an opened file is kept for further requests."""
KEPT_FILES = 32


class _OpenFile:
    """A file that several contents read; the last of them closes it."""

    __slots__ = ("file", "users")

    def __init__(self, file: File) -> None:
        self.file = file
        self.users = 1


class FileContent:
    """Open content (a `Content`)."""

    def __init__(self, disk: Disk, pool: ThreadPool, file: File, status: os.stat_result, data: bytes | None) -> None:
        """Own the file, and read it in the threads of a pool; `data` is all of it if that is small."""
        self._disk = disk
        self._pool = pool
        self._opened = _OpenFile(file)
        self._links = status.st_nlink
        # A rename, such as to the quarantine, changes neither the number of names nor the bytes.
        self._changed_ns = status.st_ctime_ns
        self._closed = False
        self.data = data
        self.size = status.st_size
        self.identity: Hashable = identity_of(status)

    def share(self) -> FileContent:
        """Return the same content for another reader: each of them closes its own."""
        other = object.__new__(FileContent)
        other.__dict__.update(self.__dict__)
        self._opened.users += 1
        return other

    def is_current(self) -> bool:
        """Return whether the file was neither renamed, removed nor changed since it was opened.

        It looks at the open file, which takes a microsecond: for the event loop.
        """
        try:
            status = self._disk.status_of(self._opened.file)
        except OSError:
            return False
        if (status.st_nlink, status.st_ctime_ns) != (self._links, self._changed_ns):
            return False
        return identity_of(status) == self.identity

    def fileno(self) -> int | None:
        """Return the file's descriptor, None if the bytes are in memory."""
        return self._opened.file.descriptor if self.data is None and not self._closed else None

    async def location(self) -> Location | None:
        """Return None: only this server has the file."""
        return None

    async def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`, fewer only at the end."""
        if self.data is not None:
            return self.data[offset : offset + length]
        with storage_errors("read content"):
            return await self._pool.run(self._disk.read, self._opened.file, length, offset)

    def will_need(self, offset: int, length: int) -> None:
        """Have a thread ask the system to read these bytes ahead; skipped under load."""
        if self.data is not None:
            return
        # A separate descriptor, because the content may be closed before the thread runs.
        file = File(os.dup(self._opened.file.descriptor), self._opened.file.path)
        if not self._pool.hint(self._read_ahead, file, offset, length):
            file.close()

    def _read_ahead(self, file: File, offset: int, length: int) -> None:
        with file:
            self._disk.will_need(file, offset, length)

    def close(self) -> None:
        """Close the file, unless another reader has it."""
        if self._closed:
            return
        self._closed = True
        self._opened.users -= 1
        if self._opened.users:
            return
        file = self._opened.file
        try:
            removed = self._disk.status_of(file).st_nlink == 0
        except OSError:  # closing is never refused
            removed = False
        # The last close of a removed file frees all its blocks: that is for a thread.
        if not removed or not self._pool.hint(file.close):
            file.close()


class SharedContents:
    """The contents that were opened last, each for a second, and shared meanwhile. For one event loop.

    A client asks for a blob by HEAD and then by GET, and many clients pull one image at once. Opening a file is a job
    of a thread, with two hand-overs: as much as all else that a small response takes. What was renamed, removed or
    changed since it was opened, also by another program, is not found here.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._kept: dict[tuple[Repository, Digest], FileContent] = {}

    def find(self, repository: Repository, digest: Digest) -> FileContent | None:
        """Return a share of content that was opened a moment ago; None if there is none, or it has changed."""
        kept = self._kept.get((repository, digest))
        if kept is None:
            return None
        if not kept.is_current():
            self._drop((repository, digest), kept)
            return None
        return kept.share()

    def keep(self, repository: Repository, digest: Digest, content: FileContent) -> None:
        """Keep a share of content that was just opened, for a second."""
        key = repository, digest
        if key in self._kept:  # opened by two requests at once
            return
        if len(self._kept) >= KEPT_FILES:
            oldest = next(iter(self._kept))
            self._drop(oldest, self._kept[oldest])
        kept = self._kept[key] = content.share()
        asyncio.get_running_loop().call_later(KEPT_S, self._drop, key, kept)

    def _drop(self, key: tuple[Repository, Digest], kept: FileContent) -> None:
        if self._kept.get(key) is kept:
            del self._kept[key]
        kept.close()

    def close(self) -> None:
        """Close all that is kept. Idempotent."""
        for key, kept in list(self._kept.items()):
            self._drop(key, kept)


def identity_of(status: os.stat_result) -> Hashable:
    """Return what two names of the same file have in common, until its bytes change."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
