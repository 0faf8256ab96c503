"""Layouts of several drivers behind one interface, chosen by the repository's name."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from zot.catalog.rows import Unread
from zot.layout.interface import (
    ContentFile,
    FileSignature,
    FoundIndex,
    IndexFile,
    IndexScan,
    IndexSignatures,
    IndexVersion,
    LayoutFiles,
    LayoutScan,
    Placed,
    Replacement,
    StagedIndex,
)
from zot.oci.digest import Digest
from zot.oci.names import Repository
from zot.registry.unimported import Unserved


class PerStoreLayouts:
    """Passes each call to the layouts of the repository (`LayoutFiles`), as `PerStoreStorage` does for content."""

    def __init__(self, stores: Sequence[LayoutFiles], of: Callable[[Repository], LayoutFiles]) -> None:
        """Use `stores`; `of` returns that of a repository. Each finds the layouts that are its own."""
        self._stores = stores
        self._of = of

    def scans(self) -> Sequence[LayoutScan]:
        """Return the parts of all stores."""
        return [scan for store in self._stores for scan in store.scans()]

    async def restore_content(self, repository: Repository | None = None) -> None:
        """Give empty objects of a repository, or of all, the content that they stand for."""
        for store in self._stores if repository is None else [self._of(repository)]:
            await store.restore_content(repository)

    async def ready(self, repository: Repository) -> None:
        """Raise StorageError unless the repository's store is the expected one."""
        await self._of(repository).ready(repository)

    async def repositories(self) -> AsyncIterator[Repository]:
        """Iterate over the names of all layouts."""
        for store in self._stores:
            async for name in store.repositories():
                yield name

    async def is_removed(self, repository: Repository) -> bool:
        """Return whether the repository has nothing in its store."""
        return await self._of(repository).is_removed(repository)

    async def unserved(self) -> AsyncIterator[Unserved]:
        """Iterate over the layouts that cannot be repositories, with the reasons."""
        for store in self._stores:
            async for each in store.unserved():
                yield each

    async def obstacle(self, repository: Repository) -> str | None:
        """Return what occupies the path of a file of a new layout of that name, or None."""
        return await self._of(repository).obstacle(repository)

    async def existing(self, names: Sequence[Repository]) -> list[Repository]:
        """Return the names that are layouts."""
        found = {each for store, its in self._by_store(names) for each in await store.existing(its)}
        return [name for name in names if name in found]

    async def signature(
        self, repository: Repository, version: IndexVersion = IndexVersion.CURRENT
    ) -> FileSignature | None:
        """Return the signature of an `index.json`, or None if it is missing."""
        return await self._of(repository).signature(repository, version)

    async def signatures(self, repository: Repository) -> IndexSignatures:
        """Return the signatures of the current and of the replaced `index.json`."""
        return await self._of(repository).signatures(repository)

    async def all_signatures(self, repositories: Sequence[Repository]) -> Mapping[Repository, IndexSignatures]:
        """Return the signatures of several layouts."""
        found: dict[Repository, IndexSignatures] = {}
        for store, names in self._by_store(repositories):
            found.update(await store.all_signatures(names))
        return found

    async def load(self, repository: Repository, version: IndexVersion = IndexVersion.CURRENT) -> IndexFile | None:
        """Return a parsed `index.json`, or None if it is missing."""
        return await self._of(repository).load(repository, version)

    def read(self, repository: Repository) -> AsyncGenerator[bytes, None]:
        """Iterate over the bytes of `index.json` in pieces."""
        return self._of(repository).read(repository)

    async def contents(
        self, repository: Repository, digests: Sequence[Digest], limit_bytes: int
    ) -> list[ContentFile | Unread]:
        """Return content of at most `limit_bytes`, or the reasons why it cannot be read."""
        return await self._of(repository).contents(repository, digests, limit_bytes)

    async def content_changed(self, repository: Repository) -> tuple[int, ...]:
        """Return a value that changes when content is added or removed."""
        return await self._of(repository).content_changed(repository)

    def scan(self, repository: Repository) -> AbstractAsyncContextManager[IndexScan | None]:
        """Open an `index.json` of any writer to read it once, piece by piece."""
        return self._of(repository).scan(repository)

    def lock(self, repository: Repository) -> AbstractAsyncContextManager[bool]:
        """Lock the layout; yield False if another process holds the lock."""
        return self._of(repository).lock(repository)

    @asynccontextmanager
    async def lock_small(
        self, repositories: Sequence[Repository], limit_bytes: int
    ) -> AsyncIterator[Mapping[Repository, FoundIndex]]:
        """Lock layouts of all stores and read their small `index.json`."""
        found: dict[Repository, FoundIndex] = {}
        async with AsyncExitStack() as locks:
            for store, names in self._by_store(repositories):
                found.update(await locks.enter_async_context(store.lock_small(names, limit_bytes)))
            yield found

    async def stage_all(self, indexes: Mapping[Repository, bytes]) -> Mapping[Repository, StagedIndex]:
        """Stage new small files."""
        staged: dict[Repository, StagedIndex] = {}
        for store, names in self._by_store(indexes):
            staged.update(await store.stage_all({name: indexes[name] for name in names}))
        return staged

    async def place_all(self, replacements: Mapping[Repository, Replacement]) -> Mapping[Repository, Placed]:
        """Replace several files."""
        placed: dict[Repository, Placed] = {}
        for store, names in self._by_store(replacements):
            placed.update(await store.place_all({name: replacements[name] for name in names}))
        return placed

    async def stage(self, repository: Repository, content: AsyncIterator[bytes]) -> StagedIndex:
        """Stage a new `index.json`."""
        return await self._of(repository).stage(repository, content)

    async def place(self, repository: Repository, staged: StagedIndex, seen: FileSignature | None) -> Placed | None:
        """Replace the `index.json` that was `seen` by the staged one."""
        return await self._of(repository).place(repository, staged, seen)

    async def forget_replaced(self, repository: Repository) -> None:
        """Remove the replaced `index.json`."""
        await self._of(repository).forget_replaced(repository)

    async def remove(self, repository: Repository) -> None:
        """Remove the layout's own files."""
        await self._of(repository).remove(repository)

    async def close(self) -> None:
        """Close all stores."""
        for store in self._stores:
            await store.close()

    def _by_store(
        self, names: Sequence[Repository] | Mapping[Repository, object]
    ) -> Iterator[tuple[LayoutFiles, list[Repository]]]:
        for store in self._stores:
            if its := [name for name in names if self._of(name) is store]:
                yield store, its
