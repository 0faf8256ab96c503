"""Metrics of maintenance: the scheduler's state, its tasks, garbage collection."""

from __future__ import annotations

from collections.abc import Mapping

from zot.api.metrics.registry import Recorded


class MaintenanceMetrics:
    """Records what maintenance does, as its observer. Safe to call from any thread."""

    def __init__(self, recorded: Recorded) -> None:
        """Take the process's metrics."""
        self._recorded = recorded

    def generator_added(self) -> None:
        """Count a kind of tasks that was given to the scheduler."""
        self._recorded.generators.inc()

    def generators(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Set how many kinds of tasks there are, by priority (low, medium, high) and state (ready, waiting, done)."""
        for (priority, state), count in counts.items():
            self._recorded.generators_status.labels(priority, state).set(count)

    def workers(self, places: int, working: int) -> None:
        """Set how many tasks may run at once, and how many do."""
        self._recorded.scheduler_workers_total.set(places)
        self._recorded.scheduler_workers.labels("working").set(working)
        self._recorded.scheduler_workers.labels("idle").set(places - working)

    def queued(self, tasks: Mapping[str, int]) -> None:
        """Set how many tasks wait, by priority."""
        for priority, count in tasks.items():
            self._recorded.tasks_queued.labels(priority).set(count)

    def task_ran(self, name: str, seconds: float) -> None:
        """Count a task that ended; names are those of the program, few."""
        self._recorded.task_duration.labels(name).observe(seconds)

    def collected(self, seconds: float, *, failed: bool) -> None:
        """Count a sweep of garbage collection."""
        self._recorded.gc_runs.labels("true" if failed else "false").inc()
        self._recorded.gc_duration.observe(seconds)

    def removed(self, kind: str, count: int = 1) -> None:
        """Count what collection removed: `manifest`, `blob` or `upload`."""
        self._recorded.gc_deleted.labels(kind).inc(count)
