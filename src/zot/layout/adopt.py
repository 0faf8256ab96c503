"""Adoption: a layout that the catalog does not know is taken in, whole, before anything else happens to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

from zot.catalog.interface import PAGE_LIMIT, Catalog
from zot.catalog.layout_commands import Adopt, Exported, LayoutBlob, LayoutTag
from zot.layout.index_json import Index, LayoutBroken
from zot.layout.interface import LayoutFiles
from zot.layout.manifest_files import read_manifests
from zot.layout.mark import Mark, last_change_ns
from zot.layout.merge import Verdict, judge
from zot.layout.parts import Item, parts
from zot.oci.digest import Digest
from zot.oci.names import Repository, Tag
from zot.registry.damage import BAD_DIGEST, DamageReports, FoundBy, size_mismatch
from zot.registry.errors import Unavailable
from zot.storage.interface import FoundFile, Storage

_log = logging.getLogger(__name__)

# The catalog's writer is for requests first.
_PAUSE_S = 0.005
_POLL_S = 0.05


@dataclass(slots=True, eq=False)
class _Run:
    """One adoption under way."""

    task: asyncio.Task[None]
    awaited: bool = False
    """A request waits for it: no pauses."""


class Adoption:
    """Takes layouts in, each once at a time: in this process by a shared task, among processes by a lock."""

    def __init__(
        self,
        catalog: Catalog,
        storage: Storage,
        files: LayoutFiles,
        damage: DamageReports | None = None,
        *,
        wait_s: float = 5.0,
    ) -> None:
        """Let a request wait for `wait_s`; what is damaged is reported."""
        self._damage = damage or DamageReports()
        self._catalog = catalog
        self._storage = storage
        self._files = files
        self._wait_s = wait_s
        self._runs: dict[Repository, _Run] = {}

    async def ensure(self, repository: Repository) -> None:
        """Return once the repository is adopted; one that is nowhere is created, and adopted by that.

        Raises Unavailable when it takes longer than a request should wait (it goes on meanwhile), or if its
        `index.json` is broken; StorageError, CatalogError.
        """
        run = self._run(repository)
        run.awaited = True
        done, _ = await asyncio.wait({run.task}, timeout=self._wait_s)
        if not done:
            raise Unavailable("the repository is being taken in", name=repository)
        try:
            run.task.result()
        except LayoutBroken as error:
            raise Unavailable(f"the repository cannot be read: {error}", 60, name=repository) from error

    async def adopt(self, repository: Repository) -> None:
        """Adopt it in the background, in short steps. Raises LayoutBroken, StorageError, CatalogError."""
        run = self._run(repository)
        await asyncio.wait({run.task})
        run.task.result()

    def begin(self, repository: Repository) -> None:
        """Have it adopted some time soon, if it is not."""
        self._run(repository)

    async def close(self) -> None:
        """Break off what is under way: it begins anew the next time."""
        tasks = [run.task for run in self._runs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _run(self, repository: Repository) -> _Run:
        run = self._runs.get(repository)
        if run is None:
            run = self._runs[repository] = _Run(asyncio.create_task(self._adopt(repository)))
            run.task.add_done_callback(lambda task: self._ended(repository, task))
        return run

    def _ended(self, repository: Repository, task: asyncio.Task[None]) -> None:
        del self._runs[repository]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s is not adopted: %s", repository, error)

    async def _adopt(self, repository: Repository) -> None:
        while True:
            async with self._files.adopting(repository) as alone:
                row = await self._catalog.repository(repository)
                if row is not None and row.adopted:
                    return
                if alone:
                    await self._take_in(
                        repository,
                        begun=row is not None and row.revision > 0,
                        salvaged=row is not None and row.exported > 0,
                    )
                    return
            await asyncio.sleep(_POLL_S)

    async def _take_in(self, repository: Repository, *, begun: bool, salvaged: bool) -> None:
        # `salvaged`: the catalog was damaged, and keeps what is left of this repository. The layout adds what is lost.
        # A disk that is not mounted is no empty layout.
        await self._files.ready(repository)
        file = await self._files.load(repository)
        index = file.parsed if file else Index()
        for flaw in index.flaws:
            _log.warning("%s: index.json: %s", repository, flaw)
        taken: set[Digest] = set()
        async for part in parts(repository, self._items(repository, index, taken, begun=begun, salvaged=salvaged)):
            await self._catalog.do(part)
            if not self._runs[repository].awaited:
                await asyncio.sleep(_PAUSE_S)
        # Nobody else writes before it is complete: up to here the log holds what the file shows, and no more.
        shown_ns = await last_change_ns(self._catalog, repository)
        row = await self._catalog.repository(repository)
        await self._catalog.do(Adopt(repository=repository, complete=True))
        if file is None:
            return
        _log.info("%s is adopted: %d descriptors in index.json", repository, len(index.entries))
        # The file need not be written again. But one that an earlier catalog exported has that one's time in it.
        if not begun and index.head.shown_ns is None:
            whole = not index.flaws and all(entry.digest in taken for entry in index.entries)
            mark = Mark(file.signature, shown_ns, whole)
            await self._catalog.do(
                Exported(
                    repository=repository,
                    revision=row.revision if row else 0,
                    digest=file.digest,
                    signature=str(mark),
                )
            )

    async def _items(
        self, repository: Repository, index: Index, taken: set[Digest], *, begun: bool, salvaged: bool
    ) -> AsyncIterator[Item]:
        """Iterate over all that the layout holds; `taken` is the manifests so far."""
        listed = {entry.digest: entry.media_type for entry in index.entries}
        sizes = {entry.digest: entry.size for entry in index.entries}
        async for manifest in read_manifests(self._files, repository, listed):
            taken.add(manifest.digest)
            sizes.update((edge.digest, edge.size) for edge in manifest.edges)
            yield manifest
        async for file in self._storage.walk(repository):
            if file.digest not in taken and await self._is_whole(repository, file, sizes.get(file.digest)):
                yield LayoutBlob(file.digest, file.size)
        for entry in index.entries:
            if entry.tag is not None and entry.digest in taken:
                if salvaged and not await self._is_lost(repository, entry.tag, entry.digest, index.head.shown_ns):
                    continue
                # What an adoption that was broken off has left there gives way to what the file says now.
                there = await self._catalog.resolve(repository, entry.tag) if begun else None
                yield LayoutTag(entry.tag, entry.digest, there.digest if there else None)

    async def _is_whole(self, repository: Repository, file: FoundFile, described: int | None) -> bool:
        """Tell whether a content file may be served.

        Its bytes are read only if there is reason to doubt them: a descriptor that names it has another size, or it is
        empty. One that is damaged stays where it is; the next push of it takes its place.
        """
        if file.size == described or (described is None and file.size > 0):
            return True
        if await self._storage.is_whole(repository, file.digest):
            return True
        error = BAD_DIGEST if described is None else size_mismatch(file.size, described)
        outcome = "it is not imported, and missing until it is pushed again"
        self._damage.report(repository, file.digest, error, FoundBy.IMPORT, outcome)
        return False

    async def _is_lost(self, repository: Repository, tag: Tag, digest: Digest, shown_ns: int | None) -> bool:
        """Tell whether a damaged catalog lost a tag that the layout has, rather than deleted it since the export."""
        if await self._catalog.resolve(repository, tag) is not None:
            return False
        history = await self._catalog.tag_log(repository, tag, None, PAGE_LIMIT)
        shown_ns = shown_ns or 0
        return judge(digest, history, shown_ns, shown_ns) is Verdict.TAKE
