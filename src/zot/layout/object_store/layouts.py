"""The driver for layouts in an object store (`LayoutFiles`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from zlib import crc32

from zot.catalog.rows import Unread
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
from zot.layout.object_store.index_objects import check_size, open_index, signature_of
from zot.layout.object_store.keys import (
    LayoutKeys,
    content_key,
    content_prefix,
    enclosing,
    index_key,
    oci_layout_key,
)
from zot.oci.digest import HEX_LENGTHS, Digest, digest_of, has_digest, hex_of
from zot.oci.names import Repository
from zot.registry.unimported import Unserved
from zot.storage.interface import StorageError
from zot.storage.object_store.interface import ObjectInfo, ObjectMissingError, ObjectStore, together
from zot.storage.object_store.local_locks import LocalLocks
from zot.storage.object_store.markers import Markers
from zot.storage.threads import ThreadPools

_OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_REQUESTS_AT_ONCE = 32
_IMPORTS_AT_ONCE = 16
_SCAN_INTERVAL_S = 3600.0
# Of content that is read: what all are read up to at once, and how much of the larger ones is in memory.
_FIRST_BYTES = 64 * 1024
_CONTENTS_BYTES = 4 * 1024 * 1024


class ObjectStoreLayouts:
    """Reads and writes layouts in one object store (`LayoutFiles`).

    An `index.json` is replaced by a write on condition of the version that was seen, so that no version is ever
    replaced that was not seen, and none is kept as REPLACED. Where a server ignores conditions another program's
    write of the last milliseconds is lost, as on a file system without hard links.
    """

    def __init__(
        self,
        objects: ObjectStore,
        ready: Callable[[Repository], Awaitable[None]],
        pools: ThreadPools,
        locks: LocalLocks,
        *,
        has: Callable[[Repository], bool] = lambda _: True,
        checks_first: bool = True,
    ) -> None:
        """Use the layouts of `objects` that it `has`: other names are served from another store.

        `ready` raises StorageError unless it is the expected store. `locks` are shared by the processes that export and
        import. Without `checks_first` known repositories are checked for the work of other programs an hour after the
        start.
        """
        self._objects = objects
        self._has = has
        self._checks_first = checks_first
        self._markers = Markers(objects)
        self._ready = ready
        self._pools = pools
        self._locks = locks
        self._requests = asyncio.Semaphore(_REQUESTS_AT_ONCE)

    async def ready(self, repository: Repository) -> None:
        """Raise StorageError unless the object store is the expected one."""
        await self._ready(repository)

    # --- which layouts there are ---

    def scans(self) -> Sequence[LayoutScan]:
        """Return the store as one part, whose scans cost requests: there are few, and each does much at once."""
        return [LayoutScan(self, self._has, _SCAN_INTERVAL_S, _IMPORTS_AT_ONCE, self._checks_first)]

    async def restore_content(self, repository: Repository | None = None) -> None:
        """Replace the markers of a repository, or of all, by the content that they stand for."""
        if repository is not None:
            await self._ready(repository)
        await self._markers.restore(repository)

    async def repositories(self) -> AsyncIterator[Repository]:
        """Iterate over the names of all layouts, by one list of all keys."""
        async for found in self._found():
            if not isinstance(found, Unserved):
                yield found

    async def unserved(self) -> AsyncIterator[Unserved]:
        """Iterate over the layouts that cannot be repositories because of their names or places, with the reasons."""
        async for found in self._found():
            if isinstance(found, Unserved):
                yield found

    async def _found(self) -> AsyncIterator[Repository | Unserved]:
        keys = LayoutKeys(self._objects.location)
        async for batch in self._objects.list(""):
            for info in batch:
                for found in keys.feed(info.key):
                    yield self._own(found)
        for found in keys.finish():
            yield self._own(found)

    def _own(self, found: Repository | Unserved) -> Repository | Unserved:
        if isinstance(found, Unserved) or self._has(found):
            return found
        return Unserved(f"{self._objects.location}/{found}", "another store serves its name")

    async def is_removed(self, repository: Repository) -> bool:
        """Return whether the repository has neither content nor an object of a layout."""
        if await self._is_object(index_key(repository)):
            return False
        others = [self._is_object(oci_layout_key(repository)), self._is_prefix(content_prefix(repository))]
        return not any(await together(others))

    async def obstacle(self, repository: Repository) -> str | None:
        """Return what occupies the key of an object of a new layout of that name, or None; None for a layout.

        Some object stores keep files, and cannot have a key below another key.
        """
        if await self._is_layout(repository):
            return None
        own = [index_key(repository), oci_layout_key(repository)]
        inner = [f"{repository}/blobs", *(f"{repository}/blobs/{algorithm}" for algorithm in HEX_LENGTHS)]
        there = await together([self._is_prefix(f"{key}/") for key in own])
        for key, is_there in zip(own, there, strict=True):
            if is_there:
                return f"{self._objects.location}/{key} is the prefix of other keys"
        there = await together([self._has_layout(path) for path in inner])
        found = next((path for path, is_there in zip(inner, there, strict=True) if is_there), None)
        return f"{found} is a repository" if found is not None else None

    async def existing(self, names: Sequence[Repository]) -> list[Repository]:
        """Return the names that are layouts."""
        there = await together([self._is_layout(name) for name in names])
        return [name for name, is_there in zip(names, there, strict=True) if is_there]

    async def _is_layout(self, repository: Repository) -> bool:
        if not await self._has_layout(repository):
            return False
        return not any(await together([self._has_layout(path) for path in enclosing(repository)]))

    async def _has_layout(self, path: str) -> bool:
        return all(await together([self._is_object(oci_layout_key(path)), self._is_object(index_key(path))]))

    async def _is_object(self, key: str) -> bool:
        return await self._look(key) is not None

    async def _is_prefix(self, prefix: str) -> bool:
        async with self._requests:
            return await anext(aiter(self._objects.list(prefix)), None) is not None

    # --- reading ---

    async def signature(
        self, repository: Repository, version: IndexVersion = IndexVersion.CURRENT
    ) -> FileSignature | None:
        """Return the signature of an `index.json`, or None if it is missing."""
        if version is IndexVersion.REPLACED:
            return None
        info = await self._look(index_key(repository))
        return None if info is None else signature_of(info)

    async def signatures(self, repository: Repository) -> IndexSignatures:
        """Return the signature of the current `index.json`."""
        return IndexSignatures(await self.signature(repository), None)

    async def all_signatures(self, repositories: Sequence[Repository]) -> Mapping[Repository, IndexSignatures]:
        """Return the signatures of several layouts, which are looked at side by side."""
        found: dict[Repository, IndexSignatures] = {}

        async def look(repository: Repository) -> None:
            # What is wrong is told where it is looked at alone.
            with suppress(StorageError):
                found[repository] = await self.signatures(repository)

        with suppress(StorageError):
            if repositories:
                await self._ready(repositories[0])
                await together([look(name) for name in repositories])
        return found

    async def load(self, repository: Repository, version: IndexVersion = IndexVersion.CURRENT) -> IndexFile | None:
        """Return a parsed `index.json`, or None if it is missing."""
        if version is IndexVersion.REPLACED:
            return None
        opened = await open_index(self._objects, self._pools, index_key(repository))
        if opened is None:
            return None
        check_size(opened)
        return await opened.load()

    async def read(self, repository: Repository) -> AsyncGenerator[bytes, None]:
        """Iterate over the bytes of `index.json` in pieces. Raises InvalidLayoutError if it is replaced meanwhile."""
        opened = await open_index(self._objects, self._pools, index_key(repository))
        if opened is not None:
            async for piece in opened.pieces():
                yield piece

    @asynccontextmanager
    async def scan(self, repository: Repository) -> AsyncIterator[IndexScan | None]:
        """Open an `index.json` of any writer to read it once, piece by piece."""
        opened = await open_index(self._objects, self._pools, index_key(repository))
        if opened is not None:
            check_size(opened)
        yield opened

    async def contents(
        self, repository: Repository, digests: Sequence[Digest], limit_bytes: int
    ) -> list[ContentFile | Unread]:
        """Return content of at most `limit_bytes`; small ones are read side by side, the others until they are many."""
        opened = await together([self._open(content_key(repository, digest)) for digest in digests])
        found: list[ContentFile | Unread] = []
        size = 0
        for digest, each in zip(digests, opened, strict=True):
            if size >= _CONTENTS_BYTES:
                break
            found.append(await self._content(digest, each, limit_bytes))
            size += each[0].size if each is not None else 0
        return found

    async def _open(self, key: str) -> tuple[ObjectInfo, bytes] | None:
        try:
            return await self._objects.open(key, _FIRST_BYTES)
        except ObjectMissingError:
            return None

    async def _content(
        self, digest: Digest, opened: tuple[ObjectInfo, bytes] | None, limit_bytes: int
    ) -> ContentFile | Unread:
        if opened is None:
            return Unread.MISSING
        info, content = opened
        if info.size > limit_bytes:
            return Unread.TOO_LARGE
        if info.size > len(content):
            try:
                content += await self._objects.read(info.key, len(content), info.size - len(content))
            except ObjectMissingError:
                return Unread.MISSING
        if not await self._pools.read.run(has_digest, content, digest):
            return Unread.DAMAGED
        return ContentFile(content, int(info.modified_s * 1e9))

    async def content_changed(self, repository: Repository) -> tuple[int, ...]:
        """Return the number of the repository's content objects, and a checksum of their names and versions."""
        number = checksum = 0
        async for batch in self._objects.list(content_prefix(repository)):
            number += len(batch)
            checksum += sum(crc32(f"{info.key} {info.version}".encode()) for info in batch)
        return number, checksum

    # --- locks ---

    @asynccontextmanager
    async def lock(self, repository: Repository) -> AsyncIterator[bool]:
        """Lock the layout among the processes of this machine; yield False if another one holds the lock."""
        async with self._locks.attempt(_lock_name(repository)) as is_locked:
            yield is_locked

    @asynccontextmanager
    async def lock_small(
        self, repositories: Sequence[Repository], limit_bytes: int
    ) -> AsyncIterator[Mapping[Repository, FoundIndex]]:
        """Lock layouts and read their small `index.json` side by side."""
        found: dict[Repository, FoundIndex] = {}

        async def read(repository: Repository) -> None:
            # What is wrong with one of them is told where it is exported alone.
            with suppress(StorageError):
                index = await self._small(repository, limit_bytes)
                if index is not None:
                    found[repository] = index

        async with AsyncExitStack() as locks:
            locked = [
                name for name in repositories if await locks.enter_async_context(self._locks.attempt(_lock_name(name)))
            ]
            if locked:
                await self._ready(locked[0])
                await together([read(name) for name in locked])
            yield found

    async def _small(self, repository: Repository, limit_bytes: int) -> FoundIndex | None:
        try:
            info, content = await self._objects.open(index_key(repository), limit_bytes)
        except ObjectMissingError:
            return FoundIndex(IndexSignatures(None, None), b"")
        if info.size > limit_bytes:
            return None
        return FoundIndex(IndexSignatures(signature_of(info), None), content)

    # --- replacing ---

    async def stage_all(self, indexes: Mapping[Repository, bytes]) -> Mapping[Repository, StagedIndex]:
        """Stage new small files in memory."""
        return {repository: _staged(content) for repository, content in indexes.items()}

    async def stage(self, repository: Repository, content: AsyncIterator[bytes]) -> StagedIndex:
        """Stage a new `index.json` in memory."""
        del repository
        pieces = [piece async for piece in content]
        return await self._pools.hash.run(lambda: _staged(b"".join(pieces)))

    async def place_all(self, replacements: Mapping[Repository, Replacement]) -> Mapping[Repository, Placed]:
        """Replace several objects side by side. Durable."""
        placed = await together([self._place(name, each) for name, each in replacements.items()])
        return {name: each for name, each in zip(replacements, placed, strict=True) if each is not None}

    async def place(self, repository: Repository, staged: StagedIndex, seen: FileSignature | None) -> Placed | None:
        """Replace the `index.json` that was `seen` by the staged one. Durable."""
        return await self._place(repository, Replacement(staged, seen))

    async def _place(self, repository: Repository, replacement: Replacement) -> Placed | None:
        """Write `oci-layout` if it is missing, and then `index.json` on condition of its version."""
        key, marker = index_key(repository), oci_layout_key(repository)
        current, layout = await together([self._look(key), self._look(marker)])
        # Also where the server keeps conditions: it may be another one than the one that was examined.
        if (None if current is None else signature_of(current)) != replacement.seen:
            return None
        if layout is None:
            await self._objects.write(marker, [_OCI_LAYOUT])
        version = None if current is None else current.version
        written = await self._objects.write_if(key, replacement.staged.content, version)
        return None if written is None else Placed(signature_of(written))

    async def forget_replaced(self, repository: Repository) -> None:
        """Do nothing: no replaced `index.json` is kept."""

    async def remove(self, repository: Repository) -> None:
        """Remove the layout's own objects. Content, and nested repositories, are objects of their own."""
        await self._objects.remove(index_key(repository))
        await self._objects.remove(oci_layout_key(repository))

    async def close(self) -> None:
        """Release all connections."""
        await self._objects.close()

    # --- requests ---

    async def _look(self, key: str) -> ObjectInfo | None:
        async with self._requests:
            return await self._objects.look(key)


def _lock_name(repository: Repository) -> str:
    return f"layout {repository}"


def _staged(content: bytes) -> StagedIndex:
    return StagedIndex(hex_of(digest_of(content)), content=content)
