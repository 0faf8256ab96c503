"""Whatever a line says, it is one line, and readable."""

import json
import re
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from zot.logs.formatters import json_line, text_line, timestamp

# Everything that Python can hold in a string, also what came in as no UTF-8.
TEXTS = st.text(st.characters(codec=None, exclude_categories=()))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
LINES = (
    st.dictionaries(TEXTS, VALUES, max_size=4)
    .map(lambda more: {"time": 1_700_000_000_123_456_789, "level": "info", "message": "m"} | more)
    .filter(lambda line: isinstance(line["time"], int) and 0 <= line["time"] < 2**61)
)


@settings(max_examples=50)
@given(LINES)
def test_a_json_line_is_one_line_of_json(values: dict[str, object]) -> None:
    """Each line is one JSON object in UTF-8 that ends with its only newline, whatever the values hold."""
    line = json_line(values)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line.decode()).keys() >= {"time", "level", "message"}


@settings(max_examples=50)
@given(LINES)
def test_a_text_line_holds_no_control_characters(values: dict[str, object]) -> None:
    """Nothing a client sends can start a line of its own or command the terminal."""
    text = text_line(values | {"traceback": None}).decode()
    assert text.count("\n") == 1
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)


def test_json_keeps_zots_order() -> None:
    """Time, level and message come first, as in zot's lines."""
    line = json_line({"time": 0, "level": "warn", "message": "hello", "repository": "a"})
    assert line == b'{"time":"1970-01-01T00:00:00.000000000Z","level":"warn","message":"hello","repository":"a"}\n'


def test_text_is_for_people() -> None:
    """Text shows time, level, message and fields, and a traceback below; not where in the source it was said."""
    values = {
        "time": 1_000_000_000,
        "level": "error",
        "message": "push failed",
        "repository": "team/app",
        "reason": "no room",
        "count": 3,
        "caller": "zot/x.py:1",
        "traceback": "Traceback:\n  line",
    }
    assert text_line(values).decode() == (
        '1970-01-01 00:00:01.000 ERROR push failed repository=team/app reason="no room" count=3\nTraceback:\n  line\n'
    )


@given(st.integers(0, 2**62))
def test_timestamps_are_rfc_3339(moment_ns: int) -> None:
    """The time is RFC 3339 in UTC and names the same microsecond."""
    text = timestamp(moment_ns)
    assert len(text) == len("2026-01-01T00:00:00.000000000Z")
    parsed = datetime.strptime(text[:26] + "Z", "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    assert round(parsed.timestamp() * 1_000_000) // 1_000_000 == moment_ns // 1_000_000_000
    assert int(text[20:29]) == moment_ns % 1_000_000_000
