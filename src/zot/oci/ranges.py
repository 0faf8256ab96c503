"""Byte ranges: of a request for content (RFC 9110, section 14) and of an upload's chunk (distribution-spec)."""

from __future__ import annotations

import re
from typing import NamedTuple

RANGES_LIMIT = 1024
"""Ranges of one request: clients of zstd:chunked layers ask for as many at once."""

_CHUNK = re.compile(r"(?:bytes[ =])?([0-9]{1,19})-([0-9]{1,19})(?:/(?:[0-9]{1,19}|\*))?", re.ASCII)
_SPEC = re.compile(r"([0-9]{0,19})-([0-9]{0,19})", re.ASCII)


class ByteRange(NamedTuple):
    """Bytes `start` to `stop`, `stop` not included: like a slice."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """The number of bytes."""
        return self.stop - self.start

    def content_range(self, size: int) -> str:
        """Return the value of Content-Range for content of `size` bytes."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


class UnsatisfiableRangeError(ValueError):
    """None of the ranges asked for lies in the content, or they are malformed: 416."""


def parse_ranges(header: str, size: int) -> list[ByteRange] | None:
    """Return the ranges that a Range header asks of content of `size` bytes.

    They are sorted, and those that overlap or touch are joined. None: the header is ignored and the whole content is
    sent, because the unit is not bytes or there are more than RANGES_LIMIT ranges (RFC 9110, 14.2). Raises
    UnsatisfiableRangeError when the header is malformed or names only ranges outside of the content.
    """
    unit, separator, specs = header.partition("=")
    if unit.strip().lower() != "bytes":
        return None
    parts = [part for each in specs.split(",") if (part := each.strip())] if separator else []
    if not parts:
        raise UnsatisfiableRangeError("the header names no range")
    if len(parts) > RANGES_LIMIT:
        return None
    found = [each for part in parts if (each := _parse_one(part, size)) is not None]
    if not found:
        raise UnsatisfiableRangeError(f"no range lies within the {size} bytes")
    return _joined(sorted(found))


def _parse_one(spec: str, size: int) -> ByteRange | None:
    match = _SPEC.fullmatch(spec)
    if match is None or spec == "-":
        raise UnsatisfiableRangeError(f"{spec[:64]!r} is not a byte range")
    first, last = match.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            raise UnsatisfiableRangeError(f"{spec[:64]!r} ends before it starts")
    return ByteRange(start, stop) if start < stop else None


def _joined(ranges: list[ByteRange]) -> list[ByteRange]:
    joined = [ranges[0]]
    for each in ranges[1:]:
        last = joined[-1]
        if each.start <= last.stop:
            joined[-1] = ByteRange(last.start, max(last.stop, each.stop))
        else:
            joined.append(each)
    return joined


def parse_chunk_range(header: str) -> ByteRange:
    """Return the range of a chunk from its Content-Range, `<first>-<last>` inclusive; raise ValueError otherwise.

    The `bytes ` and `/size` of HTTP's own form are accepted, since some clients send them.
    """
    match = _CHUNK.fullmatch(header.strip())
    if match is None:
        raise ValueError(f"Content-Range {header[:64]!r} is not <first>-<last>")
    first, last = int(match[1]), int(match[2])
    # An empty chunk can only be written as n-(n-1).
    if last + 1 < first:
        raise ValueError(f"Content-Range {header[:64]!r} ends before it starts")
    return ByteRange(first, last + 1)
