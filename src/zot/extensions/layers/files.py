"""Answers pages from the lists (`LayerFiles`): each process has one, with threads of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import apsw

from zot.catalog.interface import Catalog, CatalogError
from zot.extensions.layers import tree
from zot.extensions.layers.database import ListsDatabase
from zot.extensions.layers.file_content import FileContents
from zot.extensions.layers.interface import (
    FileChange,
    FileComparison,
    FilePage,
    ImageFile,
    LayerFile,
    LayerList,
    LayersUnavailableError,
    ListStatus,
)
from zot.foundation.bounded_map import BoundedMap
from zot.foundation.threads import ThreadPool, ThreadPoolBusyError
from zot.oci.digest import Digest
from zot.oci.names import Repository
from zot.registry.registry import Registry

_THREADS = 2
_QUEUE_LIMIT = 32
_CHANGES_KEPT = 40_000

HeldLayers = tuple[Digest | None, ...]
"""An image's layers, the lowest first; None is one that its repository does not hold."""

P = ParamSpec("P")
R = TypeVar("R")


class ListedLayerFiles:
    """`LayerFiles` on the file of the lists, which another process writes."""

    def __init__(self, path: Path, registry: Registry) -> None:
        """Read lists of a file, and the content of layers of a registry. Threads end with this object."""
        self._database = ListsDatabase(path)
        self._catalog: Catalog = registry.catalog
        self._threads = ThreadPool("layers", _THREADS, _QUEUE_LIMIT)
        self._contents = FileContents(registry, self._threads)
        self._changes: BoundedMap[tuple[HeldLayers, HeldLayers], tuple[list[FileChange], bool]]
        self._changes = BoundedMap(_CHANGES_KEPT, lambda known: 1 + len(known[0]))

    async def lists(self, repository: Repository, layers: Sequence[Digest]) -> list[LayerList]:
        """See `LayerFiles`."""
        present = [each for each in dict.fromkeys(await self._held(repository, layers)) if each is not None]
        found = await self._run(self._database.lists, repository, present)
        missing = "The registry does not have this layer: its bytes are elsewhere, or were deleted."
        return [found.get(each) or LayerList(each, ListStatus.MISSING, note=missing) for each in layers]

    async def directory(
        self, repository: Repository, layers: Sequence[Digest], path: bytes, offset: int, limit: int
    ) -> FilePage | None:
        """See `LayerFiles`."""
        return await self._ask(repository, layers, tree.directory, path, offset, limit)

    async def file(self, repository: Repository, layers: Sequence[Digest], path: bytes) -> ImageFile | None:
        """See `LayerFiles`."""
        return await self._ask(repository, layers, tree.file, path)

    async def find(
        self, repository: Repository, layers: Sequence[Digest], text: bytes, offset: int, limit: int
    ) -> FilePage:
        """See `LayerFiles`."""
        return await self._ask(repository, layers, tree.find, text, offset, limit)

    async def compare(
        self, repository: Repository, before: Sequence[Digest], after: Sequence[Digest], offset: int, limit: int
    ) -> FileComparison:
        """See `LayerFiles`. The differences of the last comparisons are remembered for their other pages."""
        key = await self._held(repository, before), await self._held(repository, after)
        known = self._changes.use(key)
        if known is None:
            known = await self._run(self._changed, *key)
            self._changes[key] = known
        changes, partial = known
        added = sum(each.before is None for each in changes)
        removed = sum(each.after is None for each in changes)
        rows = tuple(changes[offset : offset + limit])
        return FileComparison(added, removed, len(changes) - added - removed, rows, partial)

    def open(
        self, repository: Repository, layer: Digest, file: LayerFile
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """See `LayerFiles`."""
        return self._contents.open(repository, layer, file)

    async def _has(self, repository: Repository, layer: Digest) -> bool:
        try:
            return await self._catalog.blob(repository, layer) is not None
        except CatalogError as error:
            raise LayersUnavailableError(f"the catalog cannot be read: {error}") from error

    async def _held(self, repository: Repository, layers: Sequence[Digest]) -> HeldLayers:
        """Return which layers a repository holds: the list of another may be made for another repository."""
        held = {each for each in dict.fromkeys(layers) if await self._has(repository, each)}
        return tuple(each if each in held else None for each in layers)

    def _changed(self, before: HeldLayers, after: HeldLayers) -> tuple[list[FileChange], bool]:
        with self._database.connected() as connection:
            return tree.changes(connection, tree.stack_of(connection, before), tree.stack_of(connection, after))

    async def _ask(
        self,
        repository: Repository,
        layers: Sequence[Digest],
        question: Callable[Concatenate[apsw.Connection, tree.Stack, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        held = await self._held(repository, layers)

        def ask() -> R:
            with self._database.connected() as connection:
                return question(connection, tree.stack_of(connection, held), *args, **kwargs)

        return await self._run(ask)

    async def _run(self, job: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await self._threads.run(job, *args, **kwargs)
        except ThreadPoolBusyError as error:
            raise LayersUnavailableError(str(error)) from error
