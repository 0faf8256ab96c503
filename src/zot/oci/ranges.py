"""Byte ranges of downloads (RFC 9110, section 14) and of an upload's chunks (distribution-spec)."""

from __future__ import annotations

import re
from typing import NamedTuple

RANGES_LIMIT = 1024
"""The most ranges in one request; clients of zstd:chunked layers send that many."""

_CHUNK = re.compile(r"(?:bytes[ =])?([0-9]{1,19})-([0-9]{1,19})(?:/(?:[0-9]{1,19}|\*))?", re.ASCII)
_SPEC = re.compile(r"([0-9]{0,19})-([0-9]{0,19})", re.ASCII)


class ByteRange(NamedTuple):
    """The bytes from `start` up to, but not including, `stop`."""

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
    """The requested ranges are malformed or all outside of the content (status 416)."""


def parse_ranges(header: str, size: int) -> list[ByteRange] | None:
    """Parse a Range header for content of `size` bytes.

    The result is sorted, and ranges that overlap or touch are joined. It is None if the header must be ignored and the
    whole content sent: the unit is not bytes, or there are more than RANGES_LIMIT ranges (RFC 9110, 14.2). Raises
    UnsatisfiableRangeError if the header is malformed or all ranges are outside of the content.
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
    """Parse a chunk's Content-Range, `<first>-<last>` inclusive; raise ValueError if it is malformed.

    The `bytes ` and `/size` of HTTP's own form are accepted, since some clients send them.
    """
    match = _CHUNK.fullmatch(header.strip())
    if match is None:
        raise ValueError(f"Content-Range {header[:64]!r} is not <first>-<last>")
    first, last = int(match[1]), int(match[2])
    # An empty chunk is n-(n-1): there is no other form for it.
    if last + 1 < first:
        raise ValueError(f"Content-Range {header[:64]!r} ends before it starts")
    return ByteRange(first, last + 1)
