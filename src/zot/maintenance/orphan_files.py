"""Files that no row of the catalog knows: what a crash left between a file and its commit, or somebody else put there.

A walk of all content, slow, and seldom. What it finds is looked at again a whole delay later, and removed if it is
still unknown and unchanged. A repository in which more came meanwhile is left alone: somebody is copying into it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import NamedTuple

from zot.catalog.blob_commands import DoomBlob, DoomOutcome
from zot.catalog.command import removal_token
from zot.logs.fields import fields
from zot.maintenance.gc import CollectedLayouts
from zot.maintenance.scheduler import Say
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
# More than these are left for the next walk: what is found is kept in memory meanwhile.
_LIMIT = 10_000


class _Orphan(NamedTuple):
    """A file that nobody knows: content by its digest, or staged bytes by their session."""

    digest: Digest | None
    session: str
    size: int
    modified_s: float


class OrphanFiles:
    """Walks the stores of one registry."""

    def __init__(self, registry: Registry, stores: MaintainedStores, layouts: CollectedLayouts) -> None:
        """Look at one registry's files."""
        self._registry = registry
        self._stores = stores
        self._layouts = layouts

    async def collect(self, store: StoreRules, say: Say) -> Pauses:
        """Look at a store's files, and remove strays. Raises CatalogError, StorageError."""
        found: dict[Repository, set[_Orphan]] = {}
        looked = 0
        async for repository in self._stores.repositories(self._registry.catalog, store):
            strays: set[_Orphan] = set()
            async for stray in self._strays(repository):
                looked += 1
                if stray is not None:
                    strays.add(stray)
                if looked % _STEP == 0:
                    yield _PAUSE_S
            if strays:
                # A copy may have brought them: manifests that an index lists, and what those need.
                await self._registry.layouts.read_children(repository)
                found[repository] = strays
            say(f"{looked} files, {sum(map(len, found.values()))} of them unknown to the catalog")
            yield 0
            if sum(map(len, found.values())) > _LIMIT:
                break
        if not found:
            return
        yield store.delay_s
        removed = 0
        for repository, strays in found.items():
            now = {stray async for stray in self._strays(repository) if stray is not None}
            yield 0
            if now - strays:
                _log.info("%s: files are being added by somebody else: it is left alone", repository)
                continue
            for stray in now & strays:
                removed += await self._remove(repository, stray)
                say(f"{looked} files, {removed} unknown to the catalog removed")
                yield 0

    async def _strays(self, repository: Repository) -> AsyncIterator[_Orphan | None]:
        """Iterate over the files of an adopted repository: what no row knows, None for each that is known.

        Over none where something is unread: it may need any of them.
        """
        catalog, storage = self._registry.catalog, self._registry.storage
        row = await catalog.repository(repository)
        if row is None or not row.adopted or await catalog.unread(repository):
            return
        await self._layouts.ready(repository)
        async for file in storage.walk(repository):
            known = await catalog.blob(repository, file.digest) or await catalog.resolve(repository, file.digest)
            yield None if known else _Orphan(file.digest, "", file.size, file.modified_s)
        for session, modified_s in await storage.staged(repository):
            known_upload = await catalog.upload(session)
            yield None if known_upload else _Orphan(None, session, 0, modified_s)

    async def _remove(self, repository: Repository, stray: _Orphan) -> bool:
        catalog, storage = self._registry.catalog, self._registry.storage
        if stray.digest is None:
            if await catalog.upload(stray.session) is not None:
                return False
            await storage.discard(UploadKey(repository, stray.session))
        else:
            token = removal_token(self._registry.boot)
            doom = DoomBlob(repository=repository, digest=stray.digest, token=token, stray=True)
            if await delete_blob(catalog, storage, doom) is not DoomOutcome.DOOMED:
                return False
        _log.info(
            "removed a file that nobody knew",
            extra=fields(module="gc", repository=repository, digest=stray.digest or "", upload=stray.session),
        )
        return True
