"""Which directories of content need not be synced again, shared by the processes of a server."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from mmap import mmap
from threading import Lock

from zot.foundation.shared_marks import SharedMarks

_REMOVALS = struct.Struct("QQ")
_GROUPS = 4096


class SyncedDirectories:
    """Directories whose names are durable, with those of all directories above them, since this start.

    Processes forked after this was made share it, so that a directory is synced by the first process that uses it, and
    not by each. The law: while a directory exists and is in here, a power loss does not take its name.

    Collection removes directories, and another process may make them again at that moment. So removals are counted
    (of a group of paths, by hash), before and after each, and a directory is added with the count that its caller read
    before it looked for the directory, made it and synced its name. It counts as synced only under that same count, and
    only while no removal is under way. Then no removal has begun between that read and now: the directory that a caller
    has just seen, before it asks here, is the one whose name was synced, or it was there earlier, was removed, and was
    made again before that sync. A process that dies between the two counts leaves a group that is never trusted, which
    costs syncs alone. Removals are those of one process, the one that works in the background.
    """

    def __init__(self) -> None:
        """Begin without directories."""
        self._marks = SharedMarks()
        self._memory = mmap(-1, _GROUPS * _REMOVALS.size)
        self._lock = Lock()

    def removals(self, path: str) -> int | None:
        """Return the count of removals to `add` a directory with; None while one is under way."""
        begun, ended = _REMOVALS.unpack_from(self._memory, _place(path))
        return int(begun) if begun == ended else None

    def add(self, path: str, removals: int | None) -> None:
        """Record that the directory and those above it were made and synced after `removals` was read."""
        if removals is not None:
            self._marks.add(f"{path}\0{removals}")

    def __contains__(self, path: str) -> bool:
        """Tell whether a directory that the caller has just seen need not be synced."""
        removals = self.removals(path)
        return removals is not None and f"{path}\0{removals}" in self._marks

    @contextmanager
    def removing(self, path: str) -> Iterator[None]:
        """Remove a directory, or try to, in this block."""
        self._count(path, begun=1)
        try:
            yield
        finally:
            self._count(path, ended=1)

    def _count(self, path: str, *, begun: int = 0, ended: int = 0) -> None:
        place = _place(path)
        with self._lock:
            counted = _REMOVALS.unpack_from(self._memory, place)
            _REMOVALS.pack_into(self._memory, place, counted[0] + begun, counted[1] + ended)


def _place(path: str) -> int:
    group = int.from_bytes(blake2b(path.encode(), digest_size=4).digest(), "little") % _GROUPS
    return group * _REMOVALS.size
