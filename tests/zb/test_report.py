import json
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zot.zb import report
from zot.zb.statistics import Record, Summary, summarize
from zot.zb.workloads import SUITE

UNITS_NS = {"h": 3_600_000_000_000, "m": 60_000_000_000, "s": 1_000_000_000, "ms": 1_000_000, "µs": 1_000, "ns": 1}


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (1, "1ns"),
        (402_259, "402.259µs"),
        (45_397_205, "45.397205ms"),
        (2_000_000, "2ms"),
        (1_444_024_183, "1.444024183s"),
        (62_500_000_000, "1m2.5s"),
        (3_600_000_000_000, "1h0m0s"),
    ],
)
def test_durations_are_written_as_go_writes_them(nanoseconds: int, text: str) -> None:
    """Scripts that read zot's zb read these as well."""
    assert report.duration(nanoseconds) == text


@given(st.integers(1, 10**14))
def test_a_duration_says_every_nanosecond(nanoseconds: int) -> None:
    """Nothing is rounded away: the parts of the text add up to the duration."""
    parts = re.findall(r"(\d+)(?:\.(\d+))?(h|ms|m|µs|ns|s)", report.duration(nanoseconds))
    total = sum(int(whole + rest) * UNITS_NS[unit] // 10 ** len(rest) for whole, rest, unit in parts)
    assert total == nanoseconds


def summary_of(name: str, counts: dict[str, int] | None = None) -> Summary:
    """Return the figures of two requests, of which one failed."""
    records = [Record(1_000_000, 201), Record(2_500_000, 500, "PUT was answered with 500, not 201")]
    return summarize(name, 4_000_000_000, records, Counter(counts or {}))


def test_the_text_has_zots_lines() -> None:
    """Names and order of the lines are those of zot's zb, values aligned block by block."""
    (workload,) = (each for each in SUITE if each.name == "Pull 75% and Push 25% Mixed 1MB")
    assert report.text(workload, summary_of(workload.name, {"Pull": 1, "Push": 1})) == (
        "============\n"
        "Test name:            Pull 75% and Push 25% Mixed 1MB\n"
        "Time taken for tests: 4s\n"
        "Requests per second:  0.5\n"
        "Complete requests:    1\n"
        "Failed requests:      1\n"
        "Error                 PUT was answered with 500, not 201 count: 1\n"
        "\n"
        "Pull: 1\n"
        "Push: 1\n"
        "\n"
        "2xx responses: 1\n"
        "5xx responses: 1\n"
        "\n"
        "min: 1ms\n"
        "max: 2.5ms\n"
        "p50: 2.5ms\n"
        "p75: 2.5ms\n"
        "p90: 2.5ms\n"
        "p99: 2.5ms\n"
    )


def test_ci_cd_has_zots_form(tmp_path: Path) -> None:
    """Benchmark dashboards find name, unit, value and range, in a file that only its owner reads."""
    path = report.write_ci_cd([summary_of("Pull 1MB")], tmp_path)
    assert path == tmp_path / "ci-cd.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text()) == [
        {"name": "Pull 1MB", "unit": "requests per sec", "value": 0.5, "range": "3"}
    ]
