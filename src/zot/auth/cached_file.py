"""A parsed file whose cached content is at most `CHECK_INTERVAL_S` old."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from zot.foundation.threads import ThreadPool, ThreadPoolBusyError
from zot.registry.errors import Unavailable

T = TypeVar("T")

CHECK_INTERVAL_S = 0.1

FILE_LIMIT_BYTES = 16 << 20

# A file that changed more recently may change again within the same tick of the file system's clock.
_SETTLED_AFTER_NS = 1_000_000_000


class CachedFile(Generic[T]):
    """A parsed file that is read again after it has changed.

    A caller gets the content of at most `CHECK_INTERVAL_S` ago. The path is examined on use, through symbolic links:
    this notices a swapped link target (as with Kubernetes secrets), and works without file system notifications.
    """

    def __init__(self, path: Path, parse: Callable[[bytes], T], pool: ThreadPool) -> None:
        """Keep the path; nothing is read yet. `parse` runs in the pool and may raise ValueError."""
        self._path = path
        self._parse = parse
        self._pool = pool
        self._checked_s = float("-inf")
        self._signature: tuple[int, ...] | None = None
        self._content: T | None = None
        self._reading = asyncio.Lock()

    def fresh(self) -> T | None:
        """Return the content if the file was checked within `CHECK_INTERVAL_S`, else None."""
        return self._content if time.monotonic() - self._checked_s < CHECK_INTERVAL_S else None

    async def content(self) -> T:
        """Return the parsed content: the same object until the file changes.

        Raises Unavailable if the file cannot be read or parsed, as while it is being replaced.
        """
        fresh = self.fresh()
        if fresh is not None:
            return fresh
        async with self._reading:
            if self.fresh() is None:
                started_s = time.monotonic()
                try:
                    await self._pool.run(self._refresh)
                except ThreadPoolBusyError as error:
                    raise Unavailable("too many logins are waiting", retry_after_s=1) from error
                except OSError as error:
                    self._content = self._signature = None
                    raise Unavailable(f"{self._path.name} cannot be read") from error
                except ValueError as error:
                    self._content = self._signature = None
                    raise Unavailable(f"{self._path.name} cannot be read") from ValueError(f"{self._path}: {error}")
                self._checked_s = started_s
        assert self._content is not None
        return self._content

    def _refresh(self) -> None:
        status = os.stat(self._path)  # noqa: PTH116 - the fastest way
        signature = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if signature == self._signature:
            return
        content = self._parse(read_regular_file(self._path))
        if content != self._content:
            self._content = content
        settled = time.time_ns() - status.st_mtime_ns > _SETTLED_AFTER_NS
        self._signature = signature if settled else None


def read_regular_file(path: Path) -> bytes:
    """Return the content of a regular file, through symbolic links.

    Never blocks, as opening a named pipe without a writer would. Raises OSError, or ValueError if the file is not
    regular or larger than `FILE_LIMIT_BYTES`.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a regular file")
        content = bytearray()
        while piece := os.read(descriptor, 1 << 20):
            content += piece
            if len(content) > FILE_LIMIT_BYTES:
                raise ValueError(f"larger than {FILE_LIMIT_BYTES} bytes")
        return bytes(content)
    finally:
        os.close(descriptor)
