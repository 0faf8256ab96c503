"""A file whose content decides who is let in: never older than a moment."""

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

CHECKED_EVERY_S = 0.1

FILE_LIMIT_BYTES = 16 << 20

# A file changed so lately may be changed again within the same tick of the file system's clock.
_SETTLED_AFTER_NS = 1_000_000_000


class CachedFile(Generic[T]):
    """A parsed file. Whoever asks for its content gets what was there at most `CHECKED_EVERY_S` ago.

    The path is looked at when somebody asks, through symbolic links, so that neither a swap of a link's target (as
    Kubernetes does with secrets) nor a file system without notifications escapes it.
    """

    def __init__(self, path: Path, parse: Callable[[bytes], T], pool: ThreadPool) -> None:
        """Describe the file; nothing is read yet. `parse` runs in the pool, and may raise ValueError."""
        self._path = path
        self._parse = parse
        self._pool = pool
        self._checked_s = float("-inf")
        self._signature: tuple[int, ...] | None = None
        self._content: T | None = None
        self._reading = asyncio.Lock()

    def fresh(self) -> T | None:
        """Return the content if it was looked at a moment ago, else None."""
        return self._content if time.monotonic() - self._checked_s < CHECKED_EVERY_S else None

    async def content(self) -> T:
        """Return the content as parsed; the same object until the file changes.

        Raises Unavailable if the file cannot be read or understood: it may be there again in a moment.
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
        status = os.stat(self._path)  # noqa: PTH116 - as quick as it gets
        signature = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if signature == self._signature:
            return
        content = self._parse(read_regular_file(self._path))
        if content != self._content:
            self._content = content
        settled = time.time_ns() - status.st_mtime_ns > _SETTLED_AFTER_NS
        self._signature = signature if settled else None


def read_regular_file(path: Path) -> bytes:
    """Return the content of a file, through links. Raises OSError; ValueError if it is no regular file, or too large.

    It never waits: opening a named pipe would, for a writer that may not come.
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
