"""What operators ask of a store: answered by the server that runs on it, or else by the command itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from zot.accounts.statistics import StatisticsUnavailableError
from zot.admin.backup import BackupSource, Told, back_up
from zot.admin.operations import Operations
from zot.admin.requests import AdminError, AdminRequest
from zot.app import Core, open_core
from zot.catalog import paging
from zot.catalog.interface import CatalogError
from zot.catalog.sqlite.driver import open_in_thread
from zot.catalog.sqlite.snapshot import open_snapshot, snapshot
from zot.config.model import Config
from zot.config.store_table import StoreTable
from zot.layout.build import build_jobs
from zot.layout.index_json import InvalidLayoutError
from zot.maintenance.build import MaintenanceParts
from zot.maintenance.gc import CollectedLayouts
from zot.maintenance.job_state import JobStates
from zot.maintenance.scheduler import Scheduler
from zot.oci.names import Repository
from zot.processes.control import ask_server
from zot.processes.logs import open_logs
from zot.processes.start import identified, make_plan
from zot.server.store_registry import refuse_root, require_store, require_whole_catalog
from zot.storage.interface import StorageError
from zot.storage.lock import RootInUseError, RootLock, lock_root

_STARTING_S = 5.0
_POLL_S = 0.2


class LayoutImports:
    """The import of layouts by an open store (an `Imports`)."""

    def __init__(self, core: Core) -> None:
        """Import into the catalog of the store."""
        self._core = core

    async def pending(self) -> list[Repository]:
        """Return the repositories that the catalog does not have, or not completely."""
        pending = await self._core.layouts.foreign_names.look()
        async for name in paging.repositories(self._core.catalog):
            row = await self._core.catalog.repository(name)
            if row is not None and not row.adopted:
                pending.append(name)
        return pending

    async def run(self, repository: Repository) -> str:
        """Import a repository; return why it cannot be imported, empty: it is."""
        if self._core.read_only:
            return "the registry is read-only"
        try:
            await self._core.layouts.adoption.adopt(repository)
        except (InvalidLayoutError, StorageError) as error:
            return str(error)
        return ""


def operations(config: Config, core: Core, parts: MaintenanceParts, scheduler: Scheduler | None) -> Operations:
    """Return what answers operators on an open store; with a scheduler, on that of a server."""
    stores = StoreTable(config.storage)
    state = core.plan.state
    imports = LayoutImports(core)

    def back_up_to(target: str) -> AsyncIterator[Told]:
        source = BackupSource(
            roots=core.plan.roots,
            root_of=stores.root_of,
            stores=dict(core.plan.stores),
            databases=[
                str(path)
                for path in (state.catalog_database, state.accounts_database, state.statistics_database)
                if path.exists()
            ],
            snapshot=snapshot,
            open_catalog=open_snapshot,
            imports=imports,
        )
        return back_up(source, core.catalog, target, core.pools.durable)

    return Operations(config, parts, scheduler, back_up_to, imports)


async def answers(config: Config, file: Path | None, ask: AdminRequest[Any]) -> AsyncGenerator[Any, None]:
    """Yield what answers a request on the store of a configuration, whether or not a server runs on it. Raises Failed.

    Without a server the store is locked meanwhile, and its layouts are level afterwards. No store is made.
    """
    plan = make_plan(config, file, workers=0, read_only=False)
    try:
        require_store(plan.state, plan.roots)
    except StorageError as error:
        raise AdminError(str(error)) from error
    until_s = time.monotonic() + _STARTING_S
    while True:
        try:
            async with aclosing(ask_server(plan.state, ask)) as rows:
                async for row in rows:
                    yield row
        except ConnectionError:
            pass
        else:
            return
        try:
            async with _alone(config, file) as alone, aclosing(alone.answer(ask)) as rows:
                async for row in rows:
                    yield row
        except RootInUseError as error:
            # By a server that is just starting, or ending.
            if time.monotonic() > until_s:
                raise AdminError(f"{error}, which does not answer on its control socket") from error
            await asyncio.sleep(_POLL_S)
        else:
            return


@asynccontextmanager
async def _alone(config: Config, file: Path | None) -> AsyncIterator[Operations]:
    # The log is the server's; what a command does it says itself.
    plan = replace(make_plan(config, file, workers=0, read_only=False), log_output="", log_level="error")
    locks: list[RootLock] = []
    try:
        refuse_root(plan.roots)
        locks += [lock_root(root, wait_s=0) for root in plan.roots]
        require_whole_catalog(plan.state)
        plan = identified(plan)
        core = open_core(config, plan, open_logs(plan), open_in_thread(plan.state.catalog, plan.boot))
        layouts = build_jobs(core.catalog, core.storage, core.layouts, boot=plan.boot)
        try:
            journal = JobStates(plan.state.jobs, core.pools.durable)
            await journal.load()
            parts = MaintenanceParts(
                registry=core.registry(config),
                layouts=CollectedLayouts(ready=core.layouts.files.ready, remove=layouts.exporter.remove),
                journal=journal,
                hash_pool=core.pools.hash,
                statistics=core.statistics,
            )
            yield operations(config, core, parts, None)
            if not core.read_only:
                await layouts.drain(plan.stop.exports_s)
        finally:
            await core.close()
    except RootInUseError:
        raise
    except (StorageError, CatalogError, StatisticsUnavailableError) as error:
        raise AdminError(str(error)) from error
    finally:
        for lock in locks:
            lock.close()
