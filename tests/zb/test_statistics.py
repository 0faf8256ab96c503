import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zot.zb.pull import FirstBytes
from zot.zb.statistics import Record, geometric_mean, percentiles, summarize


@given(st.lists(st.integers(1, 10**12), min_size=1))
def test_percentiles_are_measured_values_in_order(latencies: list[int]) -> None:
    """Every percentile is a value that was measured, and a higher one is never smaller."""
    ordered = sorted(latencies)
    found = list(percentiles(ordered).values())
    assert found == sorted(found)
    assert set(found) <= set(ordered)


@given(st.lists(st.floats(0.01, 100), min_size=1))
def test_the_mean_of_ratios_turns_with_the_sides(ratios: list[float]) -> None:
    """Swapping the two registries inverts the geometric mean."""
    assert geometric_mean(1 / ratio for ratio in ratios) == pytest.approx(1 / geometric_mean(ratios))


def test_the_mean_of_nothing_is_no_number() -> None:
    """No ratios give no mean, and no error."""
    assert math.isnan(geometric_mean([]))


def test_a_summary_counts_failures_and_statuses() -> None:
    """A request fails by an error, whatever its status; without an answer it has no status."""
    first_bytes = FirstBytes(manifest_head=[3, 1, 2])
    records = [Record(20, 200, None, first_bytes), Record(10, 500, "GET failed"), Record(30, 0, "no answer")]
    summary = summarize("Pull 1MB", 2_000_000_000, records, Counter())
    assert (summary.requests, summary.failed, summary.per_second) == (3, 2, 1.5)
    assert (summary.min_ns, summary.percentiles_ns[50], summary.max_ns) == (10, 20, 30)
    assert summary.statuses == {"2xx": 1, "5xx": 1}
    assert summary.errors == {"GET failed": 1, "no answer": 1}
    assert summary.first_bytes_ns == {"manifest_head": {50: 2, 75: 3, 90: 3, 99: 3}}
