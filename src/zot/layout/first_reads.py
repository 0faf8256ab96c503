"""The first read of a repository after a start: compared with what another program may have written before it."""

from __future__ import annotations

import asyncio
import logging

from zot.catalog.interface import Catalog
from zot.layout.foreign import ForeignEdits
from zot.layout.interface import LayoutFiles
from zot.oci.names import Repository
from zot.registry.errors import Unavailable
from zot.storage.interface import StorageError

_log = logging.getLogger(__name__)

_POLL_S = 0.05
# Beyond it all are compared again: a bound on memory.
_REMEMBERED = 1 << 17


class FirstReads:
    """Compares each repository's `index.json` with the recorded export, once in this process, and merges it.

    A repository whose file is the recorded one costs one look at its status, and nothing from then on.
    """

    def __init__(self, catalog: Catalog, files: LayoutFiles, edits: ForeignEdits, *, wait_s: float = 5.0) -> None:
        """Let a request wait for `wait_s`."""
        self._catalog = catalog
        self._files = files
        self._edits = edits
        self._wait_s = wait_s
        self._compared: set[Repository] = set()
        self._running: dict[Repository, asyncio.Task[None]] = {}

    def is_due(self, repository: Repository) -> bool:
        """Tell whether the repository is still to be compared. Touches no disk."""
        return repository not in self._compared

    async def compare(self, repository: Repository) -> None:
        """Return once the catalog has what another program wrote before the start.

        Raises Unavailable when that takes longer than a request should wait (it goes on meanwhile), CatalogError. While
        the storage fails the catalog serves, and the next request compares.
        """
        task = self._running.get(repository)
        if task is None:
            task = self._running[repository] = asyncio.create_task(self._compare(repository))
            task.add_done_callback(lambda ended: self._ended(repository, ended))
        done, _ = await asyncio.wait({task}, timeout=self._wait_s)
        if not done:
            raise Unavailable("what another program wrote into the repository is being imported", name=repository)
        task.result()

    async def close(self) -> None:
        """Stop what is running."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, repository: Repository, task: asyncio.Task[None]) -> None:
        del self._running[repository]
        if not task.cancelled() and (error := task.exception()) is not None:  # requests may have stopped waiting
            _log.warning("%s is not compared with its layout: %s", repository, error)

    async def _compare(self, repository: Repository) -> None:
        try:
            if not await self._edits.is_level(repository):
                row = await self._catalog.repository(repository)
                if row is None or not row.adopted:
                    return  # its import reads the file
                await self._merge(repository)
        except StorageError as error:
            _log.warning("%s is served as the catalog has it: its layout cannot be read: %s", repository, error)
            return
        if len(self._compared) >= _REMEMBERED:
            self._compared.clear()
        self._compared.add(repository)

    async def _merge(self, repository: Repository) -> None:
        while True:
            async with self._files.adopting(repository) as alone:
                if alone:
                    await self._edits.merge_now(repository)
                    return
            await asyncio.sleep(_POLL_S)
