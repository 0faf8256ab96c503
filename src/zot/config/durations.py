"""Durations in Go's syntax: `24h`, `1h30m`, `500ms` (Go's package time, ParseDuration and Duration.String)."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

SECOND_NS = 1_000_000_000
_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # micro sign
    "μs": 1_000,  # Greek mu, which Go accepts too
    "ms": 1_000_000,
    "s": SECOND_NS,
    "m": 60 * SECOND_NS,
    "h": 3600 * SECOND_NS,
}
# Go keeps a duration in 64 bits of nanoseconds: about 292 years.
_LIMIT_NS = 2**63 - 1
_TERM = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_EXPECTED = 'a duration such as "24h", "1h30m" or "500ms"; units are ns, us, ms, s, m, h'


def parse_ns(text: str) -> int:
    """Parse a Go duration into nanoseconds; raise ValueError if it is malformed or above 292 years."""
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    total, position = 0, 0
    while term := _TERM.match(rest, position):
        total += int(Decimal(term[1]) * _UNITS_NS[term[2]])
        position = term.end()
    if position != len(rest) or not rest:
        raise ValueError(f"{text!r} is not {_EXPECTED}")
    if total > _LIMIT_NS:
        raise ValueError(f"{text!r} is longer than 292 years")
    return sign * total


def format_ns(duration_ns: int) -> str:
    """Format a duration as Go does: `1h30m0s`, `1.5s`, `20ms`, `0s`. `parse_ns` is the inverse."""
    sign, rest = ("-", -duration_ns) if duration_ns < 0 else ("", duration_ns)
    if rest == 0:
        return "0s"
    for unit, next_unit_ns in (("ns", 1_000), ("µs", 1_000_000), ("ms", SECOND_NS)):
        if rest < next_unit_ns:
            return f"{sign}{_decimal(rest, _UNITS_NS[unit])}{unit}"
    minutes, seconds_ns = divmod(rest, 60 * SECOND_NS)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(seconds_ns, SECOND_NS)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    if hours:
        text = f"{hours}h{text}"
    return sign + text


def format_seconds(duration_s: float) -> str:
    """Format a duration as Go does, rounded to nanoseconds."""
    return format_ns(round(duration_s * SECOND_NS))


def _decimal(number: int, unit: int) -> str:
    whole, fraction = divmod(number, unit)
    if not fraction:
        return str(whole)
    return f"{whole}.{fraction:0{len(str(unit)) - 1}}".rstrip("0")


def _to_seconds(value: object) -> float:
    # A bare integer is nanoseconds, as in zot. A float is refused, since it may be meant as seconds.
    if isinstance(value, bool | float) or not isinstance(value, int | str):
        raise ValueError(f"{value!r} is not {_EXPECTED}, or an integer of nanoseconds")  # noqa: TRY004 - pydantic's way
    if isinstance(value, str):
        return parse_ns(value) / SECOND_NS
    if abs(value) > _LIMIT_NS:
        raise ValueError(f"{value} ns is longer than 292 years")
    return value / SECOND_NS


Seconds = Annotated[
    float,
    BeforeValidator(_to_seconds),
    PlainSerializer(format_seconds, return_type=str),
    WithJsonSchema({"type": "string"}),
]
"""A Go duration in the file, seconds in the attribute (whose name ends in `_s`)."""
