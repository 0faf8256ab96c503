"""Remove uploads that clients have abandoned."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import NamedTuple

from zot.catalog.interface import PAGE_LIMIT
from zot.catalog.rows import UploadRow
from zot.catalog.upload_commands import CancelUploadRow
from zot.foundation.paging import pages
from zot.maintenance.clock import CollectorClock
from zot.maintenance.observer import Observer
from zot.maintenance.stores import MaintainedStores, StoreRules
from zot.maintenance.sweep_stats import batches
from zot.oci.names import Repository
from zot.registry.registry import Registry
from zot.storage.interface import UploadKey

FINISHED_KEPT_S = 600.0
"""How long a finished session answers a repeated finish."""


class _Seen(NamedTuple):
    """An upload as a sweep saw it: if any field differs later, a client continued it."""

    epoch: int
    offset: int
    updated_ns: int
    changed_s: float | None
    """The time of the last change of its staged file."""


class StaleUploads:
    """Removes uploads that did not change for a whole delay of the collector's clock.

    An upload that a request is working on is never stale, however slowly its bytes arrive: the connection's limits end
    such requests. After a start of the server every upload has the whole delay again; the wall clock has no influence.
    """

    def __init__(self, registry: Registry, stores: MaintainedStores, clock: CollectorClock, observer: Observer) -> None:
        """Start with no memory of uploads."""
        self._catalog = registry.catalog
        self._storage = registry.storage
        self._stores = stores
        self._clock = clock
        self._observer = observer
        self._seen: dict[str, dict[str, tuple[_Seen, float]]] = {}

    async def collect(self, store: StoreRules) -> AsyncGenerator[int, None]:
        """Remove a store's stale uploads in steps; yield the number of each step. Raises CatalogError, StorageError.

        Rows of finished uploads are removed, too, and not counted.
        """
        async for rows in self._pages(store, FINISHED_KEPT_S):
            for some in batches([row for row in rows if row.finished is not None]):
                cancels = (CancelUploadRow(repository=row.repository, session=row.session) for row in some)
                await asyncio.gather(*map(self._catalog.do, cancels))
                yield 0
        before = self._seen.get(store.route, {})
        now: dict[str, tuple[_Seen, float]] = {}
        staged: dict[Repository, dict[str, float]] = {}
        async for rows in self._pages(store, store.delay_s):
            for row in rows:
                if row.finished is not None:
                    continue
                if row.repository not in staged:
                    staged[row.repository] = dict(await self._storage.staged(row.repository))
                changed_s = staged[row.repository].get(row.session)
                looks = _Seen(row.epoch, row.offset, row.updated_ns, changed_s)
                seen, at_s = before.get(row.session, (None, 0.0))
                if seen != looks:
                    now[row.session] = (looks, self._clock.now_s())
                elif self._clock.now_s() - at_s < store.delay_s:
                    now[row.session] = (looks, at_s)
                elif await self._storage.busy(UploadKey(row.repository, row.session)):
                    # Bytes that arrive slowly are neither recorded nor written for a long time.
                    now[row.session] = (looks, self._clock.now_s())
                else:
                    yield await self._cancel(row)
        self._seen[store.route] = now

    async def _pages(self, store: StoreRules, idle_s: float) -> AsyncIterator[list[UploadRow]]:
        async for page in pages(
            lambda last: self._catalog.uploads(idle_s, last, PAGE_LIMIT), lambda row: row.session, ""
        ):
            yield [row for row in page if self._stores.of(row.repository).route == store.route]

    async def _cancel(self, row: UploadRow) -> int:
        """Remove a session, unless a request took its lease concurrently, and then its bytes."""
        cancel = CancelUploadRow(repository=row.repository, session=row.session, if_epoch=row.epoch)
        if not await self._catalog.do(cancel):
            return 0
        await self._storage.discard(UploadKey(row.repository, row.session))
        self._observer.removed("upload")
        return 1
