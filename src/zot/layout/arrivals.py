"""Import manifests whose files arrived after the import of their repository.

Their entries were carried along: a program was still copying the layout, or a damaged file was replaced since.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence

from zot.catalog import paging
from zot.catalog.command import ChangeSource
from zot.catalog.interface import PAGE_LIMIT, Catalog
from zot.catalog.layout_commands import LayoutManifest, LayoutTag
from zot.catalog.rows import CarriedEntry
from zot.foundation.bounded_map import BoundedMap
from zot.foundation.paging import pages
from zot.layout.export_stamp import BY
from zot.layout.import_batches import Item, import_batches
from zot.layout.index_entry import parse_ref_name
from zot.layout.interface import LayoutFiles
from zot.layout.manifest_files import NotRead, read_manifests
from zot.layout.single_flight import SingleFlight
from zot.oci.digest import Digest
from zot.oci.media_types import may_be_manifest
from zot.oci.names import Repository
from zot.registry.existing_files import register_named
from zot.storage.interface import Storage

_WAIT_S = 5.0

_log = logging.getLogger(__name__)

# Repositories whose last change of content is remembered.
_REMEMBERED = 10_000


class Arrivals:
    """Imports manifests that arrived, of imported repositories."""

    def __init__(self, catalog: Catalog, storage: Storage, files: LayoutFiles, manifest_limit_bytes: int) -> None:
        """Import manifests of at most `manifest_limit_bytes`."""
        self._catalog = catalog
        self._storage = storage
        self._files = files
        self._limit_bytes = manifest_limit_bytes
        self._looked_at: BoundedMap[Repository, tuple[int, ...]] = BoundedMap(_REMEMBERED)
        self._tasks = SingleFlight[tuple[Repository, str]]("the manifest is being imported", _WAIT_S)

    async def look(self, repository: Repository) -> None:
        """Try to read unread entries, if files were added since the last call. Raises StorageError, CatalogError."""
        if not await self._catalog.unread(repository):
            self._looked_at.pop(repository, None)
            return
        # Read before the files, so that the next call notices a file that is added concurrently.
        changed = await self._files.content_changed(repository)
        if self._looked_at.get(repository) == changed:
            return
        await self._files.restore_content(repository)
        async for page in paging.carried_pages(self._catalog, repository):
            await self._read(repository, page)
        self._looked_at[repository] = changed

    async def read_children(self, repository: Repository) -> None:
        """Import manifests that an index lists and whose files were added since. Raises StorageError, CatalogError."""
        absent = pages(lambda last: self._catalog.absent_children(repository, last, PAGE_LIMIT), lambda row: row[0], "")
        async for page in absent:
            listed = {digest: media_type for digest, media_type in page if may_be_manifest(media_type)}
            async for part in import_batches(repository, self._manifests(repository, listed), ChangeSource.MERGE, BY):
                await self._catalog.do(part)

    async def ensure(self, repository: Repository, entry: CarriedEntry) -> None:
        """Try to read the manifest of a carried entry, for a request.

        Raises Unavailable if it takes longer than a request should wait, and continues in the background; StorageError,
        CatalogError.
        """
        await self._tasks.wait((repository, entry.key), repository, lambda: self._read(repository, [entry]))

    async def close(self) -> None:
        """Cancel the running imports: they start again with the next call."""
        await self._tasks.close()

    async def _read(self, repository: Repository, entries: Sequence[CarriedEntry]) -> None:
        """Try to read the manifests of carried entries. Idempotent."""
        wanted = [entry for entry in entries if entry.unread is not None and entry.digest is not None]
        if not wanted:
            return
        async for part in import_batches(repository, self._items(repository, wanted), ChangeSource.MERGE, BY):
            await self._catalog.do(part)

    async def _manifests(
        self, repository: Repository, listed: Mapping[Digest, str]
    ) -> AsyncIterator[LayoutManifest | CarriedEntry]:
        """Iterate over readable manifests, after their blobs were registered, and over the entries that they list."""
        async for found in read_manifests(self._files, repository, listed, self._limit_bytes):
            if isinstance(found, LayoutManifest):
                await register_named(self._catalog, self._storage, repository, found.edges)
            if not isinstance(found, NotRead):
                yield found

    async def _items(self, repository: Repository, entries: Sequence[CarriedEntry]) -> AsyncIterator[Item]:
        listed = {entry.digest: entry.media_type for entry in entries if entry.digest is not None}
        arrived: set[Digest] = set()
        async for found in self._manifests(repository, listed):
            if isinstance(found, LayoutManifest):
                arrived.add(found.digest)
            yield found
        for entry in entries:
            if entry.digest not in arrived:
                continue
            _log.info("%s: manifest %s of index.json can be read now", repository, entry.digest)
            tag = parse_ref_name(entry.name) if entry.name is not None else None
            if tag is not None:
                # A tag that was created since stays where it is, and the entry keeps its name.
                yield LayoutTag(tag, entry.digest, None, None if tag == entry.name else entry.name)
