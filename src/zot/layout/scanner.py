"""Scan a store for the work of other programs: new layouts, which are imported, and edits, which are merged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from zot.catalog import paging
from zot.catalog.interface import Catalog, CatalogError
from zot.layout.arrivals import Arrivals
from zot.layout.export import Exporter
from zot.layout.importer import LayoutImporter
from zot.layout.index_json import InvalidLayoutError
from zot.layout.interface import LayoutFiles, LayoutScan
from zot.layout.unimported_names import UnimportedNames
from zot.oci.names import Repository
from zot.storage.interface import StorageError

_log = logging.getLogger(__name__)

_PROGRESS_S = 10.0
# Repositories that are looked at in one job.
_TOGETHER = 32


class LayoutScanner:
    """Scans a store's layouts again and again, slowly. One instance runs in a store's jobs process."""

    def __init__(
        self,
        catalog: Catalog,
        files: LayoutFiles,
        importer: LayoutImporter,
        names: UnimportedNames,
        exporter: Exporter,
        arrivals: Arrivals,
        *,
        looks_per_s: float = 200.0,
    ) -> None:
        """Scan each part of the store as it asks for, at no more than `looks_per_s` repositories a second."""
        self._catalog = catalog
        self._scans = files.scans()
        self._importer = importer
        self._names = names
        self._exporter = exporter
        self._arrivals = arrivals
        self._pause_s = 1 / looks_per_s
        self._walked: set[int] = set()
        """The parts of the store of which all layouts were imported once."""

    async def run(self, *, merges: bool = True) -> None:
        """Import and check until it is cancelled. Failures are logged and retried with the next scan.

        Without `merges` it only imports: edits of layouts that the catalog has are left alone.
        """
        async with asyncio.TaskGroup() as running:
            for number, scan in enumerate(self._scans):
                running.create_task(self._run(number, scan, merges=merges))

    @property
    def has_imported(self) -> bool:
        """Whether every layout that was there at first is in the catalog, but those that cannot be imported."""
        return len(self._walked) == len(self._scans)

    async def _run(self, number: int, scan: LayoutScan, *, merges: bool) -> None:
        pause_s = 0.0  # the first scan makes all repositories known, and does not pause
        checks = merges and scan.checks_first
        while True:
            try:
                await self._import(scan, pause_s, restores=merges)
                self._walked.add(number)
                pause_s = self._pause_s
                if checks:
                    await self._check(scan)
                checks = merges
            except (StorageError, CatalogError) as error:
                _log.warning("layouts cannot be scanned: %s", error)
            await asyncio.sleep(scan.interval_s)

    async def import_all(self) -> None:
        """Import every layout that the catalog lacks.

        Invalid and unreadable layouts are skipped. Raises StorageError if the store cannot be scanned, CatalogError.
        """
        for scan in self._scans:
            await self._import(scan, 0)

    async def check_all(self) -> None:
        """Check each imported repository once for edits of `index.json` and new manifests. Raises CatalogError."""
        for scan in self._scans:
            await self._check(scan)

    async def _import(self, scan: LayoutScan, pause_s: float, *, restores: bool = True) -> None:
        """Import the layouts of a part of the store, scanning it with pauses; a few side by side if it asks for that.

        With `restores` the content that empty objects of known repositories stand for is restored, too.
        """
        unknown = await self._names.look_at(scan.files, pause_s)
        names = [*unknown, *[name async for name in self._interrupted() if scan.has(name)]]
        progress = _Progress(len(names))
        left = iter(names)

        async def work() -> None:
            for name in left:
                try:
                    await self._importer.import_layout(name)
                except (InvalidLayoutError, StorageError):  # logged by the importer
                    progress.failed += 1
                progress.step()

        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(scan.imports_at_once, len(names))):
                    workers.create_task(work())
        except* CatalogError as errors:
            raise errors.exceptions[0] from None
        progress.end()
        if restores:
            await scan.files.restore_content()

    async def _check(self, scan: LayoutScan) -> None:
        failed: list[StorageError] = []
        async for names in self._imported(scan):
            changed = await self._exporter.not_recorded(names)
            for name in names:
                try:
                    if name in changed:
                        await self._exporter.check(name)
                    await self._arrivals.look(name)
                except StorageError as error:
                    failed.append(error)
            await asyncio.sleep(self._pause_s * len(names))
        if failed:
            _log.warning("%d layouts cannot be checked; the first: %s", len(failed), failed[0])

    async def _imported(self, scan: LayoutScan) -> AsyncIterator[list[Repository]]:
        """Iterate over imported repositories, some at a time."""
        names: list[Repository] = []
        async for name in paging.repositories(self._catalog):
            row = await self._catalog.repository(name)
            if row is not None and row.imported and scan.has(name):
                names.append(name)
            if len(names) == _TOGETHER:
                yield names
                names = []
        if names:
            yield names

    async def _interrupted(self) -> AsyncIterator[Repository]:
        """Iterate over repositories whose import was interrupted."""
        async for name in paging.repositories(self._catalog):
            row = await self._catalog.repository(name)
            if row is not None and not row.imported:
                yield name


class _Progress:
    """Logs the progress of a long import every `_PROGRESS_S`."""

    def __init__(self, total: int) -> None:
        self.failed = 0
        self._total = total
        self._done = 0
        self._loop = asyncio.get_running_loop()
        self._next_s = self._loop.time() + _PROGRESS_S

    def step(self) -> None:
        self._done += 1
        if self._loop.time() >= self._next_s:
            self._next_s += _PROGRESS_S
            _log.info("importing layouts: %d of %d", self._done, self._total)

    def end(self) -> None:
        if self._total:
            _log.info("%d of %d layouts imported", self._total - self.failed, self._total)
