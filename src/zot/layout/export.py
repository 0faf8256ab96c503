"""Export: write a repository's layout so that it shows what the catalog has."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from weakref import WeakValueDictionary

from zot.catalog.command import ChangeSource
from zot.catalog.interface import Catalog
from zot.catalog.layout_commands import BeginExport, FinishExport, QueueExport
from zot.catalog.manifest_commands import RemoveRepository
from zot.foundation.bounded_map import BoundedMap
from zot.layout import index_json
from zot.layout.catalog_entries import PreviousEntries, catalog_entries
from zot.layout.export_stamp import ExportStamp, last_change_ns
from zot.layout.external_edits import ExternalEdits, SeenIndex
from zot.layout.index_json import Index, IndexHead, IndexListing, InvalidLayoutError
from zot.layout.interface import LayoutFiles, locked
from zot.layout.manifest_files import remove_manifest_file
from zot.layout.small_exports import SmallExports
from zot.oci.digest import Digest
from zot.oci.names import Repository
from zot.registry.damage import DamageReports, FoundBy
from zot.registry.held_blobs import place_held
from zot.registry.manifest_bytes import read_manifest
from zot.storage.interface import Storage

_log = logging.getLogger(__name__)

# How often an export starts again because another program wrote the file concurrently; then it is left for later.
_ATTEMPTS = 3
# Manifests that are known to have files. A limit on memory: beyond it, files are written again.
_REMEMBERED = 16384
# Files of manifests that are written in one step.
_STEP_FILES = 64
_STEP_BYTES = 4 * 1024 * 1024


class Exporter:
    """Writes the layouts of a store; each repository has one writer at a time. There is one exporter a store.

    At every moment a layout's `index.json` is complete, and all manifests and blobs that it lists have files: those are
    synced before it is placed. A crash leaves the old file or the new one, and the export due. A file that another
    program wrote is merged, not overwritten.
    """

    def __init__(
        self,
        catalog: Catalog,
        storage: Storage,
        files: LayoutFiles,
        edits: ExternalEdits,
        damage: DamageReports | None = None,
    ) -> None:
        """Export one store. `edits` merges the changes of other programs; `damage` takes reports of damaged content."""
        self._damage = damage or DamageReports()
        self._catalog = catalog
        self._storage = storage
        self._files = files
        self._edits = edits
        self._small = SmallExports(catalog, storage, files, self._damage)
        self._locks: WeakValueDictionary[Repository, asyncio.Lock] = WeakValueDictionary()

    async def export(self, repository: Repository) -> bool:
        """Write the repository's layout if it is due. Idempotent.

        Returns False if other programs kept writing it. Changes made during the export may be missing in it. In both
        cases, and on an error, the export stays due. Raises StorageError, CatalogError.
        """
        async with self._locked(repository):
            return await self._export(repository)

    async def export_together(self, repositories: Sequence[Repository]) -> set[Repository]:
        """Write the layouts of small repositories, at most TURN of them, in one turn; return which ones. Idempotent.

        All others are to be exported alone: large ones, those that another task works on, and those with something
        that is out of the ordinary, which an export alone copes with or reports. Raises StorageError, CatalogError:
        any of them may be exported then.
        """
        async with AsyncExitStack() as locked:
            free = [name for name in repositories if not self._lock(name).locked()]
            for name in free:
                await locked.enter_async_context(self._lock(name))
            return await self._small.export(free)

    async def check(self, repository: Repository) -> None:
        """Merge an `index.json` that another program wrote, or restore one that it removed. Raises StorageError."""
        async with self._locked(repository):
            await self._files.ready(repository)
            await self._edits.check(repository)

    async def not_recorded(self, repositories: Sequence[Repository]) -> set[Repository]:
        """Return those of some repositories that need a `check`, at a small part of its cost. Raises as it does."""
        return await self._edits.not_recorded(repositories)

    async def remove(self, repository: Repository) -> bool:
        """Remove an empty repository from the catalog, and then its layout; return False if it is not empty.

        Its layout is exported as empty first: an import of a layout that a crash left behind restores nothing.
        """
        async with self._locked(repository):
            row = await self._catalog.repository(repository)
            if row is None or not row.imported or await self._catalog.carried(repository, "", 1):
                return False
            if not await self._export(repository):
                return False
            # Orphan files are found only while their repository exists.
            if [file async for file in self._storage.walk(repository)] or await self._storage.staged(repository):
                return False
            if not await self._catalog.do(RemoveRepository(repository=repository, source=ChangeSource.COLLECTION)):
                return False
            await self._files.remove(repository)
            return True

    @asynccontextmanager
    async def _locked(self, repository: Repository) -> AsyncIterator[None]:
        """Hold the layout's lock, in this process and among processes."""
        async with self._lock(repository), locked(self._files, repository):
            yield

    def _lock(self, repository: Repository) -> asyncio.Lock:
        lock = self._locks.get(repository)
        if lock is None:
            lock = self._locks[repository] = asyncio.Lock()
        return lock

    async def _export(self, repository: Repository) -> bool:
        # On a disk that is not mounted everything seems to be missing.
        await self._files.ready(repository)
        for _ in range(_ATTEMPTS):
            seen = await self._edits.settle(repository)
            row = await self._catalog.repository(repository)
            if row is None or not row.imported or row.revision == row.exported:
                return True
            with suppress(InvalidLayoutError):  # written concurrently
                if await self._replace(repository, row.revision, seen):
                    return True
        await self._catalog.do(QueueExport(repository=repository))
        _log.warning("%s: index.json keeps being written by another program: exported later", repository)
        return False

    async def _replace(self, repository: Repository, revision: int, seen: SeenIndex) -> bool:
        """Write an `index.json` that shows at least `revision`; return False if it replaced another file than `seen`.

        Raises InvalidLayoutError if another program writes the file concurrently.
        """
        # Changes from here on count as not shown.
        shown_ns = await last_change_ns(self._catalog, repository)
        put = _ManifestFiles(self._catalog, self._storage, self._damage, repository)
        async with self._previous(repository, seen) as (head, previous):
            new = catalog_entries(self._catalog, repository, shown_ns, previous, put)
            staged = await self._files.stage(repository, index_json.encode(head.showing(shown_ns), new))
        # What the staged file lists may name blobs up to here. A crash before the release leaves them held.
        files_of_blobs = place_held(self._catalog, self._storage, self._damage, repository, put.pending)
        releases = [release async for release in files_of_blobs]
        begin = BeginExport(repository=repository, digest=staged.digest, owner=self._catalog.owner)
        begun, *_ = await asyncio.gather(*map(self._catalog.do, (begin, *releases)))
        if not begun:
            return True  # removed concurrently
        placed = await self._files.place(repository, staged, seen.signature)
        if placed is None:
            return False
        mark = ExportStamp(placed.signature, shown_ns, whole=True)
        await self._catalog.do(
            FinishExport(repository=repository, revision=revision, digest=staged.digest, signature=str(mark))
        )
        if previous.whole:  # else another program listed them, and they are not ours to remove
            for digest in await self._unlisted(repository, previous.gone):
                await remove_manifest_file(self._catalog, self._storage, repository, digest)
        # A file that another program wrote at the last moment is merged, and shown by the next export.
        return not placed.over_another

    @asynccontextmanager
    async def _previous(
        self, repository: Repository, seen: SeenIndex
    ) -> AsyncIterator[tuple[IndexHead, PreviousEntries]]:
        """Open the file that is to be replaced; one that is missing or unreadable lists nothing."""
        index = Index()
        # One that appears now is not the one that is replaced. Of a torn one no part is kept.
        if seen.signature is None or not seen.readable:
            yield index.head, PreviousEntries(index_json.iterate(index.entries), whole=seen.whole)
            return
        async with aclosing(self._files.read(repository)) as content:
            listed = await _read(content)
            if listed is not None:
                yield listed.head, PreviousEntries(listed.entries, whole=seen.whole)
                return
        with suppress(InvalidLayoutError):
            file = await self._files.load(repository)
            index = file.parsed if file else index
        yield index.head, PreviousEntries(index_json.iterate(index.entries), whole=seen.whole)

    async def _unlisted(self, repository: Repository, digests: Collection[Digest]) -> set[Digest]:
        """Return the digests that the current `index.json` does not list.

        A listed manifest may have been deleted since. Its file is kept: if it is pushed again, the next export relies
        on the files of listed manifests.
        """
        left = set(digests)
        if left:
            with suppress(InvalidLayoutError):
                async with aclosing(self._files.read(repository)) as content:
                    listed = await index_json.read(content)
                    if listed is not None:
                        async for entry in listed.entries:
                            left.discard(entry.digest)
                        return left
        return set()


