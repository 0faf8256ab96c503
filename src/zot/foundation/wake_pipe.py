"""A named pipe by which one process wakes another, which does not run at all until then.

Polling a marker file twenty times a second takes some milliseconds of each second; waiting for a pipe takes none.
"""

from __future__ import annotations

import asyncio
import os
import stat
from contextlib import suppress
from pathlib import Path

_READ_BYTES = 64 << 10


def wake(path: Path) -> None:
    """Wake the process that waits at a pipe. It takes as long as three system calls.

    Without one nothing happens, and no error tells so.
    """
    with suppress(OSError):  # no process waits; or the pipe is full, and the process wakes anyway
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(descriptor, b"w")
        finally:
            os.close(descriptor)


class WakePipe:
    """The side of the process that waits, of which a pipe has one. All of it belongs to one event loop."""

    def __init__(self, path: Path) -> None:
        """Wait at `path`, once it is open."""
        self._path = path
        self._woken = asyncio.Event()
        self._descriptor: int | None = None

    def open(self) -> None:
        """Make the pipe, in place of any other file of its name. Idempotent. Raises OSError, and stays closed."""
        self.close()
        with suppress(FileNotFoundError):
            if not stat.S_ISFIFO(self._path.lstat().st_mode):
                self._path.unlink()
        with suppress(FileExistsError):
            os.mkfifo(self._path, 0o600)
        # For writing, too: else it would stay readable once a process that woke this one has closed it.
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        asyncio.get_running_loop().add_reader(self._descriptor, self._read, self._descriptor)

    @property
    def is_open(self) -> bool:
        """Whether a process can wake this one."""
        return self._descriptor is not None

    def clear(self) -> None:
        """Forget that this process was woken: it now looks at what it is woken for."""
        self._woken.clear()

    async def wait(self, limit_s: float) -> bool:
        """Wait until another process wakes this one; return False if none does within `limit_s`.

        It returns at once if one has since `clear`.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._woken.wait()
        return self._woken.is_set()

    def close(self) -> None:
        """Close the pipe. Idempotent."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)

    def _read(self, descriptor: int) -> None:
        with suppress(BlockingIOError):
            os.read(descriptor, _READ_BYTES)
        self._woken.set()
