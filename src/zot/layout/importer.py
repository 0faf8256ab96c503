"""Import layouts that the catalog does not know, completely and before any other change to them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from zot.catalog.command import ChangeSource
from zot.catalog.interface import Catalog
from zot.catalog.layout_commands import FinishExport, ImportLayout
from zot.foundation.bounded_map import BoundedMap
from zot.layout.contents import ImportOptions, LayoutContents
from zot.layout.export_stamp import ExportStamp, last_change_ns
from zot.layout.import_batches import import_batches
from zot.layout.index_json import InvalidLayoutError
from zot.layout.interface import LayoutFiles
from zot.layout.manifest_files import MANIFEST_LIMIT_BYTES
from zot.oci.names import Repository
from zot.registry.damage import DamageReports
from zot.registry.errors import Unavailable
from zot.storage.interface import Storage

_log = logging.getLogger(__name__)

# The catalog's writer is for requests first.
_PAUSE_S = 0.005
_POLL_S = 0.05
_LOGGED_LIMIT = 10_000


@dataclass(slots=True, eq=False)
class _Run:
    """A running import."""

    task: asyncio.Task[None]
    awaited: bool = False
    """A request waits for it: no pauses."""
    by: str = ""
    """Who makes the change if there is nothing to import, and so the repository is new."""
    source: ChangeSource = ChangeSource.IMPORT


class LayoutImporter:
    """Imports layouts, each once at a time: in this process by a shared task, among processes by a lock."""

    def __init__(
        self,
        catalog: Catalog,
        storage: Storage,
        files: LayoutFiles,
        damage: DamageReports | None = None,
        *,
        wait_s: float = 5.0,
        manifest_limit_bytes: int = MANIFEST_LIMIT_BYTES,
        in_sync: Callable[[Repository], object] = lambda _: None,
    ) -> None:
        """Let a request wait for `wait_s`, report damaged content, read manifests up to `manifest_limit_bytes`.

        `in_sync` is called with each repository whose layout and catalog say the same after its import.
        """
        self._damage = damage or DamageReports()
        self._catalog = catalog
        self._storage = storage
        self._files = files
        self._in_sync = in_sync
        self._wait_s = wait_s
        self._manifest_limit_bytes = manifest_limit_bytes
        self._runs: dict[Repository, _Run] = {}
        self._logged: BoundedMap[Repository, str] = BoundedMap(_LOGGED_LIMIT)

    async def ensure(self, repository: Repository, by: str = "", source: ChangeSource = ChangeSource.CLIENT) -> None:
        """Return once the repository is imported; one that does not exist is created, as the first caller's change.

        Raises Unavailable if that takes longer than a request should wait, and continues in the background; also if the
        `index.json` is invalid. Raises StorageError, CatalogError.
        """
        run = self._run(repository)
        if not run.awaited:
            run.awaited, run.by, run.source = True, by, source
        done, _ = await asyncio.wait({run.task}, timeout=self._wait_s)
        if not done:
            raise Unavailable("the repository is being imported", name=repository)
        try:
            run.task.result()
        except InvalidLayoutError as error:
            raise Unavailable(f"the repository cannot be read: {error}", 60, name=repository) from error

    async def import_layout(self, repository: Repository) -> None:
        """Import it in the background, in short steps. Raises InvalidLayoutError, StorageError, CatalogError."""
        run = self._run(repository)
        await asyncio.wait({run.task})
        run.task.result()

    def start(self, repository: Repository) -> None:
        """Start to import it in the background, unless it is imported. Returns at once."""
        self._run(repository)

    async def close(self) -> None:
        """Cancel the running imports: they start again with the next call."""
        tasks = [run.task for run in self._runs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _run(self, repository: Repository) -> _Run:
        run = self._runs.get(repository)
        if run is None:
            run = self._runs[repository] = _Run(asyncio.create_task(self._import(repository)))
            run.task.add_done_callback(lambda task: self._ended(repository, task))
        return run

    def _ended(self, repository: Repository, task: asyncio.Task[None]) -> None:
        del self._runs[repository]
        if task.cancelled():
            return
        error = task.exception()
        logged = self._logged.pop(repository, None)
        if error is None:
            return
        # Each request for the repository tries again: the log names a reason once.
        if logged != str(error):
            _log.error("%s is not imported: %s", repository, error)
        self._logged[repository] = str(error)

    async def _import(self, repository: Repository) -> None:
        while True:
            async with self._files.lock(repository) as is_locked:
                row = await self._catalog.repository(repository)
                if row is not None and row.imported:
                    return
                if is_locked:
                    await self._import_contents(
                        repository,
                        begun=row is not None and row.revision > 0,
                        salvaged=row is not None and row.exported > 0,
                    )
                    return
            await asyncio.sleep(_POLL_S)

    async def _import_contents(self, repository: Repository, *, begun: bool, salvaged: bool) -> None:
        # `salvaged`: the catalog was damaged and keeps what is left of this repository; the layout adds what is lost.
        # A disk that is not mounted is not an empty layout.
        await self._storage.ready(repository)
        if await self._files.is_removed(repository):  # mostly it is new: there is nothing to read
            run = self._runs[repository]
            await self._complete(repository, run.by, run.source)
            if not begun and not salvaged:
                self._in_sync(repository)
            return
        await self._files.ready(repository)
        await self._files.restore_content(repository)
        contents = LayoutContents(
            self._catalog,
            self._storage,
            self._files,
            repository,
            ImportOptions(self._manifest_limit_bytes, self._damage, begun=begun, salvaged=salvaged),
        )
        async for part in import_batches(repository, contents.items(), ChangeSource.IMPORT):
            await self._catalog.do(part)
            if not self._runs[repository].awaited:
                await asyncio.sleep(_PAUSE_S)
        if contents.refused:
            _log.warning("%s: %s", repository, contents.refused)
        # Requests write only after it is complete: up to here the tag log has exactly what the file shows.
        shown_ns = await last_change_ns(self._catalog, repository)
        row = await self._catalog.repository(repository)
        await self._complete(repository, "", ChangeSource.IMPORT)
        file = contents.index
        if file is None:
            return
        _log.info("%s is imported: %d descriptors in index.json", repository, contents.listed)
        # The file need not be exported again, unless an earlier catalog exported it: then it has that one's time.
        if not begun and file.head.shown_ns is None:
            mark = ExportStamp(file.signature, shown_ns, whole=not contents.refused)
            await self._catalog.do(
                FinishExport(
                    repository=repository,
                    revision=row.revision if row else 0,
                    digest=file.digest,
                    signature=str(mark),
                )
            )
            self._in_sync(repository)

    async def _complete(self, repository: Repository, by: str, source: ChangeSource) -> None:
        await self._catalog.do(ImportLayout(repository=repository, complete=True, by=by, source=source))
