"""Unix sockets in deep directories: an address has at most 107 bytes, a path may have more."""

from __future__ import annotations

import os
from pathlib import Path

_ADDRESS_LIMIT_BYTES = 100


def reachable(path: Path) -> Path:
    """Return a path to the same socket that is short enough for an address.

    A long one leads through a descriptor of its directory, which stays open for as long as the process lives.
    """
    if len(os.fsencode(path)) <= _ADDRESS_LIMIT_BYTES or not Path("/proc/self/fd").is_dir():
        return path
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    return Path(f"/proc/self/fd/{directory}", path.name)
