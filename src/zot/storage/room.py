"""How much of a disk is kept free, so that deletes, collection and the catalog still work when uploads may not."""

from __future__ import annotations

from zot.storage.disk import Disk
from zot.storage.interface import StorageFull


class Room:
    """The room below one root. Looking costs microseconds."""

    def __init__(self, disk: Disk, root: str, min_free_percent: float, min_free_bytes: int) -> None:
        """Keep free the larger of a share of the file system and a number of bytes."""
        self._disk = disk
        self._root = root
        self._min_free_percent = min_free_percent
        self._min_free_bytes = min_free_bytes

    def check(self) -> None:
        """Raise StorageFull if uploads have taken what they may; OSError if the disk cannot be asked."""
        free_bytes, size_bytes = self._disk.free_bytes(self._root)
        kept_bytes = max(self._min_free_bytes, int(size_bytes * self._min_free_percent / 100))
        if free_bytes < kept_bytes:
            raise StorageFull(f"{self._root} has {free_bytes} bytes free, and {kept_bytes} are kept for deletes")
