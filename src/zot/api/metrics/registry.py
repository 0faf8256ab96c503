"""What is recorded as it happens: every such metric, by zot's names, and where the values of a process are kept."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, Summary, values
from prometheus_client.multiprocess import MultiProcessCollector

LATENCY_BUCKETS_S = (0.05, 0.5, 1.0, 5.0, 30.0, 60.0, 600.0)
"""zot's."""
LAG_BUCKETS_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)


def empty(directory: Path) -> None:
    """Make the directory of a server's values, or empty it: to be called at start, before any process records."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in directory.glob("*.db"):
        file.unlink()


class Recorded:
    """The metrics that a process records, with the values of all processes of the server."""

    def __init__(self, process: str = "main", directory: Path | None = None) -> None:
        """Take the name of the process and the directory of the server's values; None: it is the only process.

        One a process with a directory. The name is that of the role, `worker-0`: a process that replaces another counts
        on from its values, and one that died leaves no file behind.
        """
        self.process = process
        self._directory = directory
        if directory is not None:
            _keep_values_in(directory, process)
        registry = self._registry = CollectorRegistry()

        self.requests = Counter("zot_http_requests", "Requests answered.", ["method", "code"], registry=registry)
        self.method_latency = Histogram(
            "zot_http_method_latency_seconds",
            "Time from a request's headers to the end of its answer, by method.",
            ["method"],
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.repository_latency = Summary(
            "zot_http_repo_latency_seconds",
            "Time from a request's headers to the end of its answer, by repository.",
            ["repo"],
            registry=registry,
        )
        self.downloads = Counter("zot_repo_downloads", "Manifests read, by GET and HEAD.", ["repo"], registry=registry)
        self.uploads = Counter("zot_repo_uploads", "Manifests pushed.", ["repo"], registry=registry)

        self.generators = Counter(
            "zot_scheduler_generators", "Kinds of tasks that the scheduler was given.", registry=registry
        )
        self.generators_status = _gauge(
            "zot_scheduler_generators_status", "Kinds of tasks, by priority and state.", ["priority", "state"], registry
        )
        self.scheduler_workers_total = _gauge(
            "zot_scheduler_workers_total", "Tasks that may run at once.", [], registry
        )
        self.scheduler_workers = _gauge(
            "zot_scheduler_workers", "Places for tasks, by state: idle or working.", ["state"], registry
        )
        self.tasks_queued = _gauge(
            "zot_scheduler_tasksqueue_length", "Tasks that wait, by priority.", ["priority"], registry
        )
        self.task_duration = Histogram(
            "zot_scheduler_workers_tasks_duration_seconds",
            "How long tasks took, by name.",
            ["name"],
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.gc_runs = Counter("zot_gc_runs", "Sweeps of garbage collection.", ["error"], registry=registry)
        self.gc_duration = Summary("zot_gc_duration_seconds", "How long sweeps took.", registry=registry)
        self.gc_deleted = Counter(
            "zot_gc_deleted", "What collection removed: manifest, blob or upload.", ["type"], registry=registry
        )

        self.damaged = Counter(
            "zot_damaged_blobs",
            "Content found missing or damaged, by what found it: pull, push, mount, scrub, import or export.",
            ["found_by"],
            registry=registry,
        )

        self.loop_lag = Histogram(
            "zot_event_loop_lag_seconds",
            "How late the event loop came back to a timer, once a second.",
            ["process"],
            buckets=LAG_BUCKETS_S,
            registry=registry,
        )
        self.memory = _gauge("zot_process_resident_memory_bytes", "Memory that a process holds.", ["process"], registry)
        self.cpu = Counter(
            "zot_process_cpu_seconds", "Processor time that a process used.", ["process"], registry=registry
        )
        self.connections = _gauge("zot_http_connections", "Open connections of clients.", ["process"], registry)
        self.lines_dropped = Counter(
            "zot_log_lines_dropped", "Log lines lost because the disk did not keep up.", ["process"], registry=registry
        )

    def count_damaged(self, found_by: str) -> None:
        """Count a damaged blob."""
        self.damaged.labels(found_by).inc()

    def collect(self) -> Iterable[Metric]:
        """Return the values of all processes. Reads files: for a thread, not for the event loop."""
        if self._directory is not None:
            collector = MultiProcessCollector(None, path=str(self._directory))  # type: ignore[no-untyped-call]
            return list(collector.collect())  # type: ignore[no-untyped-call]
        metrics = list(self._registry.collect())
        for metric in metrics:
            # When a series began is no part of zot's metrics, and is not known of several processes.
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
        return metrics


def _gauge(name: str, documentation: str, labels: Sequence[str], registry: CollectorRegistry) -> Gauge:
    """Return a gauge that one process sets, whichever: the others' zeros add nothing."""
    return Gauge(name, documentation, labels, registry=registry, multiprocess_mode="sum")


def _keep_values_in(directory: Path, process: str) -> None:
    """Let metrics made from now on keep their values in files of the directory, named by `process`."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    values.ValueClass = values.MultiProcessValue(lambda: process)  # type: ignore[no-untyped-call]
