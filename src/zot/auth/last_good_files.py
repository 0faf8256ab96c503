"""Reads small files of the configuration, with their last valid content as a fallback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_last_good: dict[Path, bytes] = {}
"""The last valid content of each file. A replacement process inherits it: the start has read all files before."""


def read_last_good(path: Path, parse: Callable[[bytes], T]) -> T:
    """Return the parsed file, or its parsed last valid content if it cannot be used now.

    `parse` raises ValueError for invalid content. Raises OSError or ValueError if the file was never valid.
    """
    try:
        content = path.read_bytes()
        value = parse(content)
    except (OSError, ValueError):
        if path not in _last_good:
            raise
        return parse(_last_good[path])
    _last_good[path] = content
    return value
