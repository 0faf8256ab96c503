"""Disk space reserved for deletes: a file that is truncated when the disk is full."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

FILE = "reserve"

_LARGEST_BYTES = 8 << 20
_SHARE = 16
# With less than this free a start releases the reserve, before it needs space itself.
_START_BYTES = 1 << 20

_logger = logging.getLogger(__name__)


class ReservedSpace(NamedTuple):
    """The space of a file system, in bytes."""

    free: int
    size: int


def space_of(directory: Path) -> ReservedSpace:
    """Return the space of a directory's file system. Raises OSError."""
    found = os.statvfs(directory)
    return ReservedSpace(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


class DiskReserve:
    """The file `reserve` in the catalog's directory: up to 8 MiB, a 16th of a smaller file system."""

    def __init__(self, directory: Path, space: Callable[[Path], ReservedSpace] = space_of) -> None:
        """Reserve nothing yet. `space` returns the space of a directory's file system."""
        self._directory = directory
        self._path = directory / FILE
        self._space = space
        self.is_held = False
        self.was_released = self._path.exists() and not self._path.stat().st_size
        """Whether it was released and is not reserved again: nothing may grow, or it would take this space."""

    def free_bytes(self) -> int:
        """Return what is free beside it. Raises OSError."""
        return self._space(self._directory).free

    def hold(self) -> None:
        """Reserve the space, if there is twice as much: it must not fill a disk by itself. Idempotent."""
        try:
            space = self._space(self._directory)
            size = min(_LARGEST_BYTES, space.size // _SHARE)
            held = self._path.stat().st_blocks * 512 if self._path.exists() else 0
            if held < size:
                if space.free < 2 * size:
                    return
                self._allocate(size)
        except OSError as error:
            _logger.warning("no room is held for deletes on a full disk: %s", error)
            return
        if not self.is_held:
            _logger.debug("%d bytes are held for deletes on a full disk", size)
        self.is_held = True
        self.was_released = False

    def release(self) -> bool:
        """Release the space; False if none was reserved."""
        self.is_held = False
        with suppress(OSError):
            if self._path.stat().st_size:
                os.truncate(self._path, 0)
                self.was_released = True
                _logger.error(
                    "the disk of %s is full: the room that is held for deletes is given back, and nothing that grows is"
                    " accepted until there is room again",
                    self._directory,
                )
                return True
        return False

    def release_at_start(self) -> None:
        """Release the space if a start would not find what it needs."""
        with suppress(OSError):
            if self.free_bytes() < _START_BYTES:
                self.release()

    def _allocate(self, size: int) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, size)
            else:
                os.pwrite(descriptor, bytes(size), 0)
        except OSError:
            os.truncate(descriptor, 0)
            raise
        finally:
            os.close(descriptor)
