"""The lock on a root: one server for each."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from zot.storage.interface import StorageError
from zot.storage.lock import RootInUseError, lock_root


def test_a_root_is_locked_once(tmp_path: Path) -> None:
    """The error of a second server names the holder and its start; when the holder ends, the root is free."""
    lock = lock_root(str(tmp_path / "new" / "root"))
    with pytest.raises(RootInUseError, match=rf"in use by process {os.getpid()}, since 20\d\d-"):
        lock_root(str(tmp_path / "new" / "root"), wait_s=0)
    lock.close()
    lock.close()
    lock_root(str(tmp_path / "new" / "root"), wait_s=0).close()


def test_a_starter_waits(tmp_path: Path) -> None:
    """A server that starts while the old one ends gets the root when it is free."""
    lock = lock_root(str(tmp_path))
    timer = threading.Timer(0.05, lock.close)
    timer.start()
    lock_root(str(tmp_path), wait_s=30).close()
    timer.join()


def test_files_of_an_interrupted_start_are_removed(tmp_path: Path) -> None:
    """The next start removes files that an interrupted one left staged, but not the identity."""
    kept, left = tmp_path / ".zot" / "store.json", tmp_path / ".zot" / "store.json.0123456789abcdef"
    kept.parent.mkdir()
    kept.write_text('{"store": "an-id"}')
    left.touch()
    lock_root(str(tmp_path)).close()
    assert kept.exists()
    assert not left.exists()


def test_children_keep_the_lock(tmp_path: Path) -> None:
    """A child that inherited the lock keeps it after its parent released it, until the child ends."""
    lock = lock_root(str(tmp_path))
    assert all(os.get_inheritable(descriptor) for descriptor in lock.descriptors)
    child = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=lock.descriptors, close_fds=True
    )
    try:
        lock.close()
        with pytest.raises(RootInUseError):
            lock_root(str(tmp_path), wait_s=0)
    finally:
        child.communicate(b"\n")
    lock_root(str(tmp_path), wait_s=0).close()


@pytest.mark.parametrize("name", ["cache.db", "meta.db"])
def test_zot_is_seen(tmp_path: Path, name: str) -> None:
    """Where zot holds the lock of a database no server starts, and no lock is left behind."""
    (tmp_path / name).write_bytes(b"")
    with (tmp_path / name).open("r+b") as database:
        fcntl.flock(database, fcntl.LOCK_EX)
        with pytest.raises(RootInUseError, match=f"zot is running on {tmp_path}: it holds {name}"):
            lock_root(str(tmp_path), wait_s=0)
    lock_root(str(tmp_path), wait_s=0).close()


def test_zot_is_kept_away(tmp_path: Path) -> None:
    """While the root is locked zot cannot open its databases here; afterwards it can."""
    (tmp_path / "cache.db").write_bytes(b"")
    lock = lock_root(str(tmp_path))
    with (tmp_path / "cache.db").open("r+b") as database:
        with pytest.raises(BlockingIOError):
            fcntl.flock(database, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.close()
        fcntl.flock(database, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_root_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    """The error names the root and the path at fault."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=f"cannot lock {tmp_path}/file: Not a directory"):
        lock_root(str(tmp_path / "file"))


def test_a_holder_that_wrote_nothing_yet(tmp_path: Path) -> None:
    """A holder that has not written its process id yet is called another server."""
    lock = lock_root(str(tmp_path))
    (tmp_path / ".zot" / "lock").write_bytes(b"")
    with pytest.raises(RootInUseError, match="another server"):
        lock_root(str(tmp_path), wait_s=0)
    lock.close()
