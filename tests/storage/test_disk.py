"""The only access to the file system."""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.failing_disk import NthFails, ObservedDisk, ShortDisk
from zot.storage.disk import CHANGES, Disk, DiskOperation, NotRegularFileError


@given(st.lists(st.binary(max_size=20), max_size=8), st.integers(1, 9), st.integers(0, 10))
def test_short_writes_and_reads_are_continued(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], limit: int, offset: int
) -> None:
    """However few bytes a system call transfers, all pieces are written and all bytes are read."""
    disk = ShortDisk(limit)
    with disk.create(str(tmp_path_factory.mktemp("short") / "file")) as file:
        disk.write(file, pieces, offset)
        whole = b"".join(pieces)
        assert disk.read(file, len(whole) + 5, offset) == whole
        assert os.fstat(file.descriptor).st_size == (offset + len(whole) if whole else 0)


def test_new_files_are_private(tmp_path: Path) -> None:
    """Files are 0600 and directories 0700."""
    disk = Disk()
    disk.mkdir(str(tmp_path / "directory"))
    disk.create(str(tmp_path / "file")).close()
    assert stat.S_IMODE((tmp_path / "directory").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


def test_a_lock_excludes_other_openings(tmp_path: Path) -> None:
    """A file is locked once, also within one process; closing it releases the lock."""
    disk = Disk()
    path = str(tmp_path / "file")
    with disk.create(path) as first, disk.open_to_write(path) as second:
        assert disk.lock(first)
        assert not disk.lock(second)
        first.close()
        assert disk.lock(second)


def test_a_staged_file_is_removed_if_its_block_fails(tmp_path: Path) -> None:
    """A staged file is removed when the block raises; if the removal fails, too, the first error is raised."""
    disk = NthFails(errno.EIO)
    with pytest.raises(ZeroDivisionError), disk.staged(str(tmp_path / "one")):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    disk.arm_verb("unlink")
    with pytest.raises(ZeroDivisionError), disk.staged(str(tmp_path / "two")):
        raise ZeroDivisionError


def test_a_file_is_closed_once(tmp_path: Path) -> None:
    """Closing twice does not close a descriptor that another file was given since."""
    disk = Disk()
    file = disk.create(str(tmp_path / "file"))
    descriptor = file.descriptor
    file.close()
    with disk.create(str(tmp_path / "other")) as other:
        assert other.descriptor == descriptor
        file.close()
        assert disk.read(other, 1, 0) == b""


def test_every_change_passes_through_perform(tmp_path: Path) -> None:
    """Each method that changes the disk calls `perform` with its description, by a verb of CHANGES."""
    disk = ObservedDisk()
    a, b, c = (str(tmp_path / name) for name in "abc")
    with disk.create(a) as file:
        disk.write(file, [b"one", b"two"], 5)
        disk.truncate(file, 7)
        disk.sync(file)
    disk.link(a, b)
    disk.rename(a, c)
    disk.unlink(b)
    disk.mkdir(a)
    disk.sync_directory(a)
    disk.rmdir(a)
    assert disk.operations == [
        DiskOperation("create", a),
        DiskOperation("write", a, offset=5, data=[b"one", b"two"]),
        DiskOperation("truncate", a, offset=7),
        DiskOperation("sync", a),
        DiskOperation("link", a, b),
        DiskOperation("rename", a, c),
        DiskOperation("unlink", b),
        DiskOperation("mkdir", a),
        DiskOperation("sync directory", a),
        DiskOperation("rmdir", a),
    ]
    assert set(disk.verbs()) == CHANGES


def test_looking_changes_nothing(tmp_path: Path) -> None:
    """Operations that only read have verbs outside CHANGES, and call `perform`, too."""
    disk = ObservedDisk()
    (tmp_path / "file").write_bytes(b"content")
    path = str(tmp_path / "file")
    assert disk.read_file(path, 4) == b"cont"
    with disk.open(path) as file:
        assert disk.lock(file)
        disk.will_need(file, 0, 7)
        assert disk.status_of(file).st_size == disk.status(path).st_size == 7
    with disk.entries(str(tmp_path)) as entries:
        assert [entry.name for entry in entries] == ["file"]
    free_bytes, size_bytes = disk.free_bytes(str(tmp_path))
    assert 0 < free_bytes < size_bytes
    assert disk.writable(str(tmp_path))
    assert not CHANGES & set(disk.verbs())


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("a named pipe", os.mkfifo),
        ("a directory", os.mkdir),
        ("a socket", _socket),
        ("a symbolic link", lambda path: path.symlink_to("/etc/passwd")),
        ("a symbolic link", lambda path: path.symlink_to("nowhere")),
        ("a symbolic link", lambda path: path.symlink_to("neighbour")),
    ],
)
def test_a_file_that_is_not_regular_is_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, make: Callable[[Path], object]
) -> None:
    """It is not opened, blocks no thread, and is named in the log once."""
    disk = Disk()
    (tmp_path / "neighbour").write_bytes(b"content")
    path = tmp_path / "file"
    make(path)
    doings: list[Callable[[str], object]] = [disk.open, disk.file_status, lambda each: disk.read_file(each, 1)]
    if kind != "a directory":
        doings += [disk.open_to_write, disk.create]
    with caplog.at_level(logging.WARNING):
        for doing in doings:
            with pytest.raises(NotRegularFileError, match=kind):
                doing(str(path))
    assert caplog.text.count(f"{path} is {kind}") == 1
    assert (tmp_path / "neighbour").read_bytes() == b"content"
