"""The operations on files and directories, through which all access to registry data goes.

Each operation passes through `Disk.perform` with a plain value that describes it: a subclass that records operations,
or lets some fail, overrides that one method. All raise OSError; callers translate it (`os_errors.py`). Interrupted
system calls are repeated by Python itself (PEP 475).

A file is a regular file. A named pipe, a device, a socket or a symbolic link in its place comes from another program:
it is not opened, does not block, and counts as missing.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache
from types import TracebackType
from typing import NamedTuple, ParamSpec, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger(__name__)

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600

CHANGES = frozenset(
    {"create", "write", "truncate", "sync", "sync directory", "rename", "link", "unlink", "mkdir", "rmdir"}
)
"""Verbs of the operations that change the disk, or what survives a power loss."""


# Do not follow a symbolic link out of the store, nor wait for the other end of a pipe.
_REGULAR_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
# Errors on opening a symbolic link, a socket, or a device without a driver.
_NOT_OPENED = frozenset({errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EMLINK})
_WARNED_PATHS = 1024


class NotRegularFileError(FileNotFoundError):
    """There is something other than a regular file. It counts as missing, with a warning."""


class DiskOperation(NamedTuple):
    """The description of one operation. An open file has the path that it was opened by."""

    verb: str
    path: str
    target: str = ""
    """The new name, for `rename` and `link`."""
    offset: int = 0
    """Where `read` and `write` begin; the new length, for `truncate`."""
    data: Sequence[bytes] = ()
    """The bytes to `write`; the call may write fewer, and returns how many."""


class File:
    """An open file. Closing it releases its lock, too."""

    __slots__ = ("descriptor", "path")

    def __init__(self, descriptor: int, path: str) -> None:
        """Own the descriptor."""
        self.descriptor = descriptor
        self.path = path

    def close(self) -> None:
        """Close the file. Idempotent."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        """Close the file at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()


