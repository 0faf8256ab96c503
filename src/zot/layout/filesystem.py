"""The files of layouts on a file system (a `LayoutFiles`), below one root or several."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from itertools import islice
from typing import ParamSpec, TypeVar

from zot.catalog.rows import Unread
from zot.layout.files import IndexStaging, RootFiles, Scanning
from zot.layout.interface import ContentFile, FileSignature, IndexFile, IndexScan, IndexVersion, StagedIndex
from zot.oci.digest import Digest
from zot.oci.names import Repository
from zot.registry.unimported import Unserved
from zot.storage.disk import Disk, File
from zot.storage.os_errors import storage_errors
from zot.storage.threads import ThreadPools

_log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_PIECE_BYTES = 256 * 1024
# Directories looked at in one job: some milliseconds on a disk that is asked for the first time.
_WALK_BATCH = 64
_WARNED_PATHS = 1024


class FilesystemLayouts:
    """`LayoutFiles` on directories; its laws are stated there. Each step runs whole in a thread of a pool."""

    def __init__(
        self,
        roots: Iterable[str],
        root_of: Callable[[Repository], str],
        ready: Callable[[Repository], Awaitable[None]],
        pools: ThreadPools,
        *,
        disk: Disk | None = None,
    ) -> None:
        """Look for layouts below directories; `root_of` returns the one that a repository is below.

        `ready` raises StorageError unless a repository's directory is in the store that it should be in.
        """
        self._disk = disk or Disk()
        self._ready = ready
        self._root_of = root_of
        self._pools = pools
        self._files = {root: RootFiles(self._disk, root) for root in roots}

    async def ready(self, repository: Repository) -> None:
        """Raise StorageError unless the repository's root is the store that it should be, and its directory its own."""
        await self._ready(repository)
        await self._read(f"use {repository}", self._of(repository).require_own_directory, repository)

    async def repositories(self) -> AsyncIterator[Repository]:
        """Iterate over the names of all layouts, some directories in each job of the read pool."""
        async for found in self._found():
            if isinstance(found, Unserved):
                _warn_unserved(found)
            else:
                yield found

    async def unserved(self) -> AsyncIterator[Unserved]:
        """Iterate over the layouts that no repository is, because of their names or where they lie, and why."""
        async for found in self._found():
            if isinstance(found, Unserved):
                yield found

    async def obstacle(self, repository: Repository) -> str | None:
        """Return what lies where a new layout of that name would have its files, None if nothing does."""
        return await self._read(f"look at {repository}", self._of(repository).obstacle, repository)

    async def _found(self) -> AsyncIterator[Repository | Unserved]:
        for root, files in self._files.items():
            walk = files.walk()
            while batch := await self._read(f"list layouts below {root}", _next_batch, walk):
                for found in batch:
                    if isinstance(found, Unserved) or (found is not None and self._root_of(found) == root):
                        yield found
                    elif found is not None:
                        yield Unserved(f"{root}/{found}", "a sub-path serves its name from another directory")

    async def is_removed(self, repository: Repository) -> bool:
        """Tell whether the repository's directory is missing below a root that is there."""
        return await self._read(f"look for {repository}", self._of(repository).is_removed, repository)

    async def existing(self, names: Sequence[Repository]) -> list[Repository]:
        """Return those of the names that are layouts."""

        def look() -> list[Repository]:
            return [name for name in names if self._of(name).is_layout(name)]

        return await self._read("look for layouts", look)

    async def signature(
        self, repository: Repository, place: IndexVersion = IndexVersion.CURRENT
    ) -> FileSignature | None:
        """Return the signature of an `index.json`, None if there is none."""
        return await self._read(f"look at {repository}", self._of(repository).signature, repository, place)

    async def load(self, repository: Repository, place: IndexVersion = IndexVersion.CURRENT) -> IndexFile | None:
        """Return an `index.json`, None if there is none."""
        return await self._read(f"read index.json of {repository}", self._of(repository).load, repository, place)

    async def read(self, repository: Repository) -> AsyncGenerator[bytes, None]:
        """Iterate over the bytes of `index.json`, in pieces."""
        doing = f"read index.json of {repository}"
        files = self._of(repository)
        with storage_errors(doing):
            file = await self._pools.read.acquire(lambda: files.open(repository), _close)
        if file is None:
            return
        try:
            offset = 0
            while piece := await self._read(doing, self._disk.read, file, _PIECE_BYTES, offset):
                yield piece
                offset += len(piece)
        finally:
            await self._pools.read.complete(file.close)

    async def contents(
        self, repository: Repository, digests: Sequence[Digest], limit_bytes: int
    ) -> list[ContentFile | Unread]:
        """Return content files of at most `limit_bytes`, or why one cannot be read."""
        files = self._of(repository)
        return await self._read(f"read content of {repository}", files.contents, repository, digests, limit_bytes)

    async def content_changed(self, repository: Repository) -> tuple[int, ...]:
        """Return a value that changes when a content file comes or goes."""
        return await self._read(f"look at {repository}", self._of(repository).content_changed, repository)

    @asynccontextmanager
    async def scan(self, repository: Repository) -> AsyncIterator[IndexScan | None]:
        """Open `index.json` of any writer, to read it once, piece by piece."""
        doing = f"read index.json of {repository}"
        files = self._of(repository)
        with storage_errors(doing):
            scanning = await self._pools.read.acquire(lambda: files.scan(repository), _close)
        if scanning is None:
            yield None
            return
        try:
            yield _Scan(self._pools, scanning, doing)
        finally:
            await self._pools.read.complete(scanning.close)

    @asynccontextmanager
    async def adopting(self, repository: Repository) -> AsyncIterator[bool]:
        """Be the only one that adopts, merges or exports the layout, by a lock on its directory."""
        files = self._of(repository)
        with storage_errors(f"lock {repository}"):
            locked = await self._pools.read.acquire(lambda: files.lock(repository), _close)
        try:
            yield locked is not False
        finally:
            if isinstance(locked, File):
                await self._pools.read.complete(locked.close)

    async def stage(self, repository: Repository, content: AsyncIterator[bytes]) -> StagedIndex:
        """Write a new `index.json` beside the one in place, durably."""
        doing = f"write index.json of {repository}"
        files, pool = self._of(repository), self._pools.durable
        with storage_errors(doing):
            staging = await pool.acquire(lambda: files.stage(repository), IndexStaging.drop)
        try:
            with storage_errors(doing):
                async for piece in content:
                    await pool.complete(staging.write, piece)
                return await pool.complete(staging.finish)
        except BaseException:
            await pool.complete(staging.drop)
            raise

    async def place(self, repository: Repository) -> None:
        """Put what was staged in place, durably."""
        await self._write(f"replace index.json of {repository}", self._of(repository).place, repository)

    async def forget_replaced(self, repository: Repository) -> None:
        """Remove what was replaced, if it is there."""
        await self._write(f"clean up {repository}", self._of(repository).forget_replaced, repository)

    async def remove(self, repository: Repository) -> None:
        """Make the directory no layout any more, and remove it as far as it is empty."""
        await self._write(f"remove the layout {repository}", self._of(repository).remove, repository)

    def _of(self, repository: Repository) -> RootFiles:
        return self._files[self._root_of(repository)]

    async def _read(self, doing: str, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        with storage_errors(doing):
            return await self._pools.read.run(job, *args, **kwargs)

    async def _write(self, doing: str, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        with storage_errors(doing):
            return await self._pools.durable.run(job, *args, **kwargs)


@lru_cache(maxsize=_WARNED_PATHS)  # once a path
def _warn_unserved(found: Unserved) -> None:
    _log.warning("%s is a layout that is not served: %s", found.path, found.why)


def _next_batch(walk: Iterator[Repository | Unserved | None]) -> list[Repository | Unserved | None]:
    return list(islice(walk, _WALK_BATCH))


class _Scan:
    """An `IndexScan` in the threads of a pool."""

    def __init__(self, pools: ThreadPools, scanning: Scanning, doing: str) -> None:
        self._pools = pools
        self._scanning = scanning
        self._doing = doing
        self.signature = scanning.signature
        self.head = scanning.head
        self.digest = ""

    async def descriptors(self) -> AsyncIterator[list[bytes]]:
        while (found := await self._next()) is not None:
            yield found
        self.head, self.digest = self._scanning.head, self._scanning.digest

    async def _next(self) -> list[bytes] | None:
        with storage_errors(self._doing):
            return await self._pools.read.run(self._scanning.next)


def _close(opened: File | Scanning | bool | None) -> None:
    if isinstance(opened, File | Scanning):
        opened.close()
