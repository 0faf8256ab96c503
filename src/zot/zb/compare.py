"""Two registries side by side: each workload runs alternately against both, so that a busy minute hits both."""

from dataclasses import dataclass

from zot.zb.client import TestedRegistry
from zot.zb.load import Load
from zot.zb.statistics import Summary
from zot.zb.workloads import Workload


@dataclass(frozen=True)
class Comparison:
    """One workload against both: of each the run with the median of requests a second."""

    name: str
    ours: Summary
    theirs: Summary
    failed: int
    """Requests that failed in any run against either."""

    @property
    def rate_ratio(self) -> float:
        """How many times as many requests a second the first registry does: preparation and cleanup included."""
        return self.ours.per_second / self.theirs.per_second

    @property
    def latency_ratio(self) -> float:
        """How many times as long the second registry takes for a request: the median of the requests alone."""
        return self.theirs.percentiles_ns[50] / self.ours.percentiles_ns[50]


def compare(load: Load, workload: Workload, ours: TestedRegistry, theirs: TestedRegistry, rounds: int) -> Comparison:
    """Run the workload `rounds` times against each registry, the order changing from round to round.

    Raises RequestError when preparation or cleanup fails.
    """
    runs: dict[TestedRegistry, list[Summary]] = {ours: [], theirs: []}
    for number in range(rounds):
        for registry in (ours, theirs) if number % 2 == 0 else (theirs, ours):
            runs[registry].append(load.run(workload, registry, seed=number))
    failed = sum(summary.failed for summaries in runs.values() for summary in summaries)
    return Comparison(workload.name, _median(runs[ours]), _median(runs[theirs]), failed)


def _median(summaries: list[Summary]) -> Summary:
    return sorted(summaries, key=lambda summary: summary.per_second)[len(summaries) // 2]
