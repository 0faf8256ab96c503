"""What the process that does the long work has: layouts, collection, and whatever else is done in the background."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from zot.api.metrics import Metrics
from zot.api.metrics_registry import Recorded
from zot.api.metrics_upkeep import UpkeepMetrics
from zot.app import Core
from zot.config.masking import masked
from zot.config.model import Config
from zot.layout.build import build_jobs
from zot.logs.fields import fields
from zot.processes.meanwhile import meanwhile
from zot.processes.reloading import Reloading
from zot.upkeep import build as upkeep
from zot.upkeep.gc import Layouts
from zot.upkeep.journal import Journal
from zot.upkeep.observer import Observer, Unobserved

_log = logging.getLogger("zot.server")


class LongWork:
    """The background work on a registry. There is one a server."""

    def __init__(self, core: Core, recorded: Recorded | None, journal: Journal, *, measures: bool) -> None:
        """Take where it counts what it does, and what it did before (loaded).

        `measures`: nobody else in this process records its metrics.
        """
        self._core = core
        older_ns = core.plan.catalog_is_older_than_ns
        if older_ns:
            _log.warning("the catalog is older than its stores: what they hold is compared before it is replaced")
        self._layouts = build_jobs(core.catalog, core.storage, core.layouts, catalog_is_older_than_ns=older_ns)
        self._journal = journal
        self._observer: Observer = Unobserved() if recorded is None else UpkeepMetrics(recorded)
        self._metrics = Metrics(recorded) if measures and recorded is not None else None
        parts = self._parts(core.config)
        self._scheduler = upkeep.scheduler(core.config, parts, upkeep.build(core.config, parts))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Do what is due meanwhile; at the end, once nobody writes any more, bring every layout level."""
        async with meanwhile([] if self._core.read_only else self._tasks()):
            yield
        if not self._core.read_only:
            await self._layouts.drain(self._core.plan.drain_s)
        if self._metrics is not None:
            self._metrics.close()

    def _tasks(self) -> list[Callable[[], Awaitable[None]]]:
        file = self._core.plan.config
        reloading = Reloading(Path(file) if file is not None else None, self._core.config, self._apply, ())
        tasks: list[Callable[[], Awaitable[None]]] = [self._layouts.run, self._scheduler.run, reloading.run]
        if self._metrics is not None:
            tasks.append(self._metrics.run)
        return tasks

    async def _apply(self, config: Config) -> None:
        self._scheduler.replace(upkeep.build(config, self._parts(config)))

    def _parts(self, config: Config) -> upkeep.Parts:
        core = self._core
        return upkeep.Parts(
            registry=core.registry(config),
            layouts=Layouts(ready=core.layouts.files.ready, remove=self._layouts.exporter.remove),
            journal=self._journal,
            hash_pool=core.pools.hash,
            statistics=core.statistics,
            observer=self._observer,
        )


async def open_long_work(core: Core, recorded: Recorded | None, *, measures: bool) -> LongWork:
    """Read what was done before, and build it. Says once a server by which configuration it runs."""
    _log.info("configuration settings", extra=fields(params=masked(core.config)))
    journal = Journal(core.plan.catalog_directory, core.pools.durable)
    await journal.load()
    return LongWork(core, recorded, journal, measures=measures)
