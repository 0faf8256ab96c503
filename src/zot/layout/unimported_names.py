"""The names of layouts that the catalog does not list yet, so that lists of repositories are complete."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Sequence

from zot.catalog.interface import PAGE_LIMIT, Catalog
from zot.layout.interface import LayoutFiles
from zot.oci.names import Repository
from zot.registry.errors import Unavailable


class UnimportedNames:
    """The layouts that a scan of the directories found, without those that were imported or removed since."""

    def __init__(self, catalog: Catalog, files: LayoutFiles, *, wait_s: float = 5.0) -> None:
        """Scan on the first request, and let requests wait `wait_s` for the scan."""
        self._catalog = catalog
        self._files = files
        self._wait_s = wait_s
        self._names: list[Repository] | None = None
        self._looking: asyncio.Task[list[Repository]] | None = None

    async def look(self, pause_s: float = 0) -> list[Repository]:
        """Scan all directories, with a pause after each layout; return the names that the catalog lacks.

        Raises StorageError.
        """
        found: list[Repository] = []
        async for name in self._files.repositories():
            if await self._catalog.repository(name) is None:
                found.append(name)
            if pause_s:
                await asyncio.sleep(pause_s)
        self._names = sorted(found)
        return self._names

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
