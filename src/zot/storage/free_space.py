"""Keep disk space free, so that deletes, collection and the catalog work while pushes are refused."""

from __future__ import annotations

import time
from typing import NamedTuple

from zot.storage.disk import Disk
from zot.storage.interface import StorageFullError

_MIB = 1024 * 1024
DEFAULT_KEPT_BYTES = 512 * _MIB
_DEFAULT_KEPT_SHARE = 10
# Free beyond the floor and what is asked for: pushes cannot use as much before the next look.
_PLENTY_BYTES = 4 * 1024 * _MIB
_REMEMBERED_S = 0.25
_SMALL_BYTES = 16 * _MIB


class Floor(NamedTuple):
    """The space that pushes leave free on a file system, from the configuration."""

    min_free_percent: float = 1.0
    min_free_bytes: int | None = None
    """None means 512 MiB, or a tenth of a small file system."""

    def kept_bytes(self, size_bytes: int) -> int:
        """Return the bytes that stay free on a file system of `size_bytes`."""
        kept_bytes = self.min_free_bytes
        if kept_bytes is None:
            kept_bytes = min(DEFAULT_KEPT_BYTES, size_bytes // _DEFAULT_KEPT_SHARE)
        return max(kept_bytes, int(size_bytes * self.min_free_percent / 100))


class FreeSpace:
    """The free space of one root's disk. A check costs microseconds."""

    def __init__(self, disk: Disk, root: str, floor: Floor) -> None:
        """Keep the space of `floor` free."""
        self._disk = disk
        self._root = root
        self._floor = floor
        self._plenty_until_s = 0.0

    def is_plenty(self, needed_bytes: int) -> bool:
        """Tell, without a look at the disk, whether there was far more a moment ago than a small push needs."""
        return needed_bytes <= _SMALL_BYTES and time.monotonic() < self._plenty_until_s

    def check(self, needed_bytes: int = 0) -> None:
        """Raise StorageFullError unless pushes may take `needed_bytes`. Raises OSError if that is not known."""
        free_bytes, size_bytes = self._disk.free_bytes(self._root)
        kept_bytes = self._floor.kept_bytes(size_bytes)
        if free_bytes - needed_bytes - kept_bytes >= _PLENTY_BYTES:
            self._plenty_until_s = time.monotonic() + _REMEMBERED_S
        if free_bytes - needed_bytes < kept_bytes:
            raise StorageFullError(
                f"pushes are refused: {self._root} has {_mib(free_bytes)} free, and {_mib(kept_bytes)} are kept for"
                " deletes (storage.minFreeBytes, storage.minFreePercent)"
            )


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / _MIB:.1f} MiB"
