"""/metrics counts each answered request once, by zot's names, over all processes, within bounds."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from loopback import ok, serve_handler
from zot.api.completed_requests import CompletedRequest
from zot.api.http_request import Handler, HttpRequest
from zot.api.metrics.maintenance import MaintenanceMetrics
from zot.api.metrics.metrics import HttpMetrics, Metrics, MetricsPage
from zot.api.metrics.registry import LATENCY_BUCKETS_S, Recorded, empty
from zot.api.metrics.state import ServerState
from zot.catalog.interface import CatalogUnavailableError
from zot.catalog.manifest_commands import PutManifest, TagMove
from zot.catalog.memory.driver import MemoryCatalog
from zot.catalog.rows import UsageRow
from zot.catalog.upload_commands import CreateUploadRow
from zot.extensions.events.deliveries import Deliveries
from zot.foundation.threads import ThreadPool
from zot.oci.digest import digest_of
from zot.oci.names import parse_reference, parse_repository, parse_tag
from zot.registry.request import PullManifest, PushManifest, Request

APP = parse_repository("team/app")
PULL = PullManifest(repository=APP, reference=parse_reference("1.0"))
PUSH = PushManifest(repository=APP, reference=parse_reference("1.0"), tags=(parse_tag("1.0"),))
INFO = {"commit": "abc", "binaryType": "metrics", "goVersion": "python3.11", "version": "1.1.1"}

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: bytes) -> Samples:
    """The series of a page, by name and labels."""
    found: Samples = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, "a series is shown twice"
            found[key] = sample.value
    return found


def value(found: Samples, name: str, /, **labels: str) -> float | None:
    """The value of one series, None if it is not there."""
    return found.get((name, tuple(sorted(labels.items()))))


@pytest.fixture
def recorded() -> Recorded:
    """The metrics of a server of one process."""
    return Recorded()


@pytest.fixture
def metrics(recorded: Recorded) -> Iterator[Metrics]:
    """What records them."""
    metrics = Metrics(recorded, connections=lambda: 7, lines_dropped=lambda: 3)
    yield metrics
    metrics.close()


@pytest.fixture
def state() -> ServerState:
    """The state of an empty server."""
    return ServerState(MemoryCatalog(), INFO, workers=2)


def answering(status: int, request: Request | None) -> Handler:
    """A handler of a parsed request that answers with a status."""

    async def handler(http: HttpRequest) -> web.StreamResponse:
        if request is not None:
            http.request = request
        return web.Response(status=status)

    return handler


async def counted(metrics: Metrics, state: ServerState, handler: Handler, *requests: tuple[str, str]) -> Samples:
    """The series after some requests."""
    async with serve_handler(handler, metrics.http.observe) as server:
        for method, target in requests:
            await server.ask(method, target)
    return samples(await metrics.text(state))


async def test_requests_are_counted_by_method_and_code(metrics: Metrics, state: ServerState) -> None:
    """Each answered request counts once for its method and status, and its time once for method and repository."""
    found = await counted(metrics, state, answering(200, PULL), ("GET", "/v2/x"), ("GET", "/v2/x"), ("HEAD", "/v2/x"))
    assert value(found, "zot_http_requests_total", method="GET", code="200") == 2
    assert value(found, "zot_http_requests_total", method="HEAD", code="200") == 1
    assert value(found, "zot_http_method_latency_seconds_count", method="GET") == 2
    assert value(found, "zot_http_method_latency_seconds_bucket", method="GET", le="600.0") == 2
    assert 0 < (value(found, "zot_http_method_latency_seconds_sum", method="GET") or 0) < 60
    assert value(found, "zot_http_repo_latency_seconds_count", repo="team/app") == 3


async def test_downloads_are_manifests_that_were_read(metrics: Metrics, state: ServerState) -> None:
    """A manifest read by GET or HEAD is a download; one that is not there, or not changed, is none."""
    found = await counted(metrics, state, answering(200, PULL), ("GET", "/v2/x"), ("HEAD", "/v2/x"))
    assert value(found, "zot_repo_downloads_total", repo="team/app") == 2
    for status in (304, 404):
        found = await counted(metrics, state, answering(status, PULL), ("GET", "/v2/x"))
        assert value(found, "zot_repo_downloads_total", repo="team/app") == 2


async def test_uploads_are_manifests_that_were_pushed(metrics: Metrics, state: ServerState) -> None:
    """A manifest that was stored is an upload; one that was refused is none."""
    for status in (201, 400):
        found = await counted(metrics, state, answering(status, PUSH), ("PUT", "/v2/x"))
    assert value(found, "zot_repo_uploads_total", repo="team/app") == 1


async def test_the_page_itself_is_not_counted(metrics: Metrics, state: ServerState) -> None:
    """Being scraped changes no HTTP metric."""
    found = await counted(metrics, state, ok, ("GET", "/metrics"), ("GET", "/metrics"))
    assert not any(name.startswith("zot_http_requests") for name, _ in found)


async def test_requests_without_a_repository_are_zots_na(metrics: Metrics, state: ServerState) -> None:
    """What is about no repository is counted as `N/A`."""
    found = await counted(metrics, state, ok, ("GET", "/v2/"))
    assert value(found, "zot_http_repo_latency_seconds_count", repo="N/A") == 1


async def test_inventions_make_no_series(metrics: Metrics, state: ServerState) -> None:
    """Methods and repositories that clients make up get no series of their own."""
    found = await counted(metrics, state, answering(404, PULL), ("GET", "/v2/x"), ("BREW", "/v2/x"), ("LINK", "/"))
    assert value(found, "zot_http_repo_latency_seconds_count", repo="team/app") is None
    assert value(found, "zot_http_repo_latency_seconds_count", repo="N/A") == 3
    assert {labels["method"] for name, pairs in found if (labels := dict(pairs)).get("method")} == {"GET", "other"}


async def test_a_known_repositorys_errors_are_its_own(metrics: Metrics, state: ServerState) -> None:
    """Once a repository has answered, its errors count as its."""
    await counted(metrics, state, answering(200, PULL), ("GET", "/v2/x"))
    found = await counted(metrics, state, answering(404, PULL), ("GET", "/v2/x"))
    assert value(found, "zot_http_repo_latency_seconds_count", repo="team/app") == 2


async def test_repositories_beyond_the_limit_are_others(recorded: Recorded, state: ServerState) -> None:
    """The number of series is bounded: repositories that come later share one."""
    metrics = Metrics(recorded, repositories_limit=2)
    for name in ("a", "b", "c", "d", "a"):
        request = PullManifest(repository=parse_repository(name), reference=parse_reference("1"))
        found = await counted(metrics, state, answering(200, request), ("GET", "/v2/x"))
    metrics.close()
    assert [value(found, "zot_repo_downloads_total", repo=name) for name in ("a", "b", "c", "other")] == [2, 1, None, 2]


class Answered:
    """As much of a request and of its answer as the metrics look at, without a connection."""

    def __init__(self, method: str, status: int, request: Request) -> None:
        self.method, self.status, self.raw_path = method, status, "/v2/"
        self.request = request


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from(["GET", "HEAD"]), st.sampled_from([200, 404]), st.floats(0, 1000), st.booleans())
    )
)
def test_nothing_is_lost_between_counting_and_recording(
    answers: list[tuple[str, int, float, bool]],
) -> None:
    """However counts are gathered before they are recorded, the totals are those of the requests."""
    recorded = Recorded()
    http = HttpMetrics(recorded, "/metrics")
    expected: dict[str, float] = defaultdict(float)
    for method, status, seconds, record_now in answers:
        answered = Answered(method, status, PULL)
        http.observe([CompletedRequest(answered, answered, seconds, 0)])  # type: ignore[arg-type]
        expected[f"requests {method} {status}"] += 1
        expected[f"seconds {method}"] += seconds
        for bound in LATENCY_BUCKETS_S:
            expected[f"within {method} {bound}"] += seconds <= bound
        if record_now:
            http.record(http.take())
    http.record(http.take())
    found = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for metric in recorded.collect()
        for sample in metric.samples
    }
    for what, total in expected.items():
        match what.split():
            case ["requests", method, code]:
                assert value(found, "zot_http_requests_total", method=method, code=code) == total
            case ["seconds", method]:
                assert value(found, "zot_http_method_latency_seconds_sum", method=method) == pytest.approx(total)
            case ["within", method, le]:
                assert value(found, "zot_http_method_latency_seconds_bucket", method=method, le=le) == total


async def test_a_process_says_how_it_is_doing(metrics: Metrics, state: ServerState) -> None:
    """Memory, processor time, connections, lost log lines; and the loop's lag once the process runs a while."""
    running = asyncio.create_task(metrics.run())
    found: Samples = {}
    while not value(found, "zot_event_loop_lag_seconds_count", process="main"):
        found = samples(await metrics.text(state))
    running.cancel()
    assert (value(found, "zot_process_resident_memory_bytes", process="main") or 0) > 1_000_000
    assert (value(found, "zot_process_cpu_seconds_total", process="main") or 0) > 0
    assert value(found, "zot_http_connections", process="main") == 7
    assert value(found, "zot_log_lines_dropped_total", process="main") == 3


