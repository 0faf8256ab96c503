"""Renders log lines as zot's JSON, for programs, or as text, for people."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

Form = Callable[[Mapping[str, object]], bytes]
"""Renders the values of a line, newline included; `time` (nanoseconds since the epoch), `level`, `message` first."""

_SECOND_NS = 1_000_000_000
_encoder = msgspec.json.Encoder(enc_hook=str)

# Left out of text lines: the place in the source, and the headers of the request.
_NOT_FOR_PEOPLE = frozenset({"caller", "func", "goroutine", "headers", "module", "component"})
_LEVELS_FOR_PEOPLE = {"debug": "DEBUG", "error": "ERROR", "info": "INFO ", "trace": "TRACE", "warn": "WARN "}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PLAIN = re.compile(r'[^\s"=]+')


def json_line(values: Mapping[str, object]) -> bytes:
    """Render a line as zot does: one JSON object, with the time as RFC 3339 in UTC."""
    return json_text({**values, "time": timestamp(values["time"])}) + b"\n"


def as_text(text: str) -> str:
    """Return a client's text with invalid UTF-8, which Python keeps as surrogates, as visible escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def json_text(value: object) -> bytes:
    """Render a value as JSON in one line."""
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        # A header or path had invalid UTF-8, which Python keeps as surrogates and JSON cannot represent.
        return _encoder.encode(_without_surrogates(value))


def text_line(values: Mapping[str, object]) -> bytes:
    """Render a line for people: time, level, message, the other fields as key=value, a traceback below.

    Control characters are escaped: text from a client cannot start a new line or move a terminal's cursor.
    """
    shown = {name: value for name, value in values.items() if name not in _NOT_FOR_PEOPLE}
    moment, level, message = shown.pop("time"), str(shown.pop("level")), str(shown.pop("message"))
    traceback = shown.pop("traceback", None)
    date, _, clock = timestamp(moment).partition("T")
    parts = [f"{date} {clock[:12]} {_LEVELS_FOR_PEOPLE.get(level, level)} {message}"]
    parts += [f"{name}={_quoted(value)}" for name, value in shown.items()]
    lines = [" ".join(parts)]
    if traceback is not None:
        lines += str(traceback).splitlines()
    return b"".join(_visible(line).encode() + b"\n" for line in lines)


def timestamp(moment_ns: object) -> str:
    """Return nanoseconds since the epoch as RFC 3339, in UTC, to the nanosecond."""
    assert isinstance(moment_ns, int)
    seconds, rest_ns = divmod(moment_ns, _SECOND_NS)
    return f"{_second(seconds)}.{rest_ns:09d}Z"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _quoted(value: object) -> str:
    if not isinstance(value, str):
        return _encoder.encode(_without_surrogates(value)).decode()
    return value if _PLAIN.fullmatch(value) else '"' + value.replace('"', '\\"') + '"'


def _visible(text: str) -> str:
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _without_surrogates(value: Any) -> Any:
    match value:
        case str():
            return as_text(value)
        case dict():
            return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
        case list() | tuple():
            return [_without_surrogates(item) for item in value]
        case _:
            return value
