"""Before the first read of a repository after a start, merge what another program wrote before the start."""

from __future__ import annotations

import logging

from zot.catalog.interface import Catalog
from zot.foundation.bounded_map import BoundedMap
from zot.foundation.shared_marks import SharedMarks
from zot.layout.external_edits import ExternalEdits
from zot.layout.interface import LayoutFiles, locked
from zot.layout.single_flight import SingleFlight
from zot.oci.names import Repository
from zot.storage.interface import StorageError

_log = logging.getLogger(__name__)

# A limit on memory: beyond it, repositories are compared again.
_REMEMBERED = 1 << 17


class FirstReads:
    """Compares each repository's `index.json` with the recorded export, once in this start, and merges it.

    A repository whose file is the recorded one costs one read of its status.
    """

    def __init__(
        self,
        catalog: Catalog,
        files: LayoutFiles,
        edits: ExternalEdits,
        shared: SharedMarks | None = None,
        *,
        wait_s: float = 5.0,
    ) -> None:
        """Let a request wait for `wait_s`. `shared` has what all processes of the server have compared."""
        self._catalog = catalog
        self._files = files
        self._edits = edits
        self._shared = shared or SharedMarks()
        self._compared: BoundedMap[Repository, bool] = BoundedMap(_REMEMBERED)
        self._tasks = SingleFlight[Repository](
            "what another program wrote into the repository is being imported", wait_s
        )

    def is_due(self, repository: Repository) -> bool:
        """Return whether the repository was not compared yet. Does not access the disk."""
        if repository in self._compared:
            return False
        if repository not in self._shared:
            return True
        self._compared[repository] = True
        return False

    def note(self, repository: Repository) -> None:
        """Note that the catalog has what another program wrote before the start: it was compared, or imported since."""
        self._compared[repository] = True
        self._shared.add(repository)

    async def compare(self, repository: Repository) -> None:
        """Return once the catalog has what another program wrote before the start.

        Raises Unavailable if that takes longer than a request should wait, and continues in the background;
        CatalogError. While the storage fails, the catalog is served as it is, and the next request compares.
        """
        await self._tasks.wait(repository, repository, lambda: self._compare(repository))

    async def close(self) -> None:
        """Cancel the running comparisons."""
        await self._tasks.close()

    async def _compare(self, repository: Repository) -> None:
        try:
            if not await self._edits.is_in_sync(repository):
                row = await self._catalog.repository(repository)
                if row is None or not row.imported:
                    return  # its import reads the file
                async with locked(self._files, repository):
                    await self._edits.merge_now(repository)
        except StorageError as error:
            _log.warning("%s is served as the catalog has it: its layout cannot be read: %s", repository, error)
            return
        self.note(repository)
