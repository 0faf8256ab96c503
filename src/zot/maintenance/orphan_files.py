"""Remove orphan files: content without a row in the catalog, left by a crash or by another program.

A slow and rare walk of all content. Orphans are examined again a whole delay later, and removed if they are unchanged
and still unknown. A repository with new orphans is skipped: another program is copying into it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import NamedTuple

from zot.catalog.blob_commands import DoomBlob, DoomOutcome
from zot.catalog.command import new_id
from zot.logs.fields import fields
from zot.maintenance.gc import CollectedLayouts
from zot.maintenance.scheduler import ReportProgress
from zot.maintenance.stores import MaintainedStores, StoreRules
from zot.maintenance.sweep_stats import Pauses
from zot.oci.digest import Digest
from zot.oci.names import Repository
from zot.registry.blob_deletion import delete_blob
from zot.registry.registry import Registry
from zot.storage.interface import UploadKey

_log = logging.getLogger("zot.gc")

INTERVAL_S = 24 * 3600.0

# Files looked up in one step: a millisecond of reads.
_STEP = 64
_PAUSE_S = 0.02
# A limit on memory: more orphans are left for the next walk.
_LIMIT = 10_000


class _Orphan(NamedTuple):
    """A file without a row: content by its digest, or staged bytes by their session."""

    digest: Digest | None
    session: str
    size: int
    modified_s: float


class OrphanFiles:
    """Walks the stores of one registry."""

    def __init__(self, registry: Registry, stores: MaintainedStores, layouts: CollectedLayouts) -> None:
        """Walk the files of one registry."""
        self._registry = registry
        self._stores = stores
        self._layouts = layouts

    async def collect(self, store: StoreRules, report: ReportProgress) -> Pauses:
        """Walk a store's files and remove orphans. Raises CatalogError, StorageError."""
        found: dict[Repository, set[_Orphan]] = {}
        looked = 0
        async for repository in self._stores.repositories(self._registry.catalog, store):
            orphans: set[_Orphan] = set()
            async for orphan in self._orphans(repository):
                looked += 1
                if orphan is not None:
                    orphans.add(orphan)
                if looked % _STEP == 0:
                    yield _PAUSE_S
            if orphans:
                # A copy may have brought them: manifests that an index lists, and their blobs.
                await self._registry.layouts.read_children(repository)
                found[repository] = orphans
            report(f"{looked} files, {sum(map(len, found.values()))} of them unknown to the catalog")
            yield 0
            if sum(map(len, found.values())) > _LIMIT:
                break
        if not found:
            return
        yield store.delay_s
        removed = 0
        for repository, orphans in found.items():
            now = {orphan async for orphan in self._orphans(repository) if orphan is not None}
            yield 0
            if now - orphans:
                _log.info("%s: another program is adding files: orphan files in it are left alone", repository)
                continue
            for orphan in now & orphans:
                removed += await self._remove(repository, orphan)
                report(f"{looked} files, {removed} unknown to the catalog removed")
                yield 0

    async def _orphans(self, repository: Repository) -> AsyncIterator[_Orphan | None]:
        """Iterate over the files of an imported repository: yield orphans, and None for each other file.

        Yields nothing for a repository with unread entries: they may need any of its files.
        """
        catalog, storage = self._registry.catalog, self._registry.storage
        row = await catalog.repository(repository)
        if row is None or not row.imported or await catalog.unread(repository):
            return
        await self._layouts.ready(repository)
        async for file in storage.walk(repository):
            known = await catalog.blob(repository, file.digest) or await catalog.resolve(repository, file.digest)
            yield None if known else _Orphan(file.digest, "", file.size, file.modified_s)
        for session, modified_s in await storage.staged(repository):
            known_upload = await catalog.upload(session)
            yield None if known_upload else _Orphan(None, session, 0, modified_s)

    async def _remove(self, repository: Repository, orphan: _Orphan) -> bool:
        catalog, storage = self._registry.catalog, self._registry.storage
        if orphan.digest is None:
            if await catalog.upload(orphan.session) is not None:
                return False
            await storage.discard(UploadKey(repository, orphan.session))
        else:
            doom = DoomBlob(
                repository=repository, digest=orphan.digest, token=new_id(), owner=catalog.owner, orphan=True
            )
            if await delete_blob(catalog, storage, doom) is not DoomOutcome.DOOMED:
                return False
        _log.info(
            "removed an orphan file",
            extra=fields(module="gc", repository=repository, digest=orphan.digest or "", upload=orphan.session),
        )
        return True
