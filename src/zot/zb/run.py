"""One run of `zb`: prepare the blobs, start the clients, run the workloads, show what came of it."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from zot.zb import blobs, load, report
from zot.zb.client import TestedRegistry
from zot.zb.compare import Comparison, compare
from zot.zb.load import Load
from zot.zb.statistics import Summary
from zot.zb.workloads import SUITE, Workload, selected


@dataclass(frozen=True)
class Options:
    """What the command line asked for: a field is the option of its name."""

    url: str
    auth_creds: str | None = None
    concurrency: int = 1
    requests: int = 1
    working_dir: Path = Path()
    repo: str = ""
    output_format: str = "stdout"
    source_ips: Sequence[str] = ()
    skip_cleanup: bool = False
    test_regex: re.Pattern[str] | None = None
    upstream_server_url: str | None = None
    against: str | None = None
    against_auth_creds: str | None = None
    rounds: int = 3
    shrink: int = 1

    @property
    def registry(self) -> TestedRegistry:
        """The registry to measure."""
        return TestedRegistry(self.url, self.auth_creds)

    @property
    def rival(self) -> TestedRegistry | None:
        """The second registry of a side-by-side run."""
        return TestedRegistry(self.against, self.against_auth_creds) if self.against else None

    @property
    def upstream(self) -> TestedRegistry | None:
        """The registry that the first one syncs from."""
        return TestedRegistry(self.upstream_server_url, self.auth_creds) if self.upstream_server_url else None

    @property
    def workloads(self) -> list[Workload]:
        """The workloads to run: those that sync need an upstream."""
        return [workload for workload in selected(self.test_regex) if self.upstream or not workload.syncs]

    @property
    def whole_requests(self) -> int:
        """The number of requests that every client has the same share of."""
        return self.requests - self.requests % self.concurrency


def run(options: Options) -> bool:
    """Run the workloads asked for and show their results; tell whether every request succeeded.

    Raises RequestError when a workload's preparation or cleanup fails, OSError when the blobs cannot be made.
    """
    show = _Display(options.output_format)
    show.lines(report.header(_settings(options)))
    for workload in SUITE:
        if workload not in options.workloads:
            show.lines(f"Skipping test {workload.name}")
    show.lines("Preparing test data ...")
    with _clients(options) as clients:
        show.lines("Starting tests ...")
        if options.rival:
            return _run_both(options, options.rival, clients, show)
        return _run_one(options, clients, show)


class _Display:
    """Shows text as it comes, unless one JSON document is wanted at the end."""

    def __init__(self, output_format: str) -> None:
        self._wants_text = output_format != "json"

    def lines(self, text: str) -> None:
        if self._wants_text:
            print(text, flush=True)

    def document(self, value: object) -> None:
        if not self._wants_text:
            print(json.dumps(value, indent=2))


@contextmanager
def _clients(options: Options) -> Iterator[Load]:
    sizes = {size for workload in options.workloads for size in workload.sizes}
    with blobs.prepared(sizes, options.working_dir, options.shrink) as made:
        plan = load.Plan(
            concurrency=options.concurrency,
            requests=options.whole_requests,
            blobs=made,
            upstream=options.upstream,
            prefix=options.repo.strip("/"),
            source_ips=options.source_ips,
            cleanup=not options.skip_cleanup,
        )
        with load.started(plan) as clients:
            yield clients


def _run_one(options: Options, clients: Load, show: _Display) -> bool:
    summaries: list[Summary] = []
    for workload in options.workloads:
        summary = clients.run(workload, options.registry)
        show.lines(report.text(workload, summary))
        summaries.append(summary)
    show.document([report.as_json(summary) for summary in summaries])
    if options.output_format == "ci-cd":
        report.write_ci_cd(summaries, Path())
    return not any(summary.failed for summary in summaries)


def _run_both(options: Options, rival: TestedRegistry, clients: Load, show: _Display) -> bool:
    widest = max(len(workload.name) for workload in options.workloads)
    show.lines(report.side_by_side_header(widest))
    comparisons: list[Comparison] = []
    for workload in options.workloads:
        comparison = compare(clients, workload, options.registry, rival, options.rounds)
        show.lines(report.side_by_side(comparison, widest))
        comparisons.append(comparison)
    show.lines(report.side_by_side_footer(comparisons, widest))
    show.document(report.side_by_side_json(comparisons))
    if options.output_format == "ci-cd":
        report.write_ci_cd([comparison.ours for comparison in comparisons], Path())
    return not any(comparison.failed for comparison in comparisons)


def _settings(options: Options) -> list[tuple[str, object]]:
    rows = [
        ("Registry URL:", options.url),
        ("Against:", options.against),
        ("Upstream Registry URL:", options.upstream_server_url),
        ("Concurrency Level:", options.concurrency),
        ("Total requests:", options.whole_requests),
        ("Working dir:", options.working_dir.absolute()),
        ("Blob sizes divided by:", options.shrink if options.shrink > 1 else None),
    ]
    return [(name, value) for name, value in rows if value is not None]
