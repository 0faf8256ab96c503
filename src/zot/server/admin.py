"""The administration of an open store: of a server's, or of one that a command opens without a server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from zot.admin.backup import BackupOutput, BackupSource, back_up
from zot.admin.events import EventDeliveries
from zot.admin.operations import Operations
from zot.admin.requests import AdminError
from zot.admin.status import StatusReport
from zot.catalog import paging
from zot.catalog.interface import Catalog, CatalogError
from zot.config.model import Config
from zot.config.store_table import StoreTable
from zot.extensions.search.interface import Search
from zot.layout.build import LayoutJobs, build_jobs
from zot.layout.index_json import InvalidLayoutError
from zot.layout.layouts import StoreLayouts
from zot.maintenance.build import MaintenanceParts
from zot.maintenance.gc import CollectedLayouts
from zot.maintenance.job_state import JobStates
from zot.maintenance.observer import NoObserver, Observer
from zot.maintenance.scheduler import Scheduler
from zot.oci.names import Repository
from zot.server.extensions import open_deliveries
from zot.server.plan import ServerPlan
from zot.server.status import disk_space, server_status
from zot.server.store import Notify, Store, open_store
from zot.statistics.interface import StatisticsUnavailableError
from zot.storage.interface import StorageError
from zot.storage.lock import RootInUseError


class StoreImports:
    """Imports layouts into the catalog of an open store (an `Imports`)."""

    def __init__(self, catalog: Catalog, layouts: StoreLayouts, *, read_only: bool) -> None:
        self._catalog = catalog
        self._layouts = layouts
        self._read_only = read_only

    async def pending(self) -> list[Repository]:
        """Return the repositories that the catalog does not have, or not completely."""
        pending = await self._layouts.unimported_names.look()
        async for name in paging.repositories(self._catalog):
            row = await self._catalog.repository(name)
            if row is not None and not row.imported:
                pending.append(name)
        return pending

    async def run(self, repository: Repository) -> str:
        """Import a repository; return why it cannot be imported, empty if it is."""
        if self._read_only:
            return "the registry is read-only"
        try:
            await self._layouts.importer.import_layout(repository)
        except (InvalidLayoutError, StorageError) as error:
            return str(error)
        return ""


def maintenance_parts(
    config: Config,
    store: Store,
    layouts: StoreLayouts,
    layout_jobs: LayoutJobs,
    job_states: JobStates,
    observer: Observer,
    layouts_are_imported: Callable[[], bool] = lambda: True,
) -> MaintenanceParts:
    """Return what maintenance works on, by a configuration; `job_states` are loaded."""
    return MaintenanceParts(
        registry=store.registry(config),
        layouts=CollectedLayouts(ready=layouts.files.ready, remove=layout_jobs.exporter.remove),
        job_states=job_states,
        hash_pool=store.pools.hash,
        started_s=store.plan.started_s,
        statistics=store.statistics,
        observer=observer,
        layouts_are_imported=layouts_are_imported,
    )


def operations(
    config: Config,
    store: Store,
    layouts: StoreLayouts,
    parts: MaintenanceParts,
    scheduler: Scheduler | None,
    search: Search | None = None,
    events: EventDeliveries | None = None,
) -> Operations:
    """Return what answers operators' requests on an open store; with a scheduler, on that of a server.

    `search` is the index of that server, None where search is off; `events` is None where none are sent.
    """
    imports = StoreImports(store.catalog, layouts, read_only=store.read_only)

    def save(directory: Path) -> list[str]:
        return [*store.catalog_engine.save(directory), *store.accounts_engine.save(directory)]

    async def back_up_to(target: str) -> AsyncIterator[BackupOutput]:
        store.catalog_engine.require_saving()
        if store.plan.object_stores:
            raise AdminError(
                f"zot backup copies directories, and content is in {', '.join(store.plan.object_stores)}: use the"
                f" bucket's versions or replication, and copy {store.plan.state.catalog} while the server is stopped"
            )
        source = BackupSource(
            roots=store.plan.roots,
            root_of=StoreTable(config.storage).root_of,
            stores=dict(store.plan.stores),
            state=str(store.plan.state.catalog),
            save=save,
            open_saved=store.catalog_engine.open_saved,
            imports=imports,
        )
        async for line in back_up(source, store.catalog, target, store.pools.durable):
            yield line

    async def status() -> StatusReport:
        return await server_status(config, store, scheduler.states() if scheduler is not None else [], search, events)

    known = status if scheduler is not None else None
    return Operations(config, parts, scheduler, back_up_to, imports, disk_space(store), known, events=events)


@asynccontextmanager
async def open_operations(config: Config, plan: ServerPlan, notify: Notify) -> AsyncIterator[Operations]:
    """Open the store of a configuration for a command while no server runs; no store is made.

    At the end of the block every layout is exported. Raises RootInUseError if a server has the store, AdminError.
    """
    # The log is the server's; what a command does, it prints itself.
    plan = replace(plan, log_output="", log_level="error")
    try:
        async with open_store(config, plan, must_exist=True, notify=notify) as store:
            layouts = store.layouts
            assert layouts is not None, "a store that outlives its process has layouts"
            layout_jobs = build_jobs(store.catalog, store.storage, layouts)
            job_states = JobStates(plan.state.jobs, store.pools.durable)
            await job_states.load()
            parts = maintenance_parts(config, store, layouts, layout_jobs, job_states, NoObserver())
            yield operations(config, store, layouts, parts, None, events=open_deliveries(store))
            if not store.read_only:
                await layout_jobs.drain(plan.stop.exports_s)
    except RootInUseError:
        raise
    except (StorageError, CatalogError, StatisticsUnavailableError) as error:
        raise AdminError(str(error)) from error