async def test_upkeep_is_shown(recorded: Recorded, metrics: Metrics, state: ServerState) -> None:
    """What the jobs process tells is shown by zot's names and labels."""
    upkeep = MaintenanceMetrics(recorded)
    upkeep.generator_added()
    upkeep.generators({("high", "ready"): 1, ("low", "done"): 2})
    upkeep.workers(8, 3)
    upkeep.queued({"medium": 5})
    upkeep.task_ran("GCTask", 2.0)
    upkeep.collected(1.5, failed=False)
    upkeep.collected(0.5, failed=True)
    upkeep.removed("blob", 4)
    recorded.count_damaged("scrub")
    found = samples(await metrics.text(state))
    assert value(found, "zot_scheduler_generators_total") == 1
    assert value(found, "zot_scheduler_generators_status", priority="low", state="done") == 2
    assert value(found, "zot_scheduler_workers_total") == 8
    assert value(found, "zot_scheduler_workers", state="idle") == 5
    assert value(found, "zot_scheduler_tasksqueue_length", priority="medium") == 5
    assert value(found, "zot_scheduler_workers_tasks_duration_seconds_bucket", name="GCTask", le="5.0") == 1
    assert value(found, "zot_gc_runs_total", error="true") == 1
    assert value(found, "zot_gc_duration_seconds_sum") == 2
    assert value(found, "zot_gc_deleted_total", type="blob") == 4
    assert value(found, "zot_damaged_blobs_total", found_by="scrub") == 1


