"""Notices of the kernel that entries of directories changed: Linux's inotify, which the standard library lacks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ctypes

# Of <sys/inotify.h>.
_MODIFY, _ATTRIB, _CLOSE_WRITE = 0x2, 0x4, 0x8
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF = 0x400, 0x800
_ONLYDIR, _EXCL_UNLINK = 0x1000000, 0x4000000
_MASK = (
    (_MODIFY | _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE)
    | (_DELETE_SELF | _MOVE_SELF)
    | (_ONLYDIR | _EXCL_UNLINK)
)
_READ_BYTES = 64 << 10


class DirectoryNotices:
    """Notices of changes in some directories: writes, new entries, removed and replaced ones. Of one event loop."""

    def __init__(self, directories: Iterable[Path]) -> None:
        """Watch entries of directories, and not those of subdirectories. It blocks, so make it in a thread.

        Raises OSError for a directory that is missing, at the system's limits, and where the system has no inotify.
        """
        libc = _libc()
        self._descriptor = _checked(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        try:
            for directory in directories:
                _checked(libc.inotify_add_watch(self._descriptor, os.fsencode(directory), _MASK), directory)
        except BaseException:
            os.close(self._descriptor)
            raise

    async def wait(self, limit_s: float) -> bool:
        """Wait until there is a notice; return False if there is none within `limit_s`. The notice stays."""
        loop = asyncio.get_running_loop()
        noticed = asyncio.Event()
        loop.add_reader(self._descriptor, noticed.set)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    await noticed.wait()
        finally:
            # Until the next wait, what goes on in a busy directory costs this process nothing.
            loop.remove_reader(self._descriptor)
        return noticed.is_set()

    def clear(self) -> bool:
        """Forget the notices; return whether there was one."""
        found = False
        with suppress(BlockingIOError):
            while os.read(self._descriptor, _READ_BYTES):
                found = True
        return found

    def close(self) -> None:
        """Close it. Call once."""
        os.close(self._descriptor)


@cache
def _libc() -> ctypes.CDLL:
    """Return the C library. Raises OSError where it has no inotify."""
    import ctypes  # noqa: PLC0415 (20 ms, which no start waits for)

    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "inotify_init1"):
        raise OSError("this system has no inotify")
    return libc


def _checked(result: int, path: Path | None = None) -> int:
    import ctypes  # noqa: PLC0415

    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result
