"""What the process that does the long work has: layouts, collection, and whatever else is done in the background."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from zot.accounts.interface import AccountsUnavailableError
from zot.admin.requests import AdminRequest
from zot.api.metrics.maintenance import MaintenanceMetrics
from zot.api.metrics.metrics import Metrics
from zot.api.metrics.registry import Recorded
from zot.app import Core
from zot.config.model import Config
from zot.layout.build import build_jobs
from zot.maintenance import build as upkeep
from zot.maintenance.gc import CollectedLayouts
from zot.maintenance.job_state import JobStates
from zot.maintenance.observer import NoObserver, Observer
from zot.migration.import_zot_metadata import import_zot_metadata
from zot.processes.control import serving
from zot.server.admin import operations
from zot.server.background_tasks import background_tasks
from zot.server.config_reload import ConfigReload
from zot.server.running_state import RunningState, StateReport
from zot.server.start_log import log_start
from zot.storage.build import room_warnings
from zot.storage.interface import StorageError

_log = logging.getLogger("zot.server")


class Background:
    """The background work on a registry. There is one a server."""

    def __init__(
        self,
        core: Core,
        recorded: Recorded | None,
        journal: JobStates,
        state: RunningState,
        report: StateReport,
        *,
        measures: bool,
    ) -> None:
        """Take where it counts what it does, what it did before (loaded), and the core's configuration.

        `measures`: nothing else in this process records its metrics.
        """
        self._core = core
        self._reload = ConfigReload(core.plan, state, self._apply, report, core.pools.read, says=True)
        if core.plan.catalog_is_older_than_ns:
            _log.warning("the catalog is older than its stores: what they hold is compared before it is replaced")
        self._layouts = build_jobs(core.catalog, core.storage, core.layouts, boot=core.plan.boot)
        self._journal = journal
        self._observer: Observer = NoObserver() if recorded is None else MaintenanceMetrics(recorded)
        self._metrics = None
        if measures and recorded is not None:
            self._metrics = Metrics(recorded)
            core.damage.observe(recorded.count_damaged)
        parts = self._parts(core.config)
        self._scheduler = upkeep.scheduler(core.config, parts, upkeep.build(core.config, parts))
        self._operations = operations(core.config, core, parts, self._scheduler)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Do what is due meanwhile; at the end, once nobody writes any more, bring every layout level."""
        async with background_tasks(self._tasks()), serving(self._core.plan.state, self._answer):
            yield
        if not self._core.read_only:
            stop = self._core.plan.stop
            await self._layouts.drain(stop.left_s(stop.exports_s))
        _log.info("zot stops")
        if self._metrics is not None:
            self._metrics.close()

    def _answer(self, ask: AdminRequest[Any]) -> AsyncGenerator[Any, None]:
        # By the configuration that holds when it is asked.
        return self._operations.answer(ask)

    def _tasks(self) -> list[Callable[[], Awaitable[None]]]:
        tasks: list[Callable[[], Awaitable[None]]] = [self._scheduler.run, self._reload.run]
        if not self._core.read_only:
            tasks.append(self._layouts.run)
        if self._metrics is not None:
            tasks.append(self._metrics.run)
        return tasks

    async def _apply(self, config: Config) -> None:
        parts = self._parts(config)
        self._scheduler.replace(upkeep.build(config, parts))
        self._operations = operations(config, self._core, parts, self._scheduler)

    def _parts(self, config: Config) -> upkeep.MaintenanceParts:
        core = self._core
        return upkeep.MaintenanceParts(
            registry=core.registry(config),
            layouts=CollectedLayouts(ready=core.layouts.files.ready, remove=self._layouts.exporter.remove),
            journal=self._journal,
            hash_pool=core.pools.hash,
            statistics=core.statistics,
            observer=self._observer,
        )


async def open_background(
    core: Core,
    recorded: Recorded | None,
    state: RunningState,
    report: StateReport,
    *,
    measures: bool,
    first: bool = True,
) -> Background:
    """Read what was done before, and build it. Logs the server's start if it is the `first` since then."""
    if first:
        log_start(core.config, core.plan)
    for warning in await core.pools.read.run(lambda: list(room_warnings(core.config.storage))):
        _log.warning("%s", warning)
    try:
        await core.storage.ready()
    except StorageError as error:
        _log.error("the storage cannot be used: %s", error)
    try:
        await import_zot_metadata(core)
    except AccountsUnavailableError as error:
        _log.error("users of zot are not imported until the next start: %s", error)
    journal = JobStates(core.plan.state.jobs, core.pools.durable)
    await journal.load()
    return Background(core, recorded, journal, state, report, measures=measures)
