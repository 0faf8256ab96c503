"""Recorders of the two ways to the disk, the storage's and SQLite's.

Either can be set to die at an operation: that one and all after it fail without any effect, as if the process had
been killed there. What a killed process would not have done (cleaning up) has no effect then, either.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from uuid import uuid4

import apsw

from crash.trace import Change, Trace
from zot.storage.disk import CHANGES, Disk, DiskOperation

P = ParamSpec("P")
T = TypeVar("T")


class Recorder:
    """Records the changes to one tree."""

    def __init__(self, trace: Trace, *, leaving_out: Collection[str] = (), die_at: int | None = None) -> None:
        """Skip operations of some verbs silently, and die at a change, counted from 0."""
        self.trace = trace
        self._leaving_out = leaving_out
        self._left = -1 if die_at is None else die_at
        self.dead = False

    def step(self) -> None:
        """Count a change before it is made. Raises OSError once dead."""
        if not self.dead and self._left == 0:
            self.dead = True
        if self.dead:
            raise OSError(errno.EIO, "the process is dead")
        self._left -= 1

    def leaves_out(self, verb: str) -> bool:
        """Return whether operations of this verb are skipped."""
        return verb in self._leaving_out

    def note(self, change: Change) -> None:
        """Record an operation."""
        self.trace.add(
            change._replace(
                path=self.trace.relative(change.path),
                target=self.trace.relative(change.target) if change.target else "",
            )
        )


class RecordingDisk(Disk):
    """The disk of `zot.storage`, recorded."""

    def __init__(self, recorder: Recorder) -> None:
        """Record to `recorder`."""
        self._recorder = recorder

    def perform(self, operation: DiskOperation, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Carry out the operation, and record it if it changed something."""
        if operation.verb not in CHANGES:
            return call(*args, **kwargs)
        with self._recorder.trace.lock:
            self._recorder.step()
            if self._recorder.leaves_out(operation.verb):
                return None  # type: ignore[return-value] # syncs, which return nothing
            result = call(*args, **kwargs)
            self._recorder.note(_change(operation, args[0], result))
            return result


def _change(operation: DiskOperation, first: object, result: object) -> Change:
    verb, path, target, offset, pieces = operation
    match verb:
        case "write":
            assert isinstance(first, int)
            assert isinstance(result, int)
            return Change(verb, path, offset=offset, data=b"".join(pieces)[:result], inode=os.fstat(first).st_ino)
        case "truncate" | "sync":
            assert isinstance(first, int)
            return Change(verb, path, offset=offset, inode=os.fstat(first).st_ino)
        case "create":
            assert isinstance(result, int)
            return Change(verb, path, inode=os.fstat(result).st_ino)
        case "mkdir":
            return Change(verb, path, inode=Path(path).stat().st_ino)
        case _:
            return Change(verb, path, target)


class RecordingVfs(apsw.VFS):
    """The file system under SQLite, recorded: database and log; the log's index is memory."""

    def __init__(self, recorder: Recorder) -> None:
        """Register under a new name."""
        self.recorder = recorder
        self.name = f"recording-{uuid4().hex}"
        super().__init__(self.name, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        """Open a file, and record if that creates it."""
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        with self.recorder.trace.lock:
            made = not Path(path).exists()
            if made:
                self.recorder.step()
            file = _RecordingFile(self.recorder, path, name, flags)
            if made:
                self.recorder.note(Change("create", path, inode=Path(path).stat().st_ino))
            return file

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's name
        """Delete a file."""
        with self.recorder.trace.lock:
            self.recorder.step()
            super().xDelete(filename, syncdir)
            self.recorder.note(Change("unlink", filename))
            if syncdir:
                self.recorder.note(Change("sync directory", str(Path(filename).parent)))


class _RecordingFile(apsw.VFSFile):
    def __init__(self, recorder: Recorder, path: str, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._recorder = recorder
        self._path = path
        self._inode = Path(path).stat().st_ino
        # SQLite syncs the directory together with the first sync of a log or journal that it may have made.
        self._directory_unsynced = bool(
            flags[0] & apsw.SQLITE_OPEN_CREATE and flags[0] & (apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL)
        )

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        with self._recorder.trace.lock:
            self._step()
            super().xWrite(data, offset)
            self._recorder.note(Change("write", self._path, offset=offset, data=bytes(data), inode=self._inode))

    def xTruncate(self, size: int) -> None:  # noqa: N802 - SQLite's name
        with self._recorder.trace.lock:
            self._step()
            super().xTruncate(size)
            self._recorder.note(Change("truncate", self._path, offset=size, inode=self._inode))

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        with self._recorder.trace.lock:
            self._step()
            super().xSync(flags)
            self._recorder.note(Change("sync", self._path, inode=self._inode))
            if self._directory_unsynced:
                self._directory_unsynced = False
                self._recorder.note(Change("sync directory", str(Path(self._path).parent)))

    def _step(self) -> None:
        try:
            self._recorder.step()
        except OSError as error:
            kind = apsw.FullError if error.errno == errno.ENOSPC else apsw.IOError
            raise kind(str(error)) from error
