"""Processor time of the server's processes for each request of zb's workloads."""

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median

from bench import process_tree
from bench.context import Context
from bench.figures import Figure, Sample
from bench.registries import Registry

CONCURRENCY = 8


@dataclass
class _Cost:
    """What the runs of a workload on one registry gave."""

    per_second: list[float] = field(default_factory=list)
    processor_ms: list[dict[str, float]] = field(default_factory=list)
    """Of each run: kind of process -> processor time a request."""

    def total_ms(self) -> Sample:
        return Sample.of(sum(run.values()) for run in self.processor_ms)

    def of_ms(self, kind: str) -> float:
        return median(run.get(kind, 0.0) for run in self.processor_ms)

    def kinds(self) -> list[str]:
        return sorted({kind for run in self.processor_ms for kind in run}, key=self.of_ms, reverse=True)


def measuring(workload: str, requests: int, aim_ms: str = "") -> Callable[[Context], Iterator[Figure]]:
    """Return the measurement of one of zb's workloads with that many requests."""

    def measure(context: Context) -> Iterator[Figure]:
        runs = 1 if context.quick else 3
        with context.both("processor-time") as registries:
            costs = {name: (registry, _Cost()) for name, registry in registries.items() if registry.process}
            for registry, _ in costs.values():
                process_tree.settle(registry.pid)
            for _ in range(runs):
                for name, (registry, cost) in costs.items():
                    context.say(f"processor time: {workload} on {name}")
                    _measure_once(context, registry, workload, requests, cost)
        yield from _figures(context.zot.name, workload, {name: cost for name, (_, cost) in costs.items()}, aim_ms)

    measure.__doc__ = f"""Run zb's "{workload}" with {CONCURRENCY} clients, on both in turns; divide all processor time.

    It is that of all processes of the server, divided by the requests. What a server does later for a request, such as
    an export, is waited for and counts. What each client does once, such as pushing what it pulls, is measured by a run
    of one request each, and subtracted.
    """
    return measure


def _measure_once(context: Context, registry: Registry, workload: str, requests: int, cost: _Cost) -> None:
    requests = requests // 4 if context.quick else requests
    once_ms, _ = _run(context, registry, workload, CONCURRENCY)
    used_ms, per_second = _run(context, registry, workload, CONCURRENCY + requests)
    used_ms.subtract(once_ms)
    cost.processor_ms.append({kind: max(0.0, used / requests) for kind, used in used_ms.items()})
    cost.per_second.append(per_second)


def _run(context: Context, registry: Registry, workload: str, requests: int) -> tuple[Counter[str], float]:
    """Run a workload and return the processor time that it took the server, and its requests a second."""
    before_ms = process_tree.processor_ms(registry.pid)
    options = ["-c", str(CONCURRENCY), "-n", str(requests), "-d", str(context.folder), "-o", "json", "--skip-cleanup"]
    shrink = ["--shrink", "16"] if context.quick and "100MB" in workload else []
    command = [sys.executable, "-m", "zot.zb", *options, *shrink, "-t", f"^{re.escape(workload)}$", registry.url]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    process_tree.settle(registry.pid)
    used_ms = process_tree.processor_ms(registry.pid)
    used_ms.subtract(before_ms)
    [summary] = json.loads(done.stdout)
    return used_ms, summary["per_second"]


def _figures(ours: str, workload: str, costs: Mapping[str, _Cost], aim_ms: str) -> Iterator[Figure]:
    """Yield the rate and the processor time of both, and then ours by kind of process."""
    rates = {name: Sample.of(cost.per_second) for name, cost in costs.items()}
    yield Figure(f"{workload}, rate", "/s", rates.pop(ours), rates)
    times = {name: cost.total_ms() for name, cost in costs.items()}
    yield Figure(f"{workload}, processor time", "ms", times.pop(ours), times, more_is_better=False, aim=aim_ms)
    for kind in costs[ours].kinds():
        part = Sample.of([costs[ours].of_ms(kind)])
        yield Figure(f"{workload}, of it {kind}", "ms", part, more_is_better=False)
