"""The catalog's directory: fit for SQLite, and locked by its one writer."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO, NamedTuple

from zot.catalog.interface import CatalogUnavailableError, CatalogUnusableError
from zot.config.state_directory import CATALOG_DATABASE

DATABASE = CATALOG_DATABASE
# A complete database that takes the damaged one's place.
_NEW = "catalog.db.new"
_LOCK = "catalog.lock"
_MOUNTS = Path("/proc/self/mountinfo")

# The index of a write-ahead log is memory shared by processes of one kernel: SQLite has it corrupted across machines.
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs"})
_LOCAL_FUSE = frozenset({"fuseblk", "fuse.fuse-overlayfs"})


class MountPoint(NamedTuple):
    """A line of mountinfo (proc_pid_mountinfo(5)): the device of what is mounted, and its type."""

    device: tuple[int, int]
    file_system: str


def prepare(directory: Path) -> Path:
    """Return the path of the database in a directory that is made if need be. Raises CatalogUnusableError.

    Only its owner can read it. A new file's entry is synced, so that no crash takes the database from its log.
    """
    path = directory / DATABASE
    try:
        # The entries of the directories, too: the one above it because its creator may have died before syncing.
        above = [directory.parent, *(each.parent for each in directory.parents if not each.exists())]
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        refuse_network(directory, mounts())
        finish_replacing(directory)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        for each in (directory, *above):
            _sync(each)
    except OSError as error:
        raise CatalogUnusableError(f"storage.catalog.directory: {directory} cannot be used: {error}") from error
    return path


def existing(directory: Path) -> Path:
    """Return the path of the database in a directory that a start has prepared. Raises CatalogUnavailableError."""
    path = directory / DATABASE
    finish_replacing(directory)
    if not (path.exists() and (directory / _LOCK).exists()):
        raise CatalogUnavailableError(f"{path} is not there: is its disk mounted?")
    return path


def replace_damaged(directory: Path, made: Path) -> Path:
    """Put a new database in the place of a damaged one, which is kept with its log; return where. Raises OSError.

    A crash leaves the damaged one with its log in place, or the new one.
    """
    number = next(n for n in count(1) if not (directory / f"{DATABASE}.damaged-{n}").exists())
    kept = directory / f"{DATABASE}.damaged-{number}"
    for suffix in ("-wal", ""):
        with suppress(FileNotFoundError):
            _link_or_copy(directory / f"{DATABASE}{suffix}", Path(f"{kept}{suffix}"))
    _sync(directory)
    made.rename(directory / _NEW)
    _sync(directory)
    finish_replacing(directory)
    return kept


def finish_replacing(directory: Path) -> None:
    """Finish a replacement that a crash interrupted. Idempotent. Raises OSError."""
    new = directory / _NEW
    if new.exists():
        # First: no other database may ever find the log of the damaged one beside itself.
        for suffix in ("-wal", "-shm"):
            (directory / f"{DATABASE}{suffix}").unlink(missing_ok=True)
        new.rename(directory / DATABASE)
        _sync(directory)


def _link_or_copy(path: Path, target: Path) -> None:
    try:
        target.hardlink_to(path)
    except FileNotFoundError:
        raise
    except OSError:  # not on this file system
        shutil.copyfile(path, target)


def refuse_network(directory: Path, mounted: list[MountPoint]) -> None:
    """Raise CatalogUnusableError if the directory is on a file system of several machines."""
    device = directory.stat().st_dev
    number = (os.major(device), os.minor(device))
    found = next((mount.file_system for mount in mounted if mount.device == number), "")
    if found in _NETWORK or (found.startswith("fuse") and found not in _LOCAL_FUSE):
        raise CatalogUnusableError(
            f"storage.catalog.directory: {directory} is on {found}, where SQLite is not safe; name a directory on a "
            "local disk (the blobs may stay where they are)"
        )


def lock(directory: Path, *, create: bool = True) -> BinaryIO:
    """Return a file that holds the writer's lock until it is closed. Without `create` its file has to be there.

    Raises CatalogUnusableError if another process has the lock, OSError.
    """
    flags = os.O_WRONLY | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    held = os.fdopen(os.open(directory / _LOCK, flags, 0o600), "wb")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        held.close()
        raise CatalogUnusableError(
            f"the catalog in {directory} is in use by another writer; stop that server first"
        ) from error
    return held


def is_locked_by(directory: Path, held: BinaryIO) -> bool:
    """Tell whether the lock that is held is this directory's, and not that of another disk that was there before."""
    try:
        return os.path.samestat((directory / _LOCK).stat(), os.fstat(held.fileno()))
    except FileNotFoundError:
        return False


def mounts(table: Path = _MOUNTS) -> list[MountPoint]:
    """Return what is mounted, as far as the system tells: only Linux does."""
    if not table.exists():
        return []
    found = []
    # Only line feeds end a line: other line breaks may be part of a path.
    for line in table.read_bytes().decode(errors="surrogateescape").rstrip("\n").split("\n"):
        front, _, back = line.partition(" - ")
        major, _, minor = front.split(" ")[2].partition(":")
        found.append(MountPoint((int(major), int(minor)), back.split(" ")[0]))
    return found


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
