"""Build the background tasks on a store from the configuration."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from zot.config.model import Config
from zot.foundation.threads import ThreadPool
from zot.maintenance import change_log_trim, orphan_files, unfinished_deletes
from zot.maintenance.change_log_trim import ChangeLogTrim
from zot.maintenance.gc import CollectedLayouts, Collector
from zot.maintenance.job_state import JobStates
from zot.maintenance.observer import NoObserver, Observer
from zot.maintenance.orphan_files import OrphanFiles
from zot.maintenance.priority_slots import Priority
from zot.maintenance.scheduler import Scheduler, Task
from zot.maintenance.stores import MaintainedStores, StoreRules
from zot.maintenance.unfinished_deletes import UnfinishedDeletes
from zot.registry.registry import Registry
from zot.statistics.interface import StatisticsStore

COLLECTION = "GCTaskGenerator"
"""The name of the tasks that collect garbage, one a store."""

# A step mostly waits, for the catalog or the disk.
_WORKERS_A_CORE = 4


@dataclass(frozen=True, slots=True)
class MaintenanceParts:
    """What maintenance works on, in the one process of a server that runs background tasks."""

    registry: Registry
    layouts: CollectedLayouts
    job_states: JobStates
    """Already loaded."""
    hash_pool: ThreadPool
    started_s: float
    """When the server started, in seconds since the epoch."""
    statistics: StatisticsStore | None = None
    observer: Observer = field(default_factory=NoObserver)
    layouts_are_imported: Callable[[], bool] = lambda: True
    """Tells whether the catalog has all layouts that the store had when the server started."""


def build(config: Config, parts: MaintenanceParts) -> list[Task]:
    """Return the tasks of the configuration. A read-only registry has none.

    After a reload, `Scheduler.replace` takes the tasks of the new configuration.
    """
    if parts.registry.read_only:
        return []
    stores = MaintainedStores(config.storage)
    deletes = UnfinishedDeletes(parts.registry)
    trim = ChangeLogTrim(parts.registry.catalog)
    tasks = [
        Task("UnfinishedDeletes", deletes.finish, unfinished_deletes.INTERVAL_S, Priority.HIGH),
        Task("ChangeLogTrim", trim.trim, change_log_trim.INTERVAL_S, Priority.LOW),
    ]
    collector = Collector(
        parts.registry, stores, parts.layouts, parts.statistics, parts.job_states.clock, parts.observer
    )
    walk = OrphanFiles(parts.registry, stores, parts.layouts)
    for store in stores.all:
        if store.collects:
            tasks += [_collection(collector, store), _walk(walk, store)]
    return tasks


def scheduler(config: Config, parts: MaintenanceParts, tasks: Sequence[Task]) -> Scheduler:
    """Return the scheduler for tasks, of maintenance and of other packages."""
    workers = config.scheduler.num_workers or _WORKERS_A_CORE * (os.cpu_count() or 1)
    return Scheduler(tasks, parts.job_states, workers=workers, observer=parts.observer)


def _collection(collector: Collector, store: StoreRules) -> Task:
    sweep = collector.sweep if store.interval_s else collector.twice
    return Task(
        COLLECTION, lambda report: sweep(store, report), store.interval_s, about=store.route, may_start=store.may_start
    )


def _walk(walk: OrphanFiles, store: StoreRules) -> Task:
    return Task(
        "OrphanFilesGenerator",
        lambda report: walk.collect(store, report),
        orphan_files.INTERVAL_S,
        Priority.LOW,
        about=store.route,
        may_start=store.may_start,
    )
