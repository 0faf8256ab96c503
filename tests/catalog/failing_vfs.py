"""A file system for SQLite that fails when it is told to."""

from __future__ import annotations

from typing import Any

import apsw


class FailingVfs(apsw.VFS):
    """The usual file system, but for what is switched on: a full disk, or a disk that cannot sync.

    Only writes and syncs of the write-ahead log fail, which is where commits go.
    """

    def __init__(self, name: str) -> None:
        self.full = False
        self.syncs_fail = False
        self.opened = 0
        self.name = name
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        """Open a file; count the database's openings."""
        self.opened += bool(flags[0] & apsw.SQLITE_OPEN_MAIN_DB)
        return _File(self, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, vfs: FailingVfs, name: Any, flags: list[int]) -> None:
        self._vfs = vfs
        self._is_log = bool(flags[0] & apsw.SQLITE_OPEN_WAL)
        super().__init__("", name, flags)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - SQLite's name
        if self._vfs.full and self._is_log:
            raise apsw.FullError("no space left on device")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        if self._vfs.syncs_fail and self._is_log:
            raise apsw.IOError("input/output error")
        super().xSync(flags)
