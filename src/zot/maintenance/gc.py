"""Garbage collection: delete blobs and manifests that stayed unreferenced and unread for a whole delay.

A sweep asks the catalog for unreferenced content and never reads the rest. It marks what it finds with the collector's
time, and deletes what has a mark that is old enough. A request that reads, mounts or pushes marked content removes the
mark before it is answered, so a client has the whole delay from then on. Nothing is locked: each step is a command of
the catalog that checks and changes atomically.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from zot.catalog.blob_commands import DoomBlob, DoomOutcome
from zot.catalog.command import new_id
from zot.catalog.interface import PAGE_LIMIT
from zot.catalog.rows import UnreferencedBlob
from zot.logs.fields import fields
from zot.maintenance.clock import CollectorClock
from zot.maintenance.expiry import Expiry
from zot.maintenance.marks import Marks
from zot.maintenance.observer import Observer
from zot.maintenance.scheduler import ReportProgress
from zot.maintenance.stale_uploads import StaleUploads
from zot.maintenance.stores import MaintainedStores, StoreRules
from zot.maintenance.sweep_stats import Pauses, SweepStats, batches
from zot.oci.names import Repository
from zot.registry.blob_deletion import delete_blob
from zot.registry.registry import Registry
from zot.statistics.interface import StatisticsStore
from zot.storage.interface import StorageError

_log = logging.getLogger("zot.gc")


@dataclass(frozen=True, slots=True)
class CollectedLayouts:
    """The operations on layouts that a collector needs."""

    ready: Callable[[Repository], Awaitable[None]]
    """Raises StorageError unless the repository's root is the expected store."""
    remove: Callable[[Repository], Awaitable[bool]]
    """Removes an empty repository with its layout; returns False if it is not empty."""


class Collector:
    """Sweeps the stores of one registry. There is one in each server, in the jobs process."""

    def __init__(
        self,
        registry: Registry,
        stores: MaintainedStores,
        layouts: CollectedLayouts,
        statistics: StatisticsStore | None,
        clock: CollectorClock,
        observer: Observer,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Without statistics, retention rules about times keep everything."""
        self._registry = registry
        self._catalog = registry.catalog
        self._stores = stores
        self._layouts = layouts
        self._statistics = statistics
        self._observer = observer
        self._marks = Marks(registry.catalog, clock)
        self._expiry = Expiry(registry.catalog, self._marks, statistics, observer, wall)
        self._uploads = StaleUploads(registry, stores, clock, observer)

    async def twice(self, store: StoreRules, report: ReportProgress) -> Pauses:
        """Sweep twice, a delay apart: the first sweep marks, the second deletes what stayed marked.

        For a collection that runs once: a single sweep would only mark.
        """
        async for pause_s in self.sweep(store, report):
            yield pause_s
        # A second more, because marks are set up to the end of the first sweep.
        yield max(store.delay_s, store.retention.delay_s) + 1
        async for pause_s in self.sweep(store, report):
            yield pause_s

    async def sweep(self, store: StoreRules, report: ReportProgress) -> Pauses:
        """Sweep each repository of a store. Raises CatalogError, StorageError.

        A repository that cannot be swept is skipped, and named in the log.
        """
        swept, begun_s, failed = SweepStats(), time.monotonic(), True
        try:
            if self._statistics is not None and store.retention.asks_for_times:
                await self._statistics.settled()
            async for repository in self._stores.repositories(self._catalog, store):
                try:
                    async for pause_s in self.repository(repository, store, swept):
                        yield pause_s
                except StorageError as error:
                    _log.error("failed to run GC for %s: %s", repository, error, extra=_about(repository))
                report(str(swept))
                yield 0
            if not store.retention.dry_run:
                async for count in self._uploads.collect(store):
                    swept.uploads += count
                    yield 0
            report(str(swept))
            failed = False
        finally:
            self._observer.collected(time.monotonic() - begun_s, failed=failed)

    async def repository(self, repository: Repository, store: StoreRules, swept: SweepStats) -> Pauses:
        """Sweep one repository, unless its layout is not imported yet. Raises as `sweep`."""
        row = await self._catalog.repository(repository)
        if row is None or not row.imported:
            return
        await self._layouts.ready(repository)
        _log.info("executing gc of orphaned blobs for %s", repository, extra=_about(repository))
        blobs_before = swept.blobs
        stages = [self._expiry.tags]
        if await self._catalog.unread(repository):
            _log.info(
                "%s has manifests that could not be read and may need anything in it: nothing of it is collected",
                repository,
                extra=_about(repository),
            )
        else:
            stages += [self._expiry.attached_tags, self._expiry.manifests]
            if not store.retention.dry_run:
                stages += [self._blobs, self._remove_if_empty]
        for stage in stages:
            async for pause_s in stage(repository, store, swept):
                yield pause_s
        swept.repositories += 1
        if swept.blobs > blobs_before:
            _log.info("garbage collected blobs", extra=_about(repository, count=swept.blobs - blobs_before))
        _log.info("gc successfully completed for %s", repository, extra=_about(repository))

    async def _blobs(self, repository: Repository, store: StoreRules, swept: SweepStats) -> Pauses:
        """Mark the unreferenced blobs, and delete those that were marked a delay ago."""
        after, marked = "", False
        while page := await self._catalog.unreferenced_blobs(repository, after, PAGE_LIMIT):
            if not marked and any(row.marked_s is None for row in page):
                async for pause_s in self._marks.mark(repository):
                    yield pause_s
                marked = True
                continue  # with the same page, for a delay of nothing
            until_s = self._marks.until_s(store.delay_s, page)
            due = [row for row in page if row.marked_s is not None and row.marked_s <= until_s]
            swept.waiting += len(page) - len(due)
            for some in batches(due):
                async with asyncio.TaskGroup() as removals:
                    running = [removals.create_task(self._remove(repository, row, until_s)) for row in some]
                sizes = [row.size for row, task in zip(some, running, strict=True) if task.result()]
                swept.blobs += len(sizes)
                swept.bytes += sum(sizes)
                self._observer.removed("blob", len(sizes))
                yield 0
            after = page[-1].digest

    async def _remove(self, repository: Repository, row: UnreferencedBlob, until_s: float) -> bool:
        doom = DoomBlob(
            repository=repository,
            digest=row.digest,
            token=new_id(),
            owner=self._catalog.owner,
            marked_before_s=until_s,
        )
        return await delete_blob(self._catalog, self._registry.storage, doom) is DoomOutcome.DOOMED

    async def _remove_if_empty(self, repository: Repository, store: StoreRules, swept: SweepStats) -> Pauses:
        del store
        if await self._catalog.manifests(repository, "", 1) or await self._catalog.blobs(repository, "", 1):
            return
        if await self._layouts.remove(repository):
            swept.removed_repositories += 1
            if self._statistics is not None:
                await self._statistics.forget(repository)
            _log.info("removed the empty repository %s", repository, extra=_about(repository))
        yield 0


def _about(repository: Repository, **more: object) -> dict[str, object]:
    return fields(module="gc", repository=repository, **more)
