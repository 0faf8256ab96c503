"""The driver for layouts on a file system (`LayoutFiles`), below one root or several."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from itertools import islice
from typing import NamedTuple, ParamSpec, TypeVar

from zot.catalog.rows import Unread
from zot.layout.index_files import IndexFiles, IndexStaging, OpenIndex
from zot.layout.interface import (
    ContentFile,
    FileSignature,
    FoundIndex,
    IndexFile,
    IndexScan,
    IndexSignatures,
    IndexVersion,
    LayoutScan,
    Placed,
    Replacement,
    StagedIndex,
)
from zot.layout.layout_directories import LayoutDirectories
from zot.oci.digest import Digest
from zot.oci.names import Repository
from zot.registry.unimported import Unserved
from zot.storage.disk import Disk, File
from zot.storage.interface import StorageError
from zot.storage.os_errors import storage_errors
from zot.storage.synced_directories import SyncedDirectories
from zot.storage.threads import ThreadPools

_log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_PIECE_BYTES = 256 * 1024
# Directories that one job reads: some milliseconds on a cold disk.
_WALK_BATCH = 64
_WARNED_PATHS = 1024


class FilesystemLayouts:
    """Reads and writes layouts in directories (`LayoutFiles`). Each step runs in a thread of a pool."""

    def __init__(
        self,
        roots: Iterable[str],
        root_of: Callable[[Repository], str],
        ready: Callable[[Repository], Awaitable[None]],
        pools: ThreadPools,
        *,
        disk: Disk | None = None,
        synced: SyncedDirectories | None = None,
    ) -> None:
        """Use the layouts below `roots`; `root_of` returns the root of a repository.

        `ready` raises StorageError unless the repository's root is the expected store. `synced` is shared with the
        storage of the same roots.
        """
        self._disk = disk or Disk()
        self._ready = ready
        self._root_of = root_of
        self._pools = pools
        self._directories = {root: LayoutDirectories(self._disk, root) for root in roots}
        self._files = {root: IndexFiles(self._disk, root, synced) for root in self._directories}

    def scans(self) -> Sequence[LayoutScan]:
        """Return all roots as one part."""
        return [LayoutScan(self, lambda repository: self._root_of(repository) in self._directories)]

    async def restore_content(self, repository: Repository | None = None) -> None:
        """Do nothing: two names of the same content are links to one file."""

    async def ready(self, repository: Repository) -> None:
        """Raise StorageError unless the root is the expected store and the repository's directory is its own."""
        await self._ready(repository)
        await self._read(f"use {repository}", self._directories_of(repository).require_own_directory, repository)

    async def repositories(self) -> AsyncIterator[Repository]:
        """Iterate over the names of all layouts, some directories in each job of the reading pool."""
        async for found in self._found():
            if isinstance(found, Unserved):
                _warn_unserved(found)
            else:
                yield found

    async def unserved(self) -> AsyncIterator[Unserved]:
        """Iterate over the layouts that cannot be repositories because of their names or places, with the reasons."""
        async for found in self._found():
            if isinstance(found, Unserved):
                yield found

    async def obstacle(self, repository: Repository) -> str | None:
        """Return what occupies the path of a file of a new layout of that name, or None; None for a layout."""
        directories = self._directories_of(repository)

        def look() -> str | None:
            return None if directories.is_layout(repository) else directories.obstacle(repository)

        return await self._read(f"look at {repository}", look)

    async def _found(self) -> AsyncIterator[Repository | Unserved]:
        for root, directories in self._directories.items():
            walk = directories.walk()
            while batch := await self._read(f"list layouts below {root}", _next_batch, walk):
                for found in batch:
                    if isinstance(found, Unserved) or (found is not None and self._root_of(found) == root):
                        yield found
                    elif found is not None:
                        yield Unserved(f"{root}/{found}", "a sub-path serves its name from another directory")

    async def is_removed(self, repository: Repository) -> bool:
        """Return whether the repository's directory is missing below an existing root."""
        return await self._read(f"look for {repository}", self._directories_of(repository).is_removed, repository)

    async def existing(self, names: Sequence[Repository]) -> list[Repository]:
        """Return the names that are layouts."""

        def look() -> list[Repository]:
            return [name for name in names if self._directories_of(name).is_layout(name)]

        return await self._read("look for layouts", look)

    async def signature(
        self, repository: Repository, version: IndexVersion = IndexVersion.CURRENT
    ) -> FileSignature | None:
        """Return the signature of an `index.json`, or None if it is missing."""
        return await self._read(f"look at {repository}", self._files_of(repository).signature, repository, version)

    async def signatures(self, repository: Repository) -> IndexSignatures:
        """Return the signatures of the current and of the replaced `index.json`."""
        return await self._read(f"look at {repository}", self._files_of(repository).signatures, repository)

    async def all_signatures(self, repositories: Sequence[Repository]) -> Mapping[Repository, IndexSignatures]:
        """Return the signatures of several layouts, of those below a root in one job."""
        found: dict[Repository, IndexSignatures] = {}
        for root, names in self._by_root(repositories):
            # What is wrong is told where one of them is looked at alone.
            with suppress(StorageError):
                await self._ready(names[0])
                found |= await self._read("look at index.json files", self._all_signatures, root, names)
        return found

    def _all_signatures(self, root: str, names: Sequence[Repository]) -> dict[Repository, IndexSignatures]:
        directories, files = self._directories[root], self._files[root]
        found: dict[Repository, IndexSignatures] = {}
        for name in names:
            with suppress(OSError):
                directories.require_own_directory(name)
                found[name] = files.signatures(name)
        return found

    async def load(self, repository: Repository, version: IndexVersion = IndexVersion.CURRENT) -> IndexFile | None:
        """Return a parsed `index.json`, or None if it is missing."""
        return await self._read(
            f"read index.json of {repository}", self._files_of(repository).load, repository, version
        )

    async def read(self, repository: Repository) -> AsyncGenerator[bytes, None]:
        """Iterate over the bytes of `index.json` in pieces."""
        doing = f"read index.json of {repository}"
        files = self._files_of(repository)

        def begin() -> _Begun:
            """Open it and read the first piece, in one job; a small file is closed again."""
            file = files.open(repository)
            if file is None:
                return _Begun(None, b"")
            try:
                piece = self._disk.read(file, _PIECE_BYTES, 0)
            except BaseException:
                file.close()
                raise
            if len(piece) == _PIECE_BYTES:
                return _Begun(file, piece)
            file.close()
            return _Begun(None, piece)

        with storage_errors(doing):
            file, piece = await self._pools.read.acquire(begin, lambda begun: _close(begun[0]))
        try:
            if piece:
                yield piece
            if file is None:
                return
            offset = len(piece)
            while piece := await self._read(doing, self._disk.read, file, _PIECE_BYTES, offset):
                yield piece
                offset += len(piece)
        finally:
            if file is not None:
                await self._pools.read.complete(file.close)

    async def contents(
        self, repository: Repository, digests: Sequence[Digest], limit_bytes: int
    ) -> list[ContentFile | Unread]:
        """Return content files of at most `limit_bytes`, or the reasons why they cannot be read."""
        files = self._files_of(repository)
        return await self._read(f"read content of {repository}", files.contents, repository, digests, limit_bytes)

    async def content_changed(self, repository: Repository) -> tuple[int, ...]:
        """Return a value that changes when a content file is added or removed."""
        return await self._read(f"look at {repository}", self._files_of(repository).content_changed, repository)

    @asynccontextmanager
    async def scan(self, repository: Repository) -> AsyncIterator[IndexScan | None]:
        """Open an `index.json` of any writer to read it once, piece by piece."""
        doing = f"read index.json of {repository}"
        files = self._files_of(repository)
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
    async def lock(self, repository: Repository) -> AsyncIterator[bool]:
        """Lock the layout's directory; yield False if another process holds the lock."""
        directories = self._directories_of(repository)
        with storage_errors(f"lock {repository}"):
            locked = await self._pools.read.acquire(lambda: directories.lock(repository), _close)
        try:
            yield locked is not False
        finally:
            if isinstance(locked, File):
                await self._pools.read.complete(locked.close)

    @asynccontextmanager
    async def lock_small(
        self, repositories: Sequence[Repository], limit_bytes: int
    ) -> AsyncIterator[Mapping[Repository, FoundIndex]]:
        """Lock layouts and read their small `index.json`, those below a root in one job."""
        found: dict[Repository, FoundIndex] = {}
        locks: list[File] = []
        try:
            for root, names in self._by_root(repositories):
                await self._ready(names[0])
                found |= await self._read("read index.json files", self._lock_small, root, names, limit_bytes, locks)
            yield found
        finally:
            await self._pools.read.complete(_close_all, locks)

    def _lock_small(
        self, root: str, names: Sequence[Repository], limit_bytes: int, locks: list[File]
    ) -> dict[Repository, FoundIndex]:
        directories, files = self._directories[root], self._files[root]
        found: dict[Repository, FoundIndex] = {}
        for name in names:
            # What is wrong with one of them is told where it is exported alone.
            with suppress(OSError):
                directories.require_own_directory(name)
                locked = directories.lock(name)
                if isinstance(locked, File):
                    locks.append(locked)
                if locked and (index := files.small(name, limit_bytes)) is not None:
                    found[name] = index
        return found

    async def stage(self, repository: Repository, content: AsyncIterator[bytes]) -> StagedIndex:
        """Write a new `index.json` beside the current one. Durable."""
        doing = f"write index.json of {repository}"
        files, pool = self._files_of(repository), self._pools.durable
        first, second = await anext(content, b""), await anext(content, None)
        if second is None:
            return (await self._write(doing, files.stage_all, {repository: first}))[repository]
        with storage_errors(doing):
            staging = await pool.acquire(lambda: files.stage(repository), IndexStaging.drop)
        try:
            with storage_errors(doing):
                for piece in (first, second):
                    await pool.complete(staging.write, piece)
                async for piece in content:
                    await pool.complete(staging.write, piece)
                return await pool.complete(staging.finish)
        except BaseException:
            await pool.complete(staging.drop)
            raise

    async def stage_all(self, indexes: Mapping[Repository, bytes]) -> Mapping[Repository, StagedIndex]:
        """Write new small files, those below a root in one job. Durable."""
        staged: dict[Repository, StagedIndex] = {}
        for root, names in self._by_root(indexes):
            its = {name: indexes[name] for name in names}
            staged |= await self._write(f"write index.json of {', '.join(names)}", self._files[root].stage_all, its)
        return staged

    async def place_all(self, replacements: Mapping[Repository, Replacement]) -> Mapping[Repository, Placed]:
        """Replace several files, those below a root in one job. Durable."""
        placed: dict[Repository, Placed] = {}
        for root, names in self._by_root(replacements):
            its = {name: replacements[name] for name in names}
            doing = f"replace index.json of {', '.join(names)}"
            placed |= await self._write(doing, self._files[root].place_all, its)
        return placed

    async def place(self, repository: Repository, staged: StagedIndex, seen: FileSignature | None) -> Placed | None:
        """Replace the `index.json` that was `seen` by the staged file. Durable."""
        return (await self.place_all({repository: Replacement(staged, seen)})).get(repository)

    async def forget_replaced(self, repository: Repository) -> None:
        """Remove the replaced `index.json`. Durable and idempotent."""
        await self._write(f"clean up {repository}", self._files_of(repository).forget_replaced, repository)

    async def remove(self, repository: Repository) -> None:
        """Remove the layout's own files, then the directories that are empty."""
        await self._write(f"remove the layout {repository}", self._files_of(repository).remove, repository)

    async def close(self) -> None:
        """Do nothing: the pools are their maker's."""

    def _directories_of(self, repository: Repository) -> LayoutDirectories:
        return self._directories[self._root_of(repository)]

    def _files_of(self, repository: Repository) -> IndexFiles:
        return self._files[self._root_of(repository)]

    def _by_root(self, repositories: Iterable[Repository]) -> Iterator[tuple[str, list[Repository]]]:
        names = list(repositories)
        for root in self._files:
            if its := [name for name in names if self._root_of(name) == root]:
                yield root, its

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


class _Begun(NamedTuple):
    """An `index.json` whose first piece is read; without a file that was all of it."""

    file: File | None
    piece: bytes


class _Scan:
    """An `IndexScan` in the threads of a pool."""

    def __init__(self, pools: ThreadPools, scanning: OpenIndex, doing: str) -> None:
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


def _close_all(files: Sequence[File]) -> None:
    for file in files:
        file.close()


def _close(opened: File | OpenIndex | bool | None) -> None:
    if isinstance(opened, File | OpenIndex):
        opened.close()