class Disk:
    """Blocking operations on files and directories; call them in a pool's thread."""

    def perform(self, operation: DiskOperation, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Carry out one operation. Every access to the file system passes through this method."""
        del operation
        return call(*args, **kwargs)

    # --- files ---

    def open(self, path: str) -> File:
        """Open a file for reading. Raises NotRegularFileError."""
        return File(self.perform(DiskOperation("open", path), _open_regular, path, os.O_RDONLY), path)

    def open_to_write(self, path: str) -> File:
        """Open an existing file for reading and writing. Raises NotRegularFileError."""
        return File(self.perform(DiskOperation("open", path), _open_regular, path, os.O_RDWR), path)

    def create(self, path: str, *, exclusive: bool = False) -> File:
        """Open a file for reading and writing, and create it if it is missing. Raises NotRegularFileError.

        With `exclusive`, raises FileExistsError if it exists.
        """
        flags = os.O_RDWR | os.O_CREAT | (os.O_EXCL if exclusive else 0)
        return File(self.perform(DiskOperation("create", path), _open_regular, path, flags), path)

    def read(self, file: File, length: int, offset: int) -> bytes:
        """Return `length` bytes from `offset`, fewer only at the end of the file."""
        piece = self._read(file, length, offset)
        if len(piece) in {0, length}:
            return piece
        pieces = [piece]
        missing = length - len(piece)
        while missing and (piece := self._read(file, missing, offset + length - missing)):
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def _read(self, file: File, length: int, offset: int) -> bytes:
        return self.perform(DiskOperation("read", file.path, offset=offset), os.pread, file.descriptor, length, offset)

    def write(self, file: File, pieces: Sequence[bytes], offset: int) -> None:
        """Write all pieces in order. If it raises, some of them may be written."""
        while pieces:
            operation = DiskOperation("write", file.path, offset=offset, data=pieces)
            written = self.perform(operation, os.pwritev, file.descriptor, pieces, offset)
            offset += written
            pieces = _behind(pieces, written)

    def truncate(self, file: File, length: int) -> None:
        """Cut the file to `length` bytes."""
        self.perform(DiskOperation("truncate", file.path, offset=length), os.ftruncate, file.descriptor, length)

    def sync(self, file: File) -> None:
        """Make the file's bytes durable. After an error they are lost: a later success proves nothing."""
        self.perform(DiskOperation("sync", file.path), _sync, file.descriptor)

    def sync_all(self, files: Sequence[File]) -> None:
        """Make the bytes of several files durable, with less waiting than by a `sync` of each alone.

        All are being written before the first one is waited for, so that one commit of a journal has all of them.
        """
        if len(files) > 1 and sys.platform == "linux":
            for file in files:
                # Begins to write the pages that are not written yet, and so drops none of them.
                self.perform(
                    DiskOperation("begin sync", file.path),
                    os.posix_fadvise,
                    file.descriptor,
                    0,
                    0,
                    os.POSIX_FADV_DONTNEED,
                )
        for file in files:
            self.sync(file)

    def lock(self, file: File) -> bool:
        """Lock the file until it is closed; return False at once if another open file holds the lock."""
        return self.perform(DiskOperation("lock", file.path), _lock, file.descriptor)

    def will_need(self, file: File, offset: int, length: int) -> None:
        """Ask the system to read these bytes into memory, where that is supported."""
        if sys.platform == "linux":
            self.perform(
                DiskOperation("read ahead", file.path, offset=offset),
                os.posix_fadvise,
                file.descriptor,
                offset,
                length,
                os.POSIX_FADV_WILLNEED,
            )

    # --- names ---

    def rename(self, path: str, target: str) -> None:
        """Rename a file, replacing a file of that name. Durable once the directory is synced."""
        self.perform(DiskOperation("rename", path, target), os.rename, path, target)

    def link(self, path: str, target: str) -> None:
        """Give a file a second name, which must be free."""
        self.perform(DiskOperation("link", path, target), os.link, path, target)

    def unlink(self, path: str) -> None:
        """Remove a name, and with its last name the file."""
        self.perform(DiskOperation("unlink", path), os.unlink, path)

    def mkdir(self, path: str) -> None:
        """Create a directory whose parent exists."""
        self.perform(DiskOperation("mkdir", path), os.mkdir, path, DIRECTORY_MODE)

    def open_directory(self, path: str) -> File:
        """Open a directory, to lock it. A symbolic link to one is followed."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        return File(self.perform(DiskOperation("open", path), os.open, path, flags), path)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        self.perform(DiskOperation("rmdir", path), os.rmdir, path)

    def sync_directory(self, path: str) -> None:
        """Make the names in a directory durable."""
        self.perform(DiskOperation("sync directory", path), _sync_directory, path)

    # --- status ---

    def status(self, path: str) -> os.stat_result:
        """Return the status of a file or directory, following symbolic links."""
        return self.perform(DiskOperation("stat", path), os.stat, path)

    def file_status(self, path: str) -> os.stat_result:
        """Return the status of a regular file. Raises NotRegularFileError."""
        return self.perform(DiskOperation("stat", path), _status_of_regular, path)

    def link_status(self, path: str) -> os.stat_result:
        """Return the status of a name; that of a symbolic link, not of its target."""
        return self.perform(DiskOperation("stat", path), os.lstat, path)

    def real_path(self, path: str) -> str:
        """Return the path without symbolic links. Raises FileNotFoundError."""
        return self.perform(DiskOperation("stat", path), os.path.realpath, path, strict=True)

    def status_of(self, file: File) -> os.stat_result:
        """Return the status of an open file."""
        return self.perform(DiskOperation("stat", file.path), os.fstat, file.descriptor)

    def entries(self, path: str) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """Open a directory to iterate over its entries."""
        return self.perform(DiskOperation("list", path), os.scandir, path)

    def free_bytes(self, path: str) -> tuple[int, int]:
        """Return the bytes free for this user on the file system of `path`, and its size in bytes."""
        found = self.perform(DiskOperation("free", path), os.statvfs, path)
        return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize

    def writable(self, path: str) -> bool:
        """Return whether this process may create entries in a directory."""
        return self.perform(DiskOperation("access", path), os.access, path, os.W_OK | os.X_OK)

    # --- whole files ---

    def read_file(self, path: str, limit_bytes: int) -> bytes:
        """Return a file's content, at most `limit_bytes` of it."""
        with self.open(path) as file:
            return self.read(file, limit_bytes, 0)

    @contextmanager
    def staged(self, path: str) -> Iterator[File]:
        """Create a new file that the block writes, syncs and renames. It is removed if the block fails."""
        with self.create(path, exclusive=True) as file:
            try:
                yield file
            except BaseException:
                with suppress(OSError):  # the first failure counts
                    self.unlink(path)
                raise


def _behind(pieces: Sequence[bytes], written: int) -> Sequence[bytes]:
    """Return the rest of the pieces after the first `written` bytes."""
    for index, piece in enumerate(pieces):
        if written < len(piece):
            return [piece[written:], *pieces[index + 1 :]]
        written -= len(piece)
    return ()


def _open_regular(path: str, flags: int) -> int:
    try:
        descriptor = os.open(path, flags | _REGULAR_FLAGS, FILE_MODE)
    except OSError as error:
        if error.errno in _NOT_OPENED:
            raise _not_regular(path, os.lstat(path).st_mode) from error
        raise
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise _not_regular(path, mode)
    return descriptor


def _status_of_regular(path: str) -> os.stat_result:
    status = os.lstat(path)
    if not stat.S_ISREG(status.st_mode):
        raise _not_regular(path, status.st_mode)
    return status


def _not_regular(path: str, mode: int) -> NotRegularFileError:
    kind = _kind(mode)
    _warn_not_regular(path, kind)
    return NotRegularFileError(errno.ENOENT, f"{kind} is in the place of a regular file", path)


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFDIR: "a directory",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")


@lru_cache(maxsize=_WARNED_PATHS)  # once a path
def _warn_not_regular(path: str, kind: str) -> None:
    _log.warning("%s is %s: it is not read; replace it by a regular file", path, kind)


def _sync(descriptor: int) -> None:
    if sys.platform == "darwin":
        # fsync leaves the bytes in the drive's cache there.
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fsync(descriptor)


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
