"""The names of layouts that the catalog does not list yet, so that lists of repositories are complete."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from itertools import chain

from zot.catalog.interface import PAGE_LIMIT, Catalog
from zot.layout.interface import LayoutFiles
from zot.oci.names import Repository
from zot.registry.errors import Unavailable


class UnimportedNames:
    """The layouts that a scan found, without those that were imported or removed since."""

    def __init__(self, catalog: Catalog, files: LayoutFiles, *, wait_s: float = 5.0) -> None:
        """Scan on the first request, and let requests wait `wait_s` for the scan."""
        self._catalog = catalog
        self._files = files
        self._wait_s = wait_s
        self._parts = [scan.files for scan in files.scans()]
        self._found: dict[LayoutFiles, list[Repository]] = {}
        self._names: list[Repository] | None = None
        """Those of all parts, once all were scanned."""
        self._looking: asyncio.Task[list[Repository]] | None = None

    async def look(self, pause_s: float = 0) -> list[Repository]:
        """Scan all parts of the store; return the names that the catalog lacks. Raises as `look_at` does."""
        return sorted([name for part in self._parts for name in await self.look_at(part, pause_s)])

    async def look_at(self, part: LayoutFiles, pause_s: float = 0) -> list[Repository]:
        """Scan a part of the store, with a pause after each layout; return the names that the catalog lacks.

        Raises StorageError, CatalogError.
        """
        found: list[Repository] = []
        async for name in part.repositories():
            if await self._catalog.repository(name) is None:
                found.append(name)
            if pause_s:
                await asyncio.sleep(pause_s)
        self._found[part] = sorted(found)
        if len(self._found) == len(self._parts):
            self._names = sorted(chain.from_iterable(self._found.values()))
        return self._found[part]

    async def page(self, after: str, limit: int) -> Sequence[Repository]:
        """Return the names greater than `after`, in byte order.

        Raises Unavailable while the first scan takes longer than a request should wait, StorageError.
        """
        known = await self._known()
        names = known[bisect_right(known, after) :]
        page: list[Repository] = []
        while names and len(page) < limit:
            some, names = names[:PAGE_LIMIT], names[PAGE_LIMIT:]
            page += await self._still_unimported(some)
        return page[:limit]

    async def close(self) -> None:
        """Cancel the scan."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})

    async def _known(self) -> list[Repository]:
        if self._names is not None:
            return self._names
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self.look())
        looking = self._looking
        done, _ = await asyncio.wait({looking}, timeout=self._wait_s)
        if not done:
            raise Unavailable("the repositories are still being scanned")
        return looking.result()

    async def _still_unimported(self, names: Sequence[Repository]) -> list[Repository]:
        """Return the names that are layouts and not in the catalog, and forget the others."""
        unknown = [name for name in names if await self._catalog.repository(name) is None]
        unimported = await self._files.existing(unknown) if unknown else []
        gone = set(names).difference(unimported)
        if gone:
            self._names = [name for name in self._names or () if name not in gone]
        return unimported
