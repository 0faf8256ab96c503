"""Finding what others did below the roots: layouts that came, adopted in the background, and files they wrote."""

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


class LayoutScanner:
    """Looks after a store's layouts, slowly, for as long as it runs. One runs in a store's jobs process."""

    def __init__(
        self,
        catalog: Catalog,
        adoption: LayoutImporter,
        names: UnimportedNames,
        exporter: Exporter,
        arrivals: Arrivals,
        *,
        interval_s: float = 60.0,
        looks_per_s: float = 200.0,
    ) -> None:
        """Look at everything every `interval_s`, at no more than `looks_per_s` repositories a second."""
        self._catalog = catalog
        self._adoption = adoption
        self._names = names
        self._exporter = exporter
        self._arrivals = arrivals
        self._interval_s = interval_s
        self._pause_s = 1 / looks_per_s

    async def run(self) -> None:
        """Adopt and check until it is cancelled. What fails is logged, and tried again the next time."""
        pause_s = 0.0  # until all are known, haste is best
        while True:
            try:
                await self.adopt_all(pause_s)
                pause_s = self._pause_s
                await self.check_all()
            except (StorageError, CatalogError) as error:
                _log.warning("layouts cannot be looked through: %s", error)
            await asyncio.sleep(self._interval_s)

    async def adopt_all(self, pause_s: float = 0) -> None:
        """Adopt every layout that is not, one after the other; they are looked for with pauses.

        One that is broken, or cannot be read, is passed over. Raises StorageError if the directories cannot be looked
        through, CatalogError.
        """
        names = [*await self._names.look(pause_s), *[name async for name in self._begun()]]
        progress = _Progress(len(names))
        for name in names:
            try:
                await self._adoption.adopt(name)
            except (InvalidLayoutError, StorageError):  # said by the adoption
                progress.failed += 1
            progress.step()
        progress.end()

    async def check_all(self) -> None:
        """Look once at each adopted repository's `index.json`, and for manifests that arrived. Raises CatalogError."""
        failed: list[StorageError] = []
        async for name in paging.repositories(self._catalog):
            row = await self._catalog.repository(name)
            if row is not None and row.adopted:
                try:
                    await self._exporter.check(name)
                    await self._arrivals.look(name)
                except StorageError as error:
                    failed.append(error)
            await asyncio.sleep(self._pause_s)
        if failed:
            _log.warning("%d layouts cannot be looked at; the first: %s", len(failed), failed[0])

    async def _begun(self) -> AsyncIterator[Repository]:
        """Iterate over repositories whose adoption was broken off."""
        async for name in paging.repositories(self._catalog):
            row = await self._catalog.repository(name)
            if row is not None and not row.adopted:
                yield name


class _Progress:
    """A line in the log now and then, if there is more to do than a moment's work."""

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
            _log.info("adopting layouts: %d of %d", self._done, self._total)

    def end(self) -> None:
        if self._total:
            _log.info("%d of %d layouts adopted", self._total - self.failed, self._total)
