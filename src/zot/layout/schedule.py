"""Schedule exports: when a layout has been quiet, at most a tenth of the time for each, all before the stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from zot.catalog.interface import PAGE_LIMIT, Catalog, CatalogError
from zot.layout.export import Exporter
from zot.layout.interface import LayoutFiles
from zot.layout.small_exports import TURN
from zot.oci.names import Repository
from zot.storage.interface import StorageError

_log = logging.getLogger(__name__)

# Exports that run side by side share the commits of the catalog and the journal of the file system.
_AT_ONCE = 4
_PACE = 10
_QUIET_S = 1.0
_LATEST_S = 10.0
_FAILED_WAIT_S = 30.0


@dataclass(slots=True)
class _Pending:
    """A layout that is due and has not been quiet yet. Times are those of the loop."""

    since: float
    looked: float
    revision: int


class ExportSchedule:
    """Exports the layouts that are due. One instance runs in a store's jobs process."""

    def __init__(
        self,
        catalog: Catalog,
        files: LayoutFiles,
        exporter: Exporter,
        *,
        poll_s: float = 0.5,
        quiet_s: float = _QUIET_S,
        latest_s: float = _LATEST_S,
    ) -> None:
        """Look for due exports every `poll_s`; wait until a repository did not change for `quiet_s`.

        One that keeps changing is exported after `latest_s`.
        """
        self._catalog = catalog
        self._files = files
        self._exporter = exporter
        self._poll_s = poll_s
        self._quiet_s = quiet_s
        self._latest_s = latest_s
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._running: set[Repository] = set()
        self._pending: dict[Repository, _Pending] = {}
        self._not_before: dict[Repository, float] = {}

    async def run(self) -> None:
        """Export until it is cancelled: each repository once it is quiet, so that a push of many tags is one export.

        Small repositories that are due at the same time are exported together. A repository's next export waits ten
        times as long as its last one took, even if it is quiet.

        A failure is logged and retried after 30 s.
        """
        async with asyncio.TaskGroup() as exports:
            while True:
                for turn in _turns(await self._due_now()):
                    self._running.update(turn)
                    exports.create_task(self._export_turn(turn))
                await asyncio.sleep(self._poll_s)

    async def drain(self, limit_s: float) -> bool:
        """Export all due layouts, small ones first, for at most `limit_s`; return whether none is left.

        The number of the others is logged; they are due after the next start. `run` must have ended. Raises
        CatalogError.
        """
        failed: set[Repository] = set()

        async def export(repository: Repository) -> None:
            async with self._slots:
                if not await self._export(repository):
                    failed.add(repository)

        try:
            async with asyncio.timeout(limit_s):
                while due := [name for name in await self._catalog.exports_due(PAGE_LIMIT) if name not in failed]:
                    done = await asyncio.gather(*map(self._export_together, _turns(due)))
                    alone = [name for name in due if name not in set().union(*done)]
                    async with asyncio.TaskGroup() as exports:
                        for repository in await self._smallest_first(alone):
                            exports.create_task(export(repository))
        except TimeoutError:
            pass
        left = await self._catalog.exports_due(PAGE_LIMIT)
        if left:
            more = " or more" if len(left) == PAGE_LIMIT else ""
            _log.warning("%d%s layouts are not exported: the next start exports them", len(left), more)
        return not left

    async def _due_now(self) -> list[Repository]:
        now = asyncio.get_running_loop().time()
        self._not_before = {name: time for name, time in self._not_before.items() if time > now}
        try:
            due = await self._catalog.exports_due(PAGE_LIMIT)
            self._pending = {name: self._pending[name] for name in due if name in self._pending}
            # All are looked at: a repository may become quiet while it waits for its turn.
            quiet = [name for name in due if name not in self._running and await self._is_quiet(name, now)]
        except CatalogError as error:
            _log.warning("the catalog cannot list the layouts to export: %s", error)
            return []
        ready = [name for name in quiet if name not in self._not_before]
        for name in ready:
            del self._pending[name]
        return ready

    async def _is_quiet(self, repository: Repository, now: float) -> bool:
        """Return whether the repository did not change for a while, or changes for too long already to wait."""
        pending = self._pending.get(repository)
        if pending is None:
            pending = _Pending(now, now, await self._revision(repository))
            self._pending[repository] = pending
        if now >= pending.since + self._latest_s:
            return True
        if now < pending.looked + self._quiet_s:
            return False
        revision = await self._revision(repository)
        if revision == pending.revision:
            return True
        pending.looked, pending.revision = now, revision
        return False

    async def _revision(self, repository: Repository) -> int:
        row = await self._catalog.repository(repository)
        return row.revision if row is not None else 0

    async def _export_turn(self, turn: Sequence[Repository]) -> None:
        """Export what is small together, and then each of the others alone."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        done = await self._export_together(turn)
        ended = loop.time()
        for repository in done:
            self._rest_until(repository, ended + _PACE * (ended - begun) / len(turn))
        await asyncio.gather(*(self._export_alone(name) for name in turn if name not in done))

    async def _export_alone(self, repository: Repository) -> None:
        loop = asyncio.get_running_loop()
        async with self._slots:
            begun = loop.time()
            done = await self._export(repository)
            ended = loop.time()
        self._rest_until(repository, ended + (_PACE * (ended - begun) if done else _FAILED_WAIT_S))

    def _rest_until(self, repository: Repository, time_s: float) -> None:
        self._not_before[repository] = time_s
        self._running.discard(repository)

    async def _export_together(self, turn: Sequence[Repository]) -> set[Repository]:
        """Export what is small, and return it; after an error nothing: an export alone tells what is wrong."""
        async with self._slots:
            try:
                return await self._exporter.export_together(turn)
            except (StorageError, CatalogError) as error:
                _log.debug("%s are exported one by one: %s", ", ".join(turn), error)
                return set()

    async def _export(self, repository: Repository) -> bool:
        try:
            return await self._exporter.export(repository)
        except (StorageError, CatalogError) as error:
            _log.warning("%s is not exported: %s", repository, error)
            return False

    async def _smallest_first(self, due: list[Repository]) -> list[Repository]:
        sizes: dict[Repository, int] = {}
        for name in due:
            signature = await self._files.signature(name)
            sizes[name] = signature.size if signature else 0
        return sorted(due, key=sizes.__getitem__)


def _turns(due: list[Repository]) -> Iterator[list[Repository]]:
    return (due[start : start + TURN] for start in range(0, len(due), TURN))
