"""The first read of a repository after a start: compared with what another program may have written before it."""

from __future__ import annotations

import logging

from zot.catalog.interface import Catalog
from zot.foundation.bounded_map import BoundedMap
from zot.layout.external_edits import ForeignEdits
from zot.layout.interface import LayoutFiles, alone
from zot.layout.single_flight import SingleFlight
from zot.oci.names import Repository
from zot.storage.interface import StorageError

_log = logging.getLogger(__name__)

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
        self._compared: BoundedMap[Repository, bool] = BoundedMap(_REMEMBERED)
        self._tasks = SingleFlight[Repository](
            "what another program wrote into the repository is being imported", wait_s
        )

    def is_due(self, repository: Repository) -> bool:
        """Tell whether the repository is still to be compared. Touches no disk."""
        return repository not in self._compared

    async def compare(self, repository: Repository) -> None:
        """Return once the catalog has what another program wrote before the start.

        Raises Unavailable when that takes longer than a request should wait (it goes on meanwhile), CatalogError. While
        the storage fails the catalog serves, and the next request compares.
        """
        await self._tasks.wait(repository, repository, lambda: self._compare(repository))

    async def close(self) -> None:
        """Stop what is running."""
        await self._tasks.close()

    async def _compare(self, repository: Repository) -> None:
        try:
            if not await self._edits.is_level(repository):
                row = await self._catalog.repository(repository)
                if row is None or not row.adopted:
                    return  # its import reads the file
                async with alone(self._files, repository):
                    await self._edits.merge_now(repository)
        except StorageError as error:
            _log.warning("%s is served as the catalog has it: its layout cannot be read: %s", repository, error)
            return
        self._compared[repository] = True
