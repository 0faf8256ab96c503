"""Export: a repository's layout made to show what the catalog has."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection
from contextlib import aclosing, asynccontextmanager, suppress
from weakref import WeakValueDictionary

from zot.catalog.blob_commands import DoomBlob
from zot.catalog.command import ChangeSource, removal_token
from zot.catalog.interface import Catalog
from zot.catalog.layout_commands import BeginExport, FinishExport, QueueExport
from zot.catalog.manifest_commands import RemoveRepository
from zot.foundation.bounded_map import BoundedMap
from zot.layout import index_json
from zot.layout.catalog_entries import Previous, catalog_entries
from zot.layout.export_stamp import ExportStamp, last_change_ns
from zot.layout.external_edits import ForeignEdits, SeenIndex
from zot.layout.index_json import Index, IndexHead, IndexListing, InvalidLayoutError
from zot.layout.interface import IndexVersion, LayoutFiles, alone
from zot.oci.digest import Digest
from zot.oci.names import Repository
from zot.registry.blob_deletion import delete_blob
from zot.registry.damage import DamageReports, FoundBy
from zot.registry.manifest_bytes import read_manifest
from zot.storage.interface import Storage

_log = logging.getLogger(__name__)

# How often an export begins anew because somebody else wrote the file meanwhile; then it is left for later.
_ATTEMPTS = 3
# Manifests whose files are known to be there: a bound on memory, not on what is right.
_REMEMBERED = 16384


class Exporter:
    """Writes layouts, one repository at a time each. There is one exporter a store.

    At every moment a layout's `index.json` is whole, and all manifests and blobs that it lists are there: their files
    are synced before it is renamed into place. A crash leaves the old one or the new one, and the export due. What
    another program wrote meanwhile is merged, not overwritten.
    """

    def __init__(
        self,
        catalog: Catalog,
        storage: Storage,
        files: LayoutFiles,
        edits: ForeignEdits,
        damage: DamageReports | None = None,
        *,
        boot: str,
    ) -> None:
        """Export one store; `edits` has others' changes merged, `boot` is an id of this start of the server.

        What is damaged is reported to `damage`.
        """
        self._damage = damage or DamageReports()
        self._catalog = catalog
        self._storage = storage
        self._files = files
        self._edits = edits
        self._boot = boot
        self._locks: WeakValueDictionary[Repository, asyncio.Lock] = WeakValueDictionary()

    async def export(self, repository: Repository) -> bool:
        """Write the repository's layout if it is due; False if others kept writing it: it stays due.

        Changes made while it runs are in it or not; then it stays due, too. Again does no harm. Raises StorageError,
        CatalogError; it stays due then.
        """
        async with self._alone(repository):
            return await self._export(repository)

    async def check(self, repository: Repository) -> None:
        """Look whether another program wrote, or removed, the layout's `index.json`. Raises StorageError."""
        async with self._alone(repository):
            await self._files.ready(repository)
            await self._edits.check(repository)

    async def remove(self, repository: Repository) -> bool:
        """Remove a repository that has nothing left, from the catalog and then its layout; False if it has something.

        Its layout shows before that it is empty: one that a crash leaves behind brings nothing back when it is adopted.
        """
        async with self._alone(repository):
            row = await self._catalog.repository(repository)
            if row is None or not row.adopted or await self._catalog.carried(repository, "", 1):
                return False
            if not await self._export(repository):
                return False
            # Files that nobody knows are only found for as long as their repository is.
            if [file async for file in self._storage.walk(repository)] or await self._storage.staged(repository):
                return False
            if not await self._catalog.do(RemoveRepository(repository=repository, source=ChangeSource.COLLECTION)):
                return False
            await self._files.remove(repository)
            return True

    @asynccontextmanager
    async def _alone(self, repository: Repository) -> AsyncIterator[None]:
        """Be the only one, of all processes, that merges or exports the layout."""
        async with self._lock(repository), alone(self._files, repository):
            yield

    def _lock(self, repository: Repository) -> asyncio.Lock:
        lock = self._locks.get(repository)
        if lock is None:
            lock = self._locks[repository] = asyncio.Lock()
        return lock

    async def _export(self, repository: Repository) -> bool:
        # On a disk that is not mounted everything would be missing.
        await self._files.ready(repository)
        for _ in range(_ATTEMPTS):
            seen = await self._edits.settle(repository)
            row = await self._catalog.repository(repository)
            if row is None or not row.adopted or row.revision == row.exported:
                return True
            with suppress(InvalidLayoutError):  # written to while it was read
                if await self._replace(repository, row.revision, seen):
                    return True
        await self._catalog.do(QueueExport(repository=repository))
        _log.warning("%s: index.json keeps being written by another program: exported later", repository)
        return False

    async def _replace(self, repository: Repository, revision: int, seen: SeenIndex) -> bool:
        """Write an `index.json` that shows `revision`, or later; False if the one in place was not the one `seen`.

        Raises InvalidLayoutError if it is written to meanwhile.
        """
        # What changes from here on counts as not shown.
        shown_ns = await last_change_ns(self._catalog, repository)
        put = _WrittenFile(self._catalog, self._storage, self._damage, repository)
        async with self._previous(repository, seen) as (head, previous):
            new = catalog_entries(self._catalog, repository, shown_ns, previous, put)
            staged = await self._files.stage(repository, index_json.encode(head.showing(shown_ns), new))
        if not await self._catalog.do(BeginExport(repository=repository, digest=staged.digest)):
            return True  # removed meanwhile
        if await self._files.signature(repository) != seen.signature:
            return False
        await self._files.place(repository)
        # Somebody may have written it at the last moment: then it is merged from what was replaced.
        alone = await self._files.signature(repository, IndexVersion.REPLACED) in (None, seen.signature)
        if alone:
            await self._files.forget_replaced(repository)
        mark = ExportStamp(staged.signature, shown_ns, whole=True)
        await self._catalog.do(
            FinishExport(repository=repository, revision=revision, digest=staged.digest, signature=str(mark))
        )
        if previous.whole:  # what others listed, and nobody here knows, is not ours to remove
            for digest in await self._unlisted(repository, previous.gone):
                await self._remove_file(repository, digest)
        return alone

    @asynccontextmanager
    async def _previous(self, repository: Repository, seen: SeenIndex) -> AsyncIterator[tuple[IndexHead, Previous]]:
        """Open the file that is to be replaced; one that is not there, or that nobody can read, lists nothing."""
        index = Index()
        async with aclosing(self._files.read(repository)) as content:
            listed = await _read(content)
            if listed is not None:
                yield listed.head, Previous(listed.entries, whole=seen.whole)
                return
        with suppress(InvalidLayoutError):
            file = await self._files.load(repository)
            index = file.parsed if file else index
        yield index.head, Previous(index_json.iterate(index.entries), whole=seen.whole)

    async def _unlisted(self, repository: Repository, digests: Collection[Digest]) -> set[Digest]:
        """Return those of the digests that the `index.json` in place does not list.

        One that it lists may have been deleted since it was written. It may also be pushed again before the next one
        is, which relies on the files of what it finds listed.
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

    async def _remove_file(self, repository: Repository, digest: Digest) -> None:
        """Remove a manifest's file unless the catalog has a manifest, or a blob, of that digest."""
        if await self._catalog.resolve(repository, digest) is not None:
            return
        # While it is doomed no push of a blob with these bytes can come between.
        doom = DoomBlob(repository=repository, digest=digest, token=removal_token(self._boot), stray=True)
        await delete_blob(self._catalog, self._storage, doom)


class _WrittenFile:
    """Makes sure that manifests' files are there, durably."""

    def __init__(self, catalog: Catalog, storage: Storage, damage: DamageReports, repository: Repository) -> None:
        self._catalog = catalog
        self._storage = storage
        self._damage = damage
        self._repository = repository
        self._there: BoundedMap[Digest, bool] = BoundedMap(_REMEMBERED)

    async def __call__(self, digest: Digest) -> None:
        if digest in self._there:
            return
        # Damaged bytes never replace a file: it may be the only right copy.
        found = await read_manifest(
            self._catalog, self._storage, self._damage, self._repository, digest, FoundBy.EXPORT
        )
        content = found.content
        if content is None:
            return  # deleted meanwhile, or damaged
        # Also if its file is there: it may be the one of an export that was killed before it was synced.
        await self._storage.put(self._repository, digest, content)
        self._there[digest] = True


async def _read(content: AsyncIterator[bytes]) -> IndexListing | None:
    """Read it piece by piece, if that is possible."""
    try:
        return await index_json.read(content)
    except InvalidLayoutError:
        return None
