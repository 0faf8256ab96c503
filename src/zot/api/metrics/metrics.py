"""/metrics: what a process counts while it answers, and the page that shows all processes' counts."""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aiohttp import web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, Histogram, Metric, Summary, generate_latest
from prometheus_client.registry import Collector

from zot.api.completed_requests import CompletedRequest
from zot.api.http_request import HttpRequest
from zot.api.metrics.registry import LATENCY_BUCKETS_S, Recorded
from zot.api.metrics.state import REPOSITORIES_LIMIT, ServerState
from zot.registry.request import PullManifest, PushManifest

NO_REPOSITORY = "N/A"
"""zot's label of requests that are not about a repository."""
OTHER = "other"

_PERIOD_S = 1.0
_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"})
_STATM = Path("/proc/self/statm")


class _Tally:
    """What was counted of requests that differ in nothing that a metric shows."""

    __slots__ = ("buckets", "count", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(LATENCY_BUCKETS_S) + 1)

    def add(self, seconds: float) -> None:
        self.count += 1
        self.seconds += seconds
        self.buckets[bisect_left(LATENCY_BUCKETS_S, seconds)] += 1


# Method, status, class of the typed request, repository.
_Tallies = dict[tuple[str, int, type, str | None], _Tally]


class HttpMetrics:
    """Counts answered requests: in plain dictionaries while they are answered, in the metrics once a second."""

    def __init__(self, recorded: Recorded, path: str, repositories_limit: int = REPOSITORIES_LIMIT) -> None:
        """Take the metrics, and the path whose own requests are not counted."""
        self._recorded = recorded
        self.path = path
        self._repositories: set[str] = set()
        self._limit = repositories_limit
        self._tallies: _Tallies = {}

    def observe(self, answered: Sequence[CompletedRequest]) -> None:
        """Count answered requests."""
        tallies = self._tallies
        for http, response, seconds, _ in answered:
            if http.raw_path == self.path:
                continue
            request = http.request
            key = (http.method, response.status, type(request), getattr(request, "repository", None))
            tally = tallies.get(key)
            if tally is None:
                tally = tallies[key] = _Tally()
            tally.add(seconds)

    def take(self) -> _Tallies:
        """Return what was counted since the last time. In the thread that calls `observe`."""
        tallies, self._tallies = self._tallies, {}
        return tallies

    def record(self, tallies: _Tallies) -> None:
        """Add to the metrics what `take` returned. In any thread, one at a time."""
        recorded = self._recorded
        for (method, status, kind, repository), tally in tallies.items():
            method_label = method if method in _METHODS else OTHER
            label = self._label(repository, status)
            recorded.requests.labels(method_label, str(status)).inc(tally.count)
            _add_to_histogram(recorded.method_latency.labels(method_label), tally)
            _add_to_summary(recorded.repository_latency.labels(label), tally)
            if kind is PullManifest and status == 200:
                recorded.downloads.labels(label).inc(tally.count)
            elif kind is PushManifest and status == 201:
                recorded.uploads.labels(label).inc(tally.count)

    def _label(self, repository: str | None, status: int) -> str:
        """Return the label of a repository: its name, once it has answered something and as long as there is room."""
        if repository is None or repository in self._repositories:
            return repository or NO_REPOSITORY
        if status >= 400:
            return NO_REPOSITORY
        if len(self._repositories) >= self._limit:
            return OTHER
        self._repositories.add(repository)
        return repository


def _add_to_histogram(histogram: Histogram, tally: _Tally) -> None:
    # The library observes one value at a time, which would cost more than answering the request.
    for bucket, count in zip(histogram._buckets, tally.buckets, strict=True):  # noqa: SLF001
        if count:
            bucket.inc(count)
    histogram._sum.inc(tally.seconds)  # noqa: SLF001


def _add_to_summary(summary: Summary, tally: _Tally) -> None:
    summary._count.inc(tally.count)  # noqa: SLF001
    summary._sum.inc(tally.seconds)  # noqa: SLF001


class Metrics:
    """The metrics of one process: what it records, and how it is doing."""

    def __init__(
        self,
        recorded: Recorded,
        path: str = "/metrics",
        *,
        connections: Callable[[], int] = int,
        lines_dropped: Callable[[], int] = int,
        settle: Callable[[], None] = lambda: None,
        repositories_limit: int = REPOSITORIES_LIMIT,
    ) -> None:
        """Take what tells the number of open connections, and of log lines lost so far.

        `settle` passes the requests that were answered so far to `http`.
        """
        self.http = HttpMetrics(recorded, path, repositories_limit)
        self._recorded = recorded
        self._connections, self._lines_dropped, self._settle = connections, lines_dropped, settle
        self._cpu_s, self._dropped = 0.0, 0
        # All that reads or writes files, one after the other.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="metrics")

    async def run(self) -> None:
        """Record once a second, until cancelled."""
        loop = asyncio.get_running_loop()
        lag = self._recorded.loop_lag.labels(self._recorded.process)
        while True:
            due_s = loop.time() + _PERIOD_S
            await asyncio.sleep(_PERIOD_S)
            lag.observe(max(0.0, loop.time() - due_s))
            await loop.run_in_executor(self._thread, self._record, self.http.take(), self._connections())

    async def text(self, state: ServerState) -> bytes:
        """Return all metrics in Prometheus' text format: other processes' as of their last second."""
        of_catalog = await state.of_catalog()
        self._settle()
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, self._render, self.http.take(), self._connections(), state, of_catalog
        )

    def close(self) -> None:
        """Stop the thread."""
        self._thread.shutdown()

    def _render(self, tallies: _Tallies, connections: int, state: ServerState, of_catalog: list[Metric]) -> bytes:
        self._record(tallies, connections)
        return generate_latest(_SnapshotCollector([*self._recorded.collect(), *state.of_server(), *of_catalog]))

    def _record(self, tallies: _Tallies, connections: int) -> None:
        self.http.record(tallies)
        recorded, process = self._recorded, self._recorded.process
        recorded.connections.labels(process).set(connections)
        recorded.memory.labels(process).set(_resident_bytes())
        cpu_s, dropped = time.process_time(), self._lines_dropped()
        recorded.cpu.labels(process).inc(cpu_s - self._cpu_s)
        recorded.lines_dropped.labels(process).inc(dropped - self._dropped)
        self._cpu_s, self._dropped = cpu_s, dropped


class MetricsPage:
    """GET of the metrics' path, for clients that the authorizer has let in."""

    def __init__(self, metrics: Metrics, state: ServerState) -> None:
        """Take what is shown."""
        self._metrics = metrics
        self._state = state
        self._scrape: asyncio.Task[bytes] | None = None

    async def get(self, http: HttpRequest) -> web.Response:
        """Answer with all metrics. Who asks while a page is made gets that page: asking often costs no more."""
        del http
        if self._scrape is None or self._scrape.done():
            self._scrape = asyncio.get_running_loop().create_task(self._metrics.text(self._state))
        body = await asyncio.shield(self._scrape)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


class _SnapshotCollector(Collector):
    """Metrics at hand, in the form that the library renders."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _resident_bytes() -> int:
    """Return the memory that this process holds; where the system does not tell, the most that it ever held."""
    try:
        pages = int(_STATM.read_bytes().split()[1])
    except FileNotFoundError:
        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return largest if sys.platform == "darwin" else largest * 1024
    return pages * resource.getpagesize()
