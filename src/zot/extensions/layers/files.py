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
        self._changes: BoundedMap[tuple[tuple[Digest, ...], tuple[Digest, ...]], tuple[list[FileChange], bool]]
        self._changes = BoundedMap(_CHANGES_KEPT, lambda known: 1 + len(known[0]))

    async def lists(self, repository: Repository, layers: Sequence[Digest]) -> list[LayerList]:
        """See `LayerFiles`."""
        present = [each for each in dict.fromkeys(layers) if await self._has(repository, each)]
        found = await self._run(self._database.lists, repository, present)
        missing = "The registry does not have this layer: its bytes are elsewhere, or were deleted."
        return [found.get(each) or LayerList(each, ListStatus.MISSING, note=missing) for each in layers]

    async def directory(self, layers: Sequence[Digest], path: bytes, offset: int, limit: int) -> FilePage | None:
        """See `LayerFiles`."""
        return await self._ask(layers, tree.directory, path, offset, limit)

    async def file(self, layers: Sequence[Digest], path: bytes) -> ImageFile | None:
        """See `LayerFiles`."""
        return await self._ask(layers, tree.file, path)

    async def find(self, layers: Sequence[Digest], text: bytes, offset: int, limit: int) -> FilePage:
        """See `LayerFiles`."""
        return await self._ask(layers, tree.find, text, offset, limit)

    async def compare(
        self, before: Sequence[Digest], after: Sequence[Digest], offset: int, limit: int
    ) -> FileComparison:
        """See `LayerFiles`. The differences of the last comparisons are remembered for their other pages."""
        key = tuple(before), tuple(after)
        known = self._changes.use(key)
        if known is None:
            known = await self._run(self._changed, before, after)
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

    def _changed(self, before: Sequence[Digest], after: Sequence[Digest]) -> tuple[list[FileChange], bool]:
        with self._database.connected() as connection:
            return tree.changes(connection, tree.stack_of(connection, before), tree.stack_of(connection, after))

    async def _ask(
        self,
        layers: Sequence[Digest],
        question: Callable[Concatenate[apsw.Connection, tree.Stack, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        def ask() -> R:
            with self._database.connected() as connection:
                return question(connection, tree.stack_of(connection, layers), *args, **kwargs)

        return await self._run(ask)

    async def _run(self, job: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await self._threads.run(job, *args, **kwargs)
        except ThreadPoolBusyError as error:
            raise LayersUnavailableError(str(error)) from error
