"""Keeps the search index in sync with the catalog, in the one process that works in the background.

A new index, or one that does not continue in the catalog's change log, is filled first from the lists of the catalog,
repository by repository; a start continues where the one before was. Then the log is followed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import apsw

from zot.catalog import paging
from zot.catalog.interface import Catalog, CatalogError
from zot.extensions.search.index.database import Filling, IndexState, IndexWriter, demand_pipe
from zot.extensions.search.index.source import BATCH, CatalogSource, RepositoryState, Update
from zot.foundation.sqlite_file import DAMAGE
from zot.foundation.threads import ThreadPool
from zot.foundation.wake_pipe import WakePipe
from zot.oci.digest import Digest
from zot.oci.names import Repository
from zot.statistics.interface import StatisticsStore, StatisticsUnavailableError
from zot.storage.interface import Storage, StorageError

PAUSE_S = 0.05
"""How long at least, after the log was read, it is not read again, however many searches wait."""
DELAY_S = 1.0
"""How long a change waits at most while no search wants it: what comes meanwhile is written with it."""
_IMPORTING_S = 0.1
"""The same while layouts are imported, of which the end is awaited too."""
_WITHOUT_PIPE_S = 0.2
"""The same where the file system has no pipes: then a search cannot say that it waits."""
_RETRY_S = 1.0
_INCOMPLETE_S = 60.0
"""How often content is looked for that was missing: a mirror has a config only once a client has pulled it."""
_PULLS_S = 10.0
_SHARE = 50
"""Each of these two takes at most this part of the time."""
_PULLS_OVERLAP_S = 5.0
"""How much later than a newer one a pull may be stored."""
_WEIGHT = 2 * BATCH
"""Rows of one transaction, about."""

_log = logging.getLogger("zot.search")


class IndexConsumer:
    """Writes the index (`Extension.consumers`)."""

    def __init__(
        self,
        path: Path,
        catalog: Catalog,
        storage: Storage,
        statistics: StatisticsStore | None = None,
        *,
        pause_s: float = PAUSE_S,
        delay_s: float = DELAY_S,
        pulls_s: float = _PULLS_S,
        imported: Callable[[], bool] = lambda: True,
    ) -> None:
        """Write the index at `path`; `imported` tells whether the catalog has all layouts of the store."""
        self._catalog = catalog
        self._statistics = statistics
        self._pause_s = pause_s
        self._delay_s = delay_s
        self._pulls_s = pulls_s
        self._imported = imported
        self._threads = ThreadPool("search-index", 1, 8)
        self._writer = IndexWriter(path)
        self._demand = WakePipe(demand_pipe(path))
        self._source = CatalogSource(catalog, storage, self._threads, self._writer.unknown)
        self._problem = ""
        self._pulls_due_s = self._incomplete_due_s = 0.0
        self._pulled_to: tuple[float, Repository, Digest] | None = None

    async def run(self) -> None:
        """Keep the index in sync until cancelled. What goes wrong is logged and tried again."""
        try:
            while True:
                await self._attempt()
                await asyncio.sleep(_RETRY_S)
        finally:
            self._demand.close()
            await self._threads.complete(self._writer.close)
            self._threads.close()

    async def _attempt(self) -> None:
        try:
            try:
                self._open_demand()
                await self._follow(await self._threads.run(self._writer.open))
            except DAMAGE as error:
                self._log_problem(f"the search index is damaged and is made again: {error}")
                await self._threads.run(self._writer.remake)
        except (apsw.Error, OSError, CatalogError, StorageError) as error:
            self._log_problem(f"the search index is not updated for now: {error}")
        except Exception:  # noqa: BLE001 (what one image causes must not end maintenance, which shares the process)
            _log.exception("the search index is not updated")

    def _open_demand(self) -> None:
        try:
            self._demand.open()
        except OSError as error:
            self._log_problem(f"searches cannot ask for the latest changes, which are looked for instead: {error}")

    def _log_problem(self, problem: str) -> None:
        if problem != self._problem:
            _log.warning("%s", problem)
        self._problem = problem

    async def _follow(self, state: IndexState) -> None:
        """Follow the log for as long as the file stays in its place."""
        self._pulls_due_s = self._incomplete_due_s = 0.0
        self._pulled_to = None
        if state.filling is not Filling.DUE and (await self._catalog.changes(state.cursor, 1)).gap:
            state = state._replace(filling=Filling.DUE)
        if state.filling is not Filling.DONE:
            await self._fill(state)
            state = await self._threads.run(self._writer.open)
        cursor, importing = state.cursor, bool(state.importing)
        while self._writer.is_current():
            self._demand.clear()  # before the changes are read: what a search asks for later is read later
            imported = self._imported()  # the same holds for what an import wrote
            page = await self._catalog.changes(cursor, BATCH)
            if page.gap:
                _log.info("the catalog's change log does not continue where the search index is: it is compared")
                return await self._follow(state._replace(filling=Filling.DUE))
            if page.changes:
                update = await self._source.changed(page.changes)
                await self._threads.run(self._writer.apply, update, page.cursor)
                cursor, self._problem = page.cursor, ""
                if len(page.changes) == BATCH:
                    continue
            if importing and imported:
                await self._threads.run(self._writer.end_importing)
                importing = False
            await self._read_pulls()
            await self._read_incomplete()
            await self._pause(_IMPORTING_S if importing else self._delay_s)
        return None

    async def _pause(self, delay_s: float) -> None:
        """Wait until a search wants the latest changes, at most `delay_s`."""
        began_s = time.monotonic()
        if await self._demand.wait(delay_s if self._demand.is_open else min(delay_s, _WITHOUT_PIPE_S)):
            await asyncio.sleep(max(0.0, self._pause_s - (time.monotonic() - began_s)))

    # --- filling ---

    async def _fill(self, state: IndexState) -> None:
        """Read the lists of the catalog, from where an earlier start was."""
        if state.filling is Filling.DUE:
            cursor = (await self._catalog.changes(None, 1)).cursor
            total = 0
            async for _ in paging.repositories(self._catalog):
                total += 1
            await self._threads.run(self._writer.begin_filling, cursor, total)
            state = state._replace(filled_to="", done=0, total=total)
            await self._drop_removed()
        done, filled_to, pending = state.done, state.filled_to, Update()
        if state.total:
            _log.info("the search index is filled: %d of %d repositories are in it", done, state.total)
        async for name in paging.repositories(self._catalog, filled_to):
            async for update in self._states(name):
                pending.add(update)
                if pending.weight >= _WEIGHT:
                    pending = await self._write(pending, filled_to, done, state.total)
            filled_to, done = name, done + 1
        await self._write(pending, filled_to, done, state.total)
        await self._threads.run(self._writer.end_filling, self._imported())
        if state.total:
            _log.info("the search index is filled: it has %d repositories", done)

    async def _write(self, pending: Update, filled_to: str, done: int, total: int) -> Update:
        """Write what is pending, and which repositories are complete by that; return an empty update."""
        await self._threads.run(self._writer.apply, pending)
        await self._threads.run(self._writer.filled, filled_to, done, total)
        return Update()

    async def _states(self, repository: Repository) -> AsyncIterator[Update]:
        """Iterate over what the index has of a repository, as it is now, then over all that the catalog has."""
        writer, run = self._writer, self._threads.run
        content, tag = 0, ""
        while manifests := await run(writer.manifests, repository, content):
            yield await self._source.state_of(repository, [digest for _, digest in manifests], [])
            content = manifests[-1][0]
        while tags := await run(writer.tags, repository, tag):
            yield await self._source.state_of(repository, [], tags)
            tag = tags[-1]
        async for update in self._source.all_of(repository):
            yield update

    async def _drop_removed(self) -> None:
        """Remove the repositories that the catalog does not have."""
        after = ""
        while names := await self._threads.run(self._writer.repositories, after):
            for name in names:
                if await self._catalog.repository(name) is None:
                    await self._threads.run(self._writer.apply, Update({name: RepositoryState(exists=False)}))
            after = names[-1]

    # --- beside the log ---

    async def _read_incomplete(self) -> None:
        """Read content again that was missing."""
        if time.monotonic() < self._incomplete_due_s:
            return
        began_s, after = time.monotonic(), 0
        while rows := await self._threads.run(self._writer.incomplete, after):
            for after, repository, digest in rows:  # noqa: B007 (the last one is the position)
                update = await self._source.state_of(repository, [digest], [])
                await self._threads.run(self._writer.apply, update)
        now_s = time.monotonic()
        self._incomplete_due_s = now_s + max(_INCOMPLETE_S, _SHARE * (now_s - began_s))

    async def _read_pulls(self) -> None:
        """Copy the counts of what was pulled since the last time, by which downloads are sorted."""
        if self._statistics is None or time.monotonic() < self._pulls_due_s:
            return
        began_s = time.monotonic()
        after = self._pulled_to
        with suppress(StatisticsUnavailableError):  # its store logs why, and they are read the next time
            while rows := await self._statistics.pulled_after(after, BATCH):
                await self._threads.run(self._writer.count_pulls, list(rows))
                repository, last = rows[-1]
                assert last.pulled_s is not None, "it was pulled"
                after = (last.pulled_s, repository, last.digest)
        if after is not None:
            self._pulled_to = (after[0] - _PULLS_OVERLAP_S, Repository(""), Digest(""))
        now_s = time.monotonic()
        self._pulls_due_s = now_s + max(self._pulls_s, _SHARE * (now_s - began_s))
