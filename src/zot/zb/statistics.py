"""From what clients saw to the figures that are reported. Times are in nanoseconds."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from zot.zb.pull import FirstBytes

PERCENTILES = (50, 75, 90, 99)
FIRST_BYTE_NAMES = {
    "manifest_head": "Manifest HEAD",
    "manifest_get": "Manifest GET",
    "config": "Config",
    "layer": "Layer",
}


@dataclass(frozen=True)
class Record:
    """One measured request: `status` is the last one seen, 0 without an answer; `error` is None if all went well."""

    latency_ns: int
    status: int
    error: str | None = None
    first_bytes: FirstBytes | None = None


@dataclass(frozen=True)
class Summary:
    """The figures of one run of one workload."""

    name: str
    total_ns: int
    """The whole workload: preparation, requests and cleanup, as zot's own zb counts it."""
    requests: int
    failed: int
    min_ns: int
    max_ns: int
    percentiles_ns: Mapping[int, int]
    first_bytes_ns: Mapping[str, Mapping[int, int]]
    """Kind of request -> its percentiles: of workloads that pull."""
    statuses: Counter[str]
    """`2xx` and so on -> how often a request ended with such a status."""
    errors: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    """How often each size, or pull and push, was drawn."""

    @property
    def per_second(self) -> float:
        """Requests a second of the whole workload."""
        return self.requests / (self.total_ns / 1e9)


def summarize(name: str, total_ns: int, records: list[Record], counts: Counter[str]) -> Summary:
    """Return the figures of at least one record."""
    latencies = sorted(record.latency_ns for record in records)
    return Summary(
        name=name,
        total_ns=total_ns,
        requests=len(records),
        failed=sum(record.error is not None for record in records),
        min_ns=latencies[0],
        max_ns=latencies[-1],
        percentiles_ns=percentiles(latencies),
        first_bytes_ns=_first_bytes(records),
        statuses=Counter(f"{record.status // 100}xx" for record in records if record.status),
        errors=Counter(record.error for record in records if record.error is not None),
        counts=counts,
    )


def percentiles(ordered: list[int]) -> dict[int, int]:
    """Return the value below which each percentage of the ordered values lies: the nearest, none between two."""
    return {percent: ordered[len(ordered) * percent // 100] for percent in PERCENTILES}


def geometric_mean(values: Iterable[float]) -> float:
    """Return the mean of ratios; of no values it is not a number."""
    logarithms = [math.log(value) for value in values]
    return math.exp(sum(logarithms) / len(logarithms)) if logarithms else math.nan


def _first_bytes(records: list[Record]) -> dict[str, dict[int, int]]:
    kinds: dict[str, list[int]] = {name: [] for name in FIRST_BYTE_NAMES}
    for record in records:
        for name, times in kinds.items():
            times.extend(getattr(record.first_bytes, name, ()))
    return {name: percentiles(sorted(times)) for name, times in kinds.items() if times}
