"""Small files that are read when logins are built: once they were good, they may be gone for a while."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_good: dict[Path, bytes] = {}
"""Content that was good. A process that replaces another inherits it: the start has read all files before."""


def read_last_good(path: Path, parse: Callable[[bytes], T]) -> T:
    """Return what `parse` makes of a file, or of its last good content if the file cannot be used now.

    `parse` raises ValueError. Raises OSError or ValueError if the file was not good before.
    """
    try:
        content = path.read_bytes()
        value = parse(content)
    except (OSError, ValueError):
        if path not in _good:
            raise
        return parse(_good[path])
    _good[path] = content
    return value