async def test_the_state_is_read_at_the_moment(metrics: Metrics, tmp_path: Path) -> None:
    """Sizes, open uploads, exports due and the log's size are those of the moment of the scrape."""
    catalog, log = MemoryCatalog(), tmp_path / "catalog.db-wal"
    state = ServerState(catalog, INFO, workers=2, write_ahead_log=log)
    found = samples(await metrics.text(state))
    assert value(found, "zot_info", **INFO) == 0
    assert value(found, "zot_http_workers") == 2
    assert value(found, "zot_catalog_up") == 1
    assert value(found, "zot_catalog_wal_bytes") == 0
    assert value(found, "zot_upload_sessions") == 0
    content = b"{}"
    tag = TagMove(tag=parse_tag("1.0"), may_create=True, may_move=True)
    await catalog.do(
        PutManifest(repository=APP, digest=digest_of(content), content=content, media_type="a/b", tags=(tag,))
    )
    await catalog.do(CreateUploadRow(repository=APP, session="s"))
    log.write_bytes(b"12345")
    found = samples(await metrics.text(state))
    assert value(found, "zot_repo_storage_bytes", repo="team/app") == 2
    assert value(found, "zot_catalog_wal_bytes") == 5
    assert value(found, "zot_upload_sessions") == 1


async def test_sizes_are_bounded(metrics: Metrics) -> None:
    """No more repositories are listed than the limit, however many there are."""
    catalog = MemoryCatalog()
    for number in range(5):
        await catalog.do(CreateUploadRow(repository=parse_repository(f"r{number}"), session=f"s{number}"))
    found = samples(await metrics.text(ServerState(catalog, INFO, workers=0, repositories_limit=3)))
    shown = [labels for name, labels in found if name == "zot_repo_storage_bytes"]
    assert shown == [(("repo", f"r{number}"),) for number in range(3)]


class AwayCatalog(MemoryCatalog):
    """A catalog that cannot be reached."""

    async def usage(self, after: str, limit: int) -> list[UsageRow]:  # noqa: ARG002
        raise CatalogUnavailableError("away")


