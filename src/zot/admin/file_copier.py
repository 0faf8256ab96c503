"""Copy files of a store: immutable ones by hard links where possible, others byte by byte."""

from __future__ import annotations

from uuid import uuid4

from zot.storage.disk import Disk, File
from zot.storage.identity import make_directories
from zot.storage.os_errors import NO_LINK

_PIECE_BYTES = 1 << 20


class FileCopier:
    """Copies files durably and counts them. Every method blocks, and raises OSError."""

    def __init__(self) -> None:
        """Start with no copies."""
        self._disk = Disk()
        self.staging: str | None = None
        """The directory of unfinished copies; None: that of the copy."""
        self.linked = 0
        """The number of new files that share their bytes with the original."""
        self.copied = 0
        """The number of other new files."""

    def copy_tree(self, source: str, target: str, *, share: bool) -> None:
        """Copy a directory with all its regular files."""
        with self._disk.entries(source) as entries:
            make_directories(self._disk, target)
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    self.copy_tree(entry.path, f"{target}/{entry.name}", share=share)
                elif entry.is_file(follow_symlinks=False):
                    self.copy(entry.path, f"{target}/{entry.name}", share=share)
        self._disk.sync_directory(target)

    def copy(self, source: str, target: str, *, share: bool) -> None:
        """Copy a file, replacing another one of that name.

        With `share` the file is immutable: an existing copy of its size stays, and the bytes are shared by a hard link
        if possible.
        """
        if share:
            size = self.size(target)
            if size is not None and size == self.size(source):
                return
            try:
                if size is not None:
                    self._disk.unlink(target)
                self._disk.link(source, target)
            except OSError as error:
                if error.errno not in NO_LINK:
                    raise
            else:
                self.linked += 1
                return
        # An interrupted copy stays in the staged snapshot, which the next backup removes.
        unfinished = f"{self.staging}/{uuid4().hex}" if self.staging else f"{target}.{uuid4().hex}"
        with self._disk.open(source) as original, self._disk.staged(unfinished) as file:
            self._copy_bytes(original, file)
            self._disk.sync(file)
            self._disk.rename(file.path, target)
        self.copied += 1

    def names(self, path: str, *, directories: bool = False) -> set[str]:
        """Return the names of a directory's regular files, or of its directories; none if it is missing."""
        try:
            with self._disk.entries(path) as entries:
                return {
                    each.name
                    for each in entries
                    if (each.is_dir if directories else each.is_file)(follow_symlinks=False)
                }
        except FileNotFoundError:
            return set()

    def size(self, path: str) -> int | None:
        """Return the size of a file in bytes, or None if it is missing."""
        try:
            return self._disk.status(path).st_size
        except FileNotFoundError:
            return None

    def _copy_bytes(self, source: File, target: File) -> None:
        offset = 0
        while piece := self._disk.read(source, _PIECE_BYTES, offset):
            self._disk.write(target, [piece], offset)
            offset += len(piece)
