"""Scan the roots for the work of other programs: new layouts, which are imported, and edits, which are merged."""

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
        importer: LayoutImporter,
        names: UnimportedNames,
        exporter: Exporter,
        arrivals: Arrivals,
        *,
        interval_s: float = 60.0,
        looks_per_s: float = 200.0,
    ) -> None:
        """Scan all repositories every `interval_s`, at no more than `looks_per_s` repositories a second."""
        self._catalog = catalog
        self._importer = importer
        self._names = names
        self._exporter = exporter
        self._arrivals = arrivals
        self._interval_s = interval_s
        self._pause_s = 1 / looks_per_s

    async def run(self, *, merges: bool = True) -> None:
        """Import and check until it is cancelled. Failures are logged and retried with the next scan.

        Without `merges` it only imports: edits of layouts that the catalog has are left alone.
        """
        pause_s = 0.0  # the first scan makes all repositories known, and does not pause
        while True:
            try:
                await self.import_all(pause_s)
                pause_s = self._pause_s
                if merges:
                    await self.check_all()
            except (StorageError, CatalogError) as error:
                _log.warning("layouts cannot be scanned: %s", error)
            await asyncio.sleep(self._interval_s)

    async def import_all(self, pause_s: float = 0) -> None:
        """Import every layout that the catalog lacks, one after the other, scanning the directories with pauses.

        Invalid and unreadable layouts are skipped. Raises StorageError if the directories cannot be scanned,
        CatalogError.
        """
        names = [*await self._names.look(pause_s), *[name async for name in self._interrupted()]]
        progress = _Progress(len(names))
        for name in names:
            try:
                await self._importer.import_layout(name)
            except (InvalidLayoutError, StorageError):  # logged by the importer
                progress.failed += 1
            progress.step()
        progress.end()

    async def check_all(self) -> None:
        """Check each imported repository once for edits of `index.json` and new manifests. Raises CatalogError."""
        failed: list[StorageError] = []
        async for names in self._imported():
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

    async def _imported(self) -> AsyncIterator[list[Repository]]:
        """Iterate over imported repositories, some at a time."""
        names: list[Repository] = []
        async for name in paging.repositories(self._catalog):
            row = await self._catalog.repository(name)
            if row is not None and row.imported:
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
