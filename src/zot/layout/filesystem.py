"""The files of layouts on a file system (a `LayoutFiles`), below one root or several."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import ParamSpec, TypeVar

from zot.layout.files import RootFiles, Staging
from zot.layout.interface import ContentFile, IndexFile, Place, Signature, StagedFile
from zot.oci.digest import Digest
from zot.oci.names import Repository
from zot.storage.disk import Disk, File
from zot.storage.faults import storage_errors
from zot.storage.pools import Pools

P = ParamSpec("P")
T = TypeVar("T")

_PIECE_BYTES = 256 * 1024
# Directories looked at in one job: some milliseconds on a disk that is asked for the first time.
_WALK_BATCH = 64


class FilesystemLayouts:
    """`LayoutFiles` on directories; its laws are stated there. Each step runs whole in a thread of a pool."""

    def __init__(
        self,
        roots: Mapping[str, Callable[[], Awaitable[None]]],
        root_of: Callable[[Repository], str],
        pools: Pools,
        *,
        disk: Disk | None = None,
    ) -> None:
        """Look for layouts below directories, each with what raises StorageError unless it is the right store.

        `root_of` says which of them a repository is below.
        """
        self._disk = disk or Disk()
        self._ready = roots
        self._root_of = root_of
        self._pools = pools
        self._files = {root: RootFiles(self._disk, root) for root in roots}

    async def ready(self, repository: Repository) -> None:
        """Raise StorageError unless the repository's root is the store that it should be, and its directory its own."""
        await self._ready[self._root_of(repository)]()
        await self._read(f"use {repository}", self._of(repository).require_own_directory, repository)

    async def repositories(self) -> AsyncIterator[Repository]:
        """Iterate over the names of all layouts, some directories in each job of the read pool."""
        for root, files in self._files.items():
            walk = files.walk()
            while found := await self._read(f"list layouts below {root}", _next_batch, walk):
                for name in found:
                    # What a sub-path serves is not served from a directory of that name elsewhere.
                    if name is not None and self._root_of(name) == root:
                        yield name

    async def is_removed(self, repository: Repository) -> bool:
        """Tell whether the repository's directory is missing below a root that is there."""
        return await self._read(f"look for {repository}", self._of(repository).is_removed, repository)

    async def existing(self, names: Sequence[Repository]) -> list[Repository]:
        """Return those of the names that are layouts."""

        def look() -> list[Repository]:
            return [name for name in names if self._of(name).is_layout(name)]

        return await self._read("look for layouts", look)

    async def signature(self, repository: Repository, place: Place = Place.CURRENT) -> Signature | None:
        """Return the signature of an `index.json`, None if there is none."""
        return await self._read(f"look at {repository}", self._of(repository).signature, repository, place)

    async def load(self, repository: Repository, place: Place = Place.CURRENT) -> IndexFile | None:
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
    ) -> list[ContentFile | None]:
        """Return small content files; None for one that is not there, too large, or has not the digest of its name."""
        files = self._of(repository)

        def read() -> list[ContentFile | None]:
            return [files.content(repository, digest, limit_bytes) for digest in digests]

        return await self._read(f"read content of {repository}", read)

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

    async def stage(self, repository: Repository, content: AsyncIterator[bytes]) -> StagedFile:
        """Write a new `index.json` beside the one in place, durably."""
        doing = f"write index.json of {repository}"
        files, pool = self._of(repository), self._pools.durable
        with storage_errors(doing):
            staging = await pool.acquire(lambda: files.stage(repository), Staging.drop)
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


def _next_batch(walk: Iterator[Repository | None]) -> list[Repository | None]:
    return list(islice(walk, _WALK_BATCH))


def _close(opened: File | bool | None) -> None:
    if isinstance(opened, File):
        opened.close()
