"""How results are shown: zot's text and `ci-cd.json`, one JSON document, and the side-by-side table."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from zot.zb.blobs import LABELS, USUAL_SIZES
from zot.zb.compare import Comparison
from zot.zb.statistics import FIRST_BYTE_NAMES, Summary, geometric_mean
from zot.zb.workloads import Workload

Rows = Sequence[tuple[str, object]]

CI_CD_FILE = "ci-cd.json"


def header(rows: Rows) -> str:
    """Return what stands above all results."""
    return _blocks([rows])


def text(workload: Workload, summary: Summary) -> str:
    """Return the figures of one workload in zot's form: blocks of `name: value`, each ended by an empty line."""
    blocks: list[list[tuple[str, object]]] = [
        [
            ("Test name:", summary.name),
            ("Time taken for tests:", duration(summary.total_ns)),
            ("Requests per second:", f"{summary.per_second:.8g}"),
            ("Complete requests:", summary.requests - summary.failed),
            ("Failed requests:", summary.failed),
            *(("Error", f"{reason} count: {count}") for reason, count in sorted(summary.errors.items())),
        ]
    ]
    if workload.mixes_sizes:
        blocks.append([(f"{LABELS[size]}:", summary.counts[LABELS[size]]) for size in USUAL_SIZES])
    if workload.mixes_pulls:
        blocks.append([(f"{kind}:", summary.counts[kind]) for kind in ("Pull", "Push")])
    blocks.append([(f"{kind} responses:", count) for kind, count in sorted(summary.statuses.items())])
    blocks.append([("min:", duration(summary.min_ns)), ("max:", duration(summary.max_ns))])
    blocks[-1] += [(f"p{percent}:", duration(value)) for percent, value in summary.percentiles_ns.items()]
    for kind, name in FIRST_BYTE_NAMES.items():
        times = summary.first_bytes_ns.get(kind, {})
        blocks.append([(f"{name} TTFB p{percent}:", duration(value)) for percent, value in times.items()])
    return "============\n" + _blocks(blocks)


def side_by_side_header(widest: int) -> str:
    """Return the head of the side-by-side table, whose first column is `widest` characters wide."""
    rates, latencies = f"{'A req/s':>10} {'B req/s':>10} {'A/B':>6}", f"{'A p50 ms':>10} {'B p50 ms':>10} {'B/A':>6}"
    return f"{'':{widest}}  {rates}  {latencies}  failed"


def side_by_side(comparison: Comparison, widest: int) -> str:
    """Return one line of the side-by-side table."""
    ours, theirs = comparison.ours, comparison.theirs
    return (
        f"{comparison.name:{widest}}"
        f"  {ours.per_second:10.2f} {theirs.per_second:10.2f} {comparison.rate_ratio:6.2f}"
        f"  {ours.percentiles_ns[50] / 1e6:10.2f} {theirs.percentiles_ns[50] / 1e6:10.2f}"
        f" {comparison.latency_ratio:6.2f}  {comparison.failed:6}"
    )


def side_by_side_footer(comparisons: Sequence[Comparison], widest: int) -> str:
    """Return the last line of the side-by-side table: the geometric means of the ratios."""
    rates, latencies = _means(comparisons)
    return f"{'Geometric mean':{widest}}  {'':21} {rates:6.2f}  {'':21} {latencies:6.2f}"


def _means(comparisons: Sequence[Comparison]) -> tuple[float, float]:
    return (
        geometric_mean(each.rate_ratio for each in comparisons),
        geometric_mean(each.latency_ratio for each in comparisons),
    )


def write_ci_cd(summaries: Iterable[Summary], directory: Path) -> Path:
    """Write `ci-cd.json`, the form that benchmark dashboards of continuous integration read; return its path."""
    path = directory / CI_CD_FILE
    rows = [
        {"name": each.name, "unit": "requests per sec", "value": each.per_second, "range": "3"} for each in summaries
    ]
    path.write_text(json.dumps(rows))
    path.chmod(0o600)
    return path


def as_json(summary: Summary) -> dict[str, Any]:
    """Return the figures of one workload for JSON, times in milliseconds."""
    return {
        "name": summary.name,
        "requests": summary.requests,
        "failed": summary.failed,
        "errors": summary.errors,
        "total_ms": summary.total_ns / 1e6,
        "per_second": summary.per_second,
        "min_ms": summary.min_ns / 1e6,
        "max_ms": summary.max_ns / 1e6,
        "percentiles_ms": _milliseconds(summary.percentiles_ns),
        "first_bytes_ms": {kind: _milliseconds(times) for kind, times in summary.first_bytes_ns.items()},
        "statuses": summary.statuses,
        "counts": summary.counts,
    }


def side_by_side_json(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Return the side-by-side table for JSON."""
    rates, latencies = _means(comparisons)
    rows = [
        {
            "a": as_json(each.ours),
            "b": as_json(each.theirs),
            "rate_ratio": each.rate_ratio,
            "latency_ratio": each.latency_ratio,
        }
        for each in comparisons
    ]
    return {"workloads": rows, "mean_rate_ratio": rates, "mean_latency_ratio": latencies}


def duration(nanoseconds: int) -> str:
    """Return a duration in Go's form, such as `402.259µs` or `1m2.5s`."""
    for unit, size in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if nanoseconds < size * 1000:
            return f"{_trimmed(nanoseconds, size)}{unit}"
    minutes, rest = divmod(nanoseconds, 60_000_000_000)
    seconds = f"{_trimmed(rest, 1_000_000_000)}s"
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def _trimmed(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = len(str(unit)) - 1
    return f"{whole}.{rest:0{digits}}".rstrip("0").rstrip(".") if digits else str(whole)


def _milliseconds(times: Mapping[int, int]) -> dict[str, float]:
    return {f"p{percent}": value / 1e6 for percent, value in times.items()}


def _short(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e6:8.2f}ms"


def _blocks(blocks: Iterable[Rows]) -> str:
    lines = []
    for rows in filter(None, blocks):
        width = max(len(name) for name, _ in rows)
        lines += [f"{name:{width}} {value}" for name, value in rows] + [""]
    return "\n".join(lines)
