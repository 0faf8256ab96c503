"""Locks among the processes of one machine: files in a local directory, locked by their open descriptors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from zot.foundation.threads import ThreadPool
from zot.oci.digest import digest_of, hex_of
from zot.storage.disk import Disk, File
from zot.storage.identity import make_directories
from zot.storage.os_errors import storage_errors


class LocalLocks:
    """Locks by name, each held by one task of one process at a time. A lock ends with its process.

    Servers on other machines do not see them: what they may do at once is for the catalog to order.
    """

    def __init__(self, directory: str, pool: ThreadPool) -> None:
        """Keep the files in a local directory, which is made when the first one is."""
        self._directory = directory
        self._pool = pool
        self._disk = Disk()

    @asynccontextmanager
    async def attempt(self, name: str) -> AsyncIterator[bool]:
        """Hold the lock during the block; yield False if another one holds it. Raises StorageError."""
        path = f"{self._directory}/{hex_of(digest_of(name.encode()))}"
        with storage_errors(f"lock {name}"):
            file = await self._pool.acquire(lambda: self._lock(path), _close)
        try:
            yield file is not None
        finally:
            if file is not None:
                await self._pool.complete(self._release, file)

    def _lock(self, path: str) -> File | None:
        """Return the locked file, or None if another one holds it."""
        while True:
            try:
                file = self._disk.create(path)
            except FileNotFoundError:
                make_directories(self._disk, self._directory)
                continue
            if not self._disk.lock(file):
                file.close()
                return None
            with suppress(FileNotFoundError):
                if self._disk.status(path).st_ino == self._disk.status_of(file).st_ino:
                    return file
            file.close()  # its last holder removed it before it was locked here

    def _release(self, file: File) -> None:
        with file:
            self._disk.unlink(file.path)


def _close(file: File | None) -> None:
    if file is not None:
        file.close()
