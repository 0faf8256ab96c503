"""The state of background work that outlives a restart: the last run of each task, and the collector's clock."""

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
    """None if it is running, or was running when the server ended."""
    failed: bool = False
    progress: str = ""
    """The progress of a running task, or the result of an ended one."""


class _Content(msgspec.Struct, frozen=True):
    clock_s: float = 0.0
    tasks: dict[str, JobRun] = {}


class JobStates:
    """The file of job states. Without it, tasks run early and collection deletes late."""

    def __init__(self, path: Path, pool: ThreadPool, wall: Callable[[], float] = time.time) -> None:
        """Use a file in an existing directory."""
        self._path = str(path)
        self._pool = pool
        self._disk = Disk()
        self.wall = wall
        self.runs: dict[str, JobRun] = {}
        self.clock = CollectorClock()

    async def load(self) -> None:
        """Continue where the last server ended. A damaged file counts as missing. Raises StorageError."""
        content = await self._pool.run(self._read)
        self.runs = dict(content.tasks)
        self.clock = CollectorClock(content.clock_s)

    async def save(self) -> None:
        """Write the file. Not durable: a power loss may take the last minutes. Raises StorageError."""
        await self._pool.run(self._write, _Content(self.clock.now_s(), dict(self.runs)))

    def _read(self) -> _Content:
        try:
            return msgspec.json.decode(self._disk.read_file(self._path, _LIMIT_BYTES), type=_Content)
        except FileNotFoundError:
            return _Content()
        except (ValueError, RecursionError):  # damaged: an extra run is harmless
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
