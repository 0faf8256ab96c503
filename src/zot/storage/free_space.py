"""How much of a disk is kept free, so that deletes, collection and the catalog still work when pushes may not."""

from __future__ import annotations

from typing import NamedTuple

from zot.storage.disk import Disk
from zot.storage.interface import StorageFullError

_MIB = 1024 * 1024
DEFAULT_KEPT_BYTES = 512 * _MIB
_DEFAULT_KEPT_SHARE = 10


class Floor(NamedTuple):
    """What is to stay free on a file system, from the configuration."""

    min_free_percent: float = 1.0
    min_free_bytes: int | None = None
    """None: 512 MiB, on a small file system a tenth of it."""

    def kept_bytes(self, size_bytes: int) -> int:
        """Return how much stays free on a file system of that size."""
        kept_bytes = self.min_free_bytes
        if kept_bytes is None:
            kept_bytes = min(DEFAULT_KEPT_BYTES, size_bytes // _DEFAULT_KEPT_SHARE)
        return max(kept_bytes, int(size_bytes * self.min_free_percent / 100))


class FreeSpace:
    """The room below one root. Looking costs microseconds."""

    def __init__(self, disk: Disk, root: str, floor: Floor) -> None:
        """Keep free what the floor says."""
        self._disk = disk
        self._root = root
        self._floor = floor

    def check(self, needed_bytes: int = 0) -> None:
        """Raise StorageFullError unless pushes may take so many bytes; OSError if the disk cannot be asked."""
        free_bytes, size_bytes = self._disk.free_bytes(self._root)
        kept_bytes = self._floor.kept_bytes(size_bytes)
        if free_bytes - needed_bytes < kept_bytes:
            raise StorageFullError(
                f"pushes are refused: {self._root} has {_mib(free_bytes)} free, and {_mib(kept_bytes)} are kept for"
                " deletes (storage.minFreeBytes, storage.minFreePercent)"
            )


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / _MIB:.1f} MiB"
