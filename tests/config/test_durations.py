"""Durations are parsed and formatted as in Go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zot.config.durations import format_ns, format_seconds, parse_ns

GO_LIMIT_NS = 2**63 - 1

WRITTEN = [
    ("0", 0),
    ("-0", 0),
    ("5s", 5_000_000_000),
    ("24h", 86_400_000_000_000),
    ("1h30m", 5_400_000_000_000),
    ("1.5h", 5_400_000_000_000),
    (".5s", 500_000_000),
    ("500ms", 500_000_000),
    ("3us", 3_000),
    ("3µs", 3_000),
    ("7ns", 7),
    ("-2m3.5s", -123_500_000_000),
    ("+1m", 60_000_000_000),
    ("1m1h1m", 3_720_000_000_000),
]

PRINTED = [
    (0, "0s"),
    (1, "1ns"),
    (1_100, "1.1µs"),
    (2_200_000, "2.2ms"),
    (3_300_000_000, "3.3s"),
    (245_000_000_000, "4m5s"),
    (3_600_000_000_000, "1h0m0s"),
    (-18_367_001_000_000, "-5h6m7.001s"),
    (GO_LIMIT_NS, "2562047h47m16.854775807s"),
]

INVALID = ["", "3", "s", "1d", "1 h", "1h ", "h1", "1..5s", "-", "+", "--1s", "1e3s", "٣s", "1s.", "2562048h"]


@pytest.mark.parametrize(("text", "expected_ns"), WRITTEN)
def test_go_durations_are_parsed(text: str, expected_ns: int) -> None:
    """Every form that Go accepts has the same value here."""
    assert parse_ns(text) == expected_ns


@pytest.mark.parametrize(("duration_ns", "text"), PRINTED)
def test_durations_are_formatted_as_in_go(duration_ns: int, text: str) -> None:
    """A duration is formatted as in Go."""
    assert format_ns(duration_ns) == text


@pytest.mark.parametrize("text", INVALID)
def test_other_text_is_refused(text: str) -> None:
    """Text that Go refuses is a ValueError that describes valid durations or the limit."""
    with pytest.raises(ValueError, match=r"duration such as|292 years"):
        parse_ns(text)


@given(st.integers(-GO_LIMIT_NS, GO_LIMIT_NS))
def test_round_trip(duration_ns: int) -> None:
    """Parsing a formatted duration returns the same number of nanoseconds."""
    assert parse_ns(format_ns(duration_ns)) == duration_ns


@given(st.text(alphabet="0123456789.hmsnuµ+- ", max_size=12))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    """Any text is either a duration or a ValueError."""
    try:
        duration_ns = parse_ns(text)
    except ValueError:
        return
    assert parse_ns(format_ns(duration_ns)) == duration_ns


def test_seconds_are_formatted() -> None:
    """Seconds are rounded to nanoseconds, without errors of binary fractions."""
    assert format_seconds(0.1) == "100ms"
    assert format_seconds(5400.0) == "1h30m0s"
