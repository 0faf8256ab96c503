"""JSON that clients wrote, read without trust: what has another type than expected is missing, and never an error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

TEXT_LIMIT = 500
"""Characters of a text that are kept."""
_CONTAINERS_LIMIT = 200_000
"""Lists and objects: a file of 4 MiB could have millions, each with its own memory."""

T = TypeVar("T")


def decode(content: bytes, kind: type[T]) -> T | None:
    """Return JSON as a value of a type, None if it is no JSON, of another type, or far too nested to be a document."""
    if content.count(b"{") + content.count(b"[") > _CONTAINERS_LIMIT:
        return None
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def indented(content: bytes, limit: int) -> tuple[str, bool]:
    """Return JSON indented, or as it is if it is no JSON, cut to some characters; and whether it was cut.

    No more is made than is returned: indented, a deeply nested document is a thousand times as long.
    """
    pieces, count = [], 0
    try:
        for piece in json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(json.loads(content)):
            pieces.append(piece)
            count += len(piece)
            if count > limit:
                break
        found = "".join(pieces).encode(errors="replace").decode()  # half a surrogate pair is no character
    except (ValueError, RecursionError):
        found = content.decode(errors="replace")
    return found[:limit], len(found) > limit


def at(value: object, *keys: str) -> Any:
    """Return what is below the keys of nested objects, None if there is nothing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def text(value: object) -> str:
    """Return a text, cut to `TEXT_LIMIT`; empty for anything else."""
    return value[:TEXT_LIMIT] if isinstance(value, str) else ""


def first_text(*values: object) -> str:
    """Return the first text that is not empty, else an empty one."""
    return next((found for found in map(text, values) if found), "")


def objects(value: object, limit: int) -> Iterator[dict[str, Any]]:
    """Yield the objects of a list, of its first `limit` entries; of anything else none."""
    for each in value[:limit] if isinstance(value, list) else ():
        if isinstance(each, dict):
            yield each