async def test_a_catalog_that_is_away_is_said(metrics: Metrics) -> None:
    """The page is there when the catalog is not, and says so."""
    found = samples(await metrics.text(ServerState(AwayCatalog(), INFO, workers=2)))
    assert value(found, "zot_catalog_up") == 0
    assert value(found, "zot_http_workers") == 2


async def test_the_page_is_prometheus_text(metrics: Metrics, state: ServerState) -> None:
    """GET answers in Prometheus' text format, to many at once."""
    page = MetricsPage(metrics, state)
    async with serve_handler(page.get, metrics.http.observe) as server:
        answers = await asyncio.gather(*(server.ask("GET", "/metrics") for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert answers[0].headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"zot_info{" in answers[0].body


PROCESS = """
import asyncio, sys
from pathlib import Path
from zot.api.metrics.metrics import Metrics
from zot.api.metrics.registry import Recorded
from zot.api.metrics.state import ServerState
from zot.api.metrics.maintenance import MaintenanceMetrics
from zot.catalog.memory.driver import MemoryCatalog

recorded = Recorded(sys.argv[2], Path(sys.argv[1]))
recorded.requests.labels("GET", "200").inc(int(sys.argv[3]))
recorded.connections.labels(recorded.process).set(int(sys.argv[3]))
if sys.argv[2] == "jobs":
    MaintenanceMetrics(recorded).workers(8, 3)
metrics = Metrics(recorded)
print(asyncio.run(metrics.text(ServerState(MemoryCatalog(), {}, workers=2))).decode())
metrics.close()
"""


def process(directory: Path, name: str, count: int) -> Samples:
    """Run a process of a server that counts some requests, and return the page that it shows."""
    run = subprocess.run(
        [sys.executable, "-c", PROCESS, directory, name, str(count)], check=True, capture_output=True, timeout=60
    )
    return samples(run.stdout)


def test_a_page_shows_all_processes(tmp_path: Path) -> None:
    """Any process shows the sum of all, a process that replaces another counts on, and a start begins anew."""
    directory = tmp_path / "metrics"
    empty(directory)
    process(directory, "worker-0", 2)
    process(directory, "jobs", 0)
    found = process(directory, "worker-1", 3)
    assert value(found, "zot_http_requests_total", method="GET", code="200") == 5
    assert value(found, "zot_scheduler_workers_total") == 8
    assert value(found, "zot_scheduler_workers", state="working") == 3
    found = process(directory, "worker-0", 4)
    assert value(found, "zot_http_requests_total", method="GET", code="200") == 9
    assert {len(path.name.split("_")) for path in directory.iterdir()} <= {2, 3}
    empty(directory)
    found = process(directory, "worker-0", 1)
    assert value(found, "zot_http_requests_total", method="GET", code="200") == 1


DOCS = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
DASHBOARD = Path(__file__).parents[2] / "examples" / "grafana-dashboard.json"


async def shown_names(recorded: Recorded, tmp_path: Path) -> dict[str, str]:
    """Every metric that a page can show, with its type."""
    catalog, threads = MemoryCatalog(), ThreadPool("events", 1, 8)
    events = Deliveries({}, catalog, tmp_path / "events.db", threads)
    state = ServerState(catalog, INFO, workers=2, write_ahead_log=tmp_path / "log", events=events)
    families = [*recorded.collect(), *state.of_server(), *await state.of_catalog()]
    threads.close()
    return {family.name + ("_total" if family.type == "counter" else ""): family.type for family in families}


async def test_every_metric_is_documented(recorded: Recorded, tmp_path: Path) -> None:
    """The reference has a row for each metric, with its type, and for no other."""
    rows = dict(re.findall(r"^\| `(zot_\w+)` \| (\w+) \|", DOCS.read_text(), re.MULTILINE))
    assert rows == await shown_names(recorded, tmp_path)


async def test_the_dashboard_shows_metrics_that_exist(recorded: Recorded, tmp_path: Path) -> None:
    """Each query of the dashboard names metrics of this server only."""
    names = await shown_names(recorded, tmp_path)
    queries = re.findall(r"zot_\w+", json.dumps(json.loads(DASHBOARD.read_text())))
    assert queries
    assert {re.sub(r"_(sum|count|bucket)$", "", query) for query in queries} <= names.keys()
