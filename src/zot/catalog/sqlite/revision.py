"""A number that grows with every commit, in memory that the writer shares with all readers.

What was read while it was the same is still so: a reader compares eight bytes where it would ask SQLite again, whose
locks alone cost several times the read. The writer counts after a commit and before it answers, so that no reader
uses a value that an answered command has changed.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

FILE = "catalog.revision"
_BYTES = 8
_NEW = f"{FILE}.new"

REPLACED = b"\xff" * _BYTES
"""In the place of a number: the database was replaced by another, which has a number of its own."""


class WriterRevision:
    """The writer's side: made, and counted on from what was there."""

    def __init__(self, directory: Path) -> None:
        """Share the number in `directory`. Raises OSError."""
        self._directory = directory
        self._open(FILE)

    def _open(self, name: str) -> None:
        descriptor = os.open(self._directory / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            number = int.from_bytes(os.pread(descriptor, _BYTES, 0), "little")
            # Written, not only mapped: a page that the disk has no room for would kill the process.
            os.pwrite(descriptor, number.to_bytes(_BYTES, "little"), 0)
            self._map = mmap.mmap(descriptor, _BYTES)
        finally:
            os.close(descriptor)
        self._number = number
        self.count()

    def count(self) -> None:
        """Announce that something may have changed."""
        self._number = (self._number + 1) % ((1 << 8 * _BYTES) - 1)
        self._map[:] = self._number.to_bytes(_BYTES, "little")

    def replace(self) -> None:
        """Tell readers that another database is in place: they have to open it. Raises OSError."""
        before = self._map
        self._open(_NEW)
        (self._directory / _NEW).rename(self._directory / FILE)
        before[:] = REPLACED
        before.close()

    def close(self) -> None:
        """Close the shared memory."""
        self._map.close()


class ReaderRevision:
    """A reader's side."""

    def __init__(self, directory: Path) -> None:
        """Look at the number in `directory`. Raises OSError, ValueError if no writer has made it."""
        descriptor = os.open(directory / FILE, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._map = mmap.mmap(descriptor, _BYTES, access=mmap.ACCESS_READ)
        finally:
            os.close(descriptor)

    def now(self) -> bytes:
        """Return the number: to be compared, nothing else."""
        return self._map[:_BYTES]

    def close(self) -> None:
        """Close the shared memory."""
        self._map.close()
