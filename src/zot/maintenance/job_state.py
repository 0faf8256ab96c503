"""What has to be known of background work after a restart: when each task ran, and the collector's clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import msgspec

from zot.foundation.threads import ThreadPool
from zot.maintenance.clock import CollectorClock
from zot.storage.disk import Disk
from zot.storage.interface import StorageError

_LIMIT_BYTES = 4 << 20


class JobRun(msgspec.Struct, frozen=True):
    """The last run of a task. Times are seconds since the epoch."""

    started_s: float
    ended_s: float | None = None
    """None: it is under way, or was when the server ended."""
    failed: bool = False
    said: str = ""
    """How far it is, or what came of it."""


class _Content(msgspec.Struct, frozen=True):
    clock_s: float = 0.0
    tasks: dict[str, JobRun] = {}


class JobStates:
    """The file that keeps them. What is lost with it makes tasks early and collection late."""

    def __init__(self, path: Path, pool: ThreadPool, wall: Callable[[], float] = time.time) -> None:
        """Keep them in a file whose directory is there."""
        self._path = str(path)
        self._pool = pool
        self._disk = Disk()
        self.wall = wall
        self.runs: dict[str, JobRun] = {}
        self.clock = CollectorClock()

    async def load(self) -> None:
        """Go on where the last server ended. A file that cannot be read is as none. Raises StorageError."""
        content = await self._pool.run(self._read)
        self.runs = dict(content.tasks)
        self.clock = CollectorClock(content.clock_s)

    async def save(self) -> None:
        """Write it down. Not synced: a power loss may take the last minutes. Raises StorageError."""
        await self._pool.run(self._write, _Content(self.clock.now_s(), dict(self.runs)))

    def _read(self) -> _Content:
        try:
            return msgspec.json.decode(self._disk.read_file(self._path, _LIMIT_BYTES), type=_Content)
        except FileNotFoundError:
            return _Content()
        except (ValueError, RecursionError):  # damaged: a run too many does no harm
            return _Content()
        except OSError as error:
            raise StorageError(f"cannot read {self._path}: {error.strerror}") from error

    def _write(self, content: _Content) -> None:
        try:
            with self._disk.staged(f"{self._path}.{uuid4().hex}") as file:
                self._disk.write(file, [msgspec.json.encode(content)], 0)
                self._disk.rename(file.path, self._path)
        except OSError as error:
            raise StorageError(f"cannot write {self._path}: {error.strerror}") from error