class _ManifestFiles:
    """Ensures durably that manifests have files, in steps that share their syncs. The last step is left `pending`."""

    def __init__(self, catalog: Catalog, storage: Storage, damage: DamageReports, repository: Repository) -> None:
        self._catalog = catalog
        self._storage = storage
        self._damage = damage
        self._repository = repository
        self._there: BoundedMap[Digest, bool] = BoundedMap(_REMEMBERED)
        self.pending: dict[Digest, bytes] = {}
        self._pending_bytes = 0

    async def __call__(self, digest: Digest) -> None:
        if digest in self._there:
            return
        # Damaged bytes never replace a file: it may be the only right copy.
        found = await read_manifest(
            self._catalog, self._storage, self._damage, self._repository, digest, FoundBy.EXPORT
        )
        content = found.content
        if content is None:
            return  # deleted concurrently, or damaged
        # Also if its file exists: an export may have been killed before it was synced.
        self.pending[digest] = content
        self._there[digest] = True
        self._pending_bytes += len(content)
        if self._pending_bytes >= _STEP_BYTES or len(self.pending) >= _STEP_FILES:
            await self._storage.put_all({self._repository: self.pending})
            self.pending, self._pending_bytes = {}, 0


async def _read(content: AsyncIterator[bytes]) -> IndexListing | None:
    """Return the listing of an index of our own form, or None."""
    try:
        return await index_json.read(content)
    except InvalidLayoutError:
        return None
