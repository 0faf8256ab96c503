"""The work that a server does in the background: layouts, maintenance, and the answers to its operators."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from zot.accounts.interface import AccountsUnavailableError
from zot.admin.requests import AdminRequest
from zot.catalog.owner_commands import EXPORT_LEASE, IMPORT_LEASE, MAINTENANCE_LEASE
from zot.config.model import Config
from zot.layout.build import build_jobs
from zot.layout.layouts import StoreLayouts
from zot.maintenance import build as maintenance
from zot.maintenance.job_state import JobStates
from zot.maintenance.observer import NoObserver, Observer
from zot.maintenance.scheduler import Task
from zot.migration.import_zot_metadata import import_zot_metadata
from zot.server.admin import maintenance_parts, operations
from zot.server.background_tasks import background_tasks
from zot.server.config_reload import ConfigReload
from zot.server.extensions import EXTENSIONS, open_deliveries, open_search
from zot.server.owner_lease import OwnerLease
from zot.server.presence import Presence
from zot.server.running_state import RunningState, StateReport
from zot.server.start_log import log_start
from zot.server.store import Store
from zot.storage.build import space_warnings
from zot.storage.interface import StorageError

if TYPE_CHECKING:  # the library of metrics is imported where something wants them recorded
    from zot.api.metrics.metrics import Metrics
    from zot.api.metrics.registry import Recorded

_log = logging.getLogger("zot.server")


class Background:
    """The background work on a store, of which a server has one."""

    def __init__(
        self,
        store: Store,
        layouts: StoreLayouts,
        recorded: Recorded | None,
        job_states: JobStates,
        state: RunningState,
        report: StateReport,
        *,
        measures: bool,
    ) -> None:
        """`recorded` counts what is done; `job_states`, loaded, has what was done before.

        `measures`: nothing else in this process records its metrics.
        """
        self._store = store
        self._reload = ConfigReload(store.plan, state, self._apply, report, store.pools.read, logs=True)
        if store.plan.catalog_is_older_than_ns:
            _log.warning("the catalog is older than its stores: what they hold is compared before it is replaced")
        self._layouts = layouts
        self._layout_jobs = build_jobs(store.catalog, store.storage, layouts)
        self._lease = OwnerLease(store.catalog)
        self._job_states = job_states
        self._observer: Observer = NoObserver()
        self._metrics: Metrics | None = None
        if recorded is not None:
            from zot.api.metrics.maintenance import MaintenanceMetrics  # noqa: PLC0415
            from zot.api.metrics.metrics import Metrics  # noqa: PLC0415

            self._observer = MaintenanceMetrics(recorded)
            if measures:
                self._metrics = Metrics(recorded)
                store.damage.observe(recorded.count_damaged)
        parts = self._parts(store.config)
        self._scheduler = maintenance.scheduler(store.config, parts, _jobs(store.config, parts))
        self._consumers = [run for each in EXTENSIONS for run in each.consumers(store.config, parts)]
        self._exclusive = [run for each in EXTENSIONS for run in each.exclusive_consumers(store.config, parts)]
        self._search = open_search(store)
        self._presence = Presence(store.replicas, store.plan, self._lease, self._search)
        self._events = open_deliveries(store)
        self._operations = operations(store.config, store, layouts, parts, self._scheduler, self._search, self._events)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Do what is due during the block; at its end, when no process writes any more, export every layout."""
        try:
            async with background_tasks(self._tasks()):
                yield
        finally:
            await self._presence.end()
        if not self._store.read_only:
            stop = self._store.plan.stop
            if not self._lease.holds(EXPORT_LEASE):
                await self._lease.renew()  # it stops before the first renewal, or the lease has become free since
            if self._lease.holds(EXPORT_LEASE):
                await self._layout_jobs.drain(stop.left_s(stop.exports_s))
            await self._lease.end()
        _log.info("zot stops")
        if self._metrics is not None:
            self._metrics.close()

    def answer(self, request: AdminRequest[Any]) -> AsyncGenerator[Any, None]:
        """Yield what answers an operator's request, by the configuration of this moment. Raises AdminError."""
        return self._operations.answer(request)

    def _tasks(self) -> list[Callable[[], Awaitable[None]]]:
        tasks: list[Callable[[], Awaitable[None]]] = [self._reload.run, self._presence.run, *self._consumers]
        if self._store.read_only:
            tasks += [self._scheduler.run, *self._exclusive]
            if self._store.config.extensions.search_enabled:
                # Searches find what the catalog has; a pull needs no import, so that without search nothing does.
                tasks.append(partial(self._layout_jobs.scanner.run, merges=False))
        else:
            tasks += [
                self._lease.run,
                partial(self._alone, MAINTENANCE_LEASE, self._scheduler.run),
                *(partial(self._alone, MAINTENANCE_LEASE, run) for run in self._exclusive),
                partial(self._alone, EXPORT_LEASE, self._layout_jobs.schedule.run),
                partial(self._alone, IMPORT_LEASE, self._layout_jobs.scanner.run),
            ]
        if self._metrics is not None:
            tasks.append(self._metrics.run)
        return tasks

    async def _alone(self, lease: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do work once no other server does it."""
        await self._lease.acquired(lease)
        await work()

    async def _apply(self, config: Config) -> None:
        parts = self._parts(config)
        self._scheduler.replace(_jobs(config, parts))
        self._operations = operations(
            config, self._store, self._layouts, parts, self._scheduler, self._search, self._events
        )

    def _parts(self, config: Config) -> maintenance.MaintenanceParts:
        return maintenance_parts(
            config,
            self._store,
            self._layouts,
            self._layout_jobs,
            self._job_states,
            self._observer,
            self._layouts_are_imported,
        )

    def _layouts_are_imported(self) -> bool:
        # What another server imports is seen in the shared catalog, and not how much is left of it.
        return self._layout_jobs.scanner.has_imported or self._lease.is_elsewhere(IMPORT_LEASE)


def _jobs(config: Config, parts: maintenance.MaintenanceParts) -> list[Task]:
    """Return the tasks of maintenance, and those of the extensions."""
    return [*maintenance.build(config, parts), *(task for each in EXTENSIONS for task in each.jobs(config, parts))]


async def open_background(
    store: Store,
    recorded: Recorded | None,
    state: RunningState,
    report: StateReport,
    *,
    measures: bool,
    first: bool = True,
) -> Background:
    """Read what was done before, and build the background work on a store that has layouts.

    `first`: no process of this start did so before; then the server's start is logged.
    """
    if first:
        log_start(store.config, store.plan)
    for warning in await store.pools.read.run(lambda: list(space_warnings(store.config.storage))):
        _log.warning("%s", warning)
    try:
        await store.storage.ready()
    except StorageError as error:
        _log.error("the storage cannot be used: %s", error)
    plan = store.plan
    if not store.read_only:
        try:
            await import_zot_metadata(
                plan.state, plan.owner, store.accounts_engine, store.statistics, store.pools.durable
            )
        except AccountsUnavailableError as error:
            _log.error("users of zot are not imported until the next start: %s", error)
    job_states = JobStates(plan.state.jobs, store.pools.durable)
    await job_states.load()
    assert store.layouts is not None, "a store without layouts has no background work"
    return Background(store, store.layouts, recorded, job_states, state, report, measures=measures)
