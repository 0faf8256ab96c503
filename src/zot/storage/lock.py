"""One server for each root: a lock that its processes inherit, and locks on zot's databases."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from zot.storage.disk import FILE_MODE, Disk
from zot.storage.identity import make_directories, remove_unfinished
from zot.storage.interface import StorageError
from zot.storage.os_errors import FULL, storage_errors

_POLL_S = 0.1
_HOLDER_LIMIT_BYTES = 4096
# zot locks these for as long as it runs (bbolt, flock).
_ZOT_DATABASES = ("cache.db", "meta.db")


class RootInUseError(StorageError):
    """Another server has the root."""


class RootLock:
    """The lock on `<root>/.zot/lock`, held until every process with its descriptors has closed them or ended.

    So the children of a killed server keep the next server out until the last of them is gone.
    """

    def __init__(self, descriptors: list[int]) -> None:
        """Own the descriptors: the lock's, and those of zot's databases."""
        self.descriptors = descriptors
        """Inheritable; for the `pass_fds` of a child process."""

    def close(self) -> None:
        """Release the lock in this process; children keep it. Idempotent."""
        # Closing, not unlocking: an unlock would take the lock from the children, too.
        while self.descriptors:
            os.close(self.descriptors.pop())


def lock_root(root: str, wait_s: float = 30.0, waiting: Callable[[str], object] = lambda _: None) -> RootLock:
    """Lock a root, and create it if it is missing. Blocks up to `wait_s` while another server holds it.

    `waiting` is called with a sentence before the wait. Raises RootInUseError, which names the holder; StorageError.
    """
    path = Path(root, ".zot", "lock")
    with storage_errors(f"lock {root}"), ExitStack() as failing:
        make_directories(Disk(), str(path.parent.absolute()))
        lock = RootLock([])
        failing.callback(lock.close)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)
        lock.descriptors.append(descriptor)
        if not _lock_within(descriptor, fcntl.LOCK_EX, 0):
            waiting(f"{root} is in use by {_holder(descriptor)}")
            if not _lock_within(descriptor, fcntl.LOCK_EX, wait_s):
                raise RootInUseError(f"{root} is in use by {_holder(descriptor)}")
        _write_holder(descriptor)
        remove_unfinished(Disk(), root)
        for name in _ZOT_DATABASES:
            _keep_zot_away(Path(root, name), lock, wait_s)
        for each in lock.descriptors:
            os.set_inheritable(each, True)
        failing.pop_all()
    return lock


@contextmanager
def locked_roots(
    roots: Iterable[str], wait_s: float = 30.0, waiting: Callable[[str], object] = lambda _: None
) -> Iterator[None]:
    """Hold the locks on roots during the block, as by `lock_root`; processes forked in it hold them until they end."""
    with ExitStack() as held:
        for root in roots:
            held.callback(lock_root(root, wait_s=wait_s, waiting=waiting).close)
        yield


def is_locked(root: str) -> bool:
    """Return whether a server holds a root's lock. Changes nothing."""
    try:
        descriptor = os.open(Path(root, ".zot", "lock"), os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _lock_within(descriptor, fcntl.LOCK_SH, 0)
    finally:
        os.close(descriptor)


def _lock_within(descriptor: int, kind: int, wait_s: float) -> bool:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_S)
        else:
            return True


def _keep_zot_away(database: Path, lock: RootLock, wait_s: float) -> None:
    """Lock a database of zot's, if there is one, so that zot neither runs here now nor starts here later."""
    try:
        descriptor = os.open(database, os.O_RDONLY | os.O_NONBLOCK)  # a named pipe would hold up the start
    except FileNotFoundError:
        return
    lock.descriptors.append(descriptor)
    if not _lock_within(descriptor, fcntl.LOCK_SH, wait_s):
        raise RootInUseError(f"zot is running on {database.parent}: it holds {database.name}")


def _write_holder(descriptor: int) -> None:
    holder = {"pid": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
    os.ftruncate(descriptor, 0)
    try:
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
    except OSError as error:  # the lock holds all the same, without the name of its process
        if error.errno not in FULL:
            raise


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, _HOLDER_LIMIT_BYTES, 0))
        return f"process {int(holder['pid'])}, since {holder['since']}"
    except (ValueError, KeyError, TypeError):  # not written yet
        return "another server"
