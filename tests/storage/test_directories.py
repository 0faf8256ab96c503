"""Creating and syncing the directories of repositories."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from zot.oci.names import parse_repository
from zot.storage.directories import Directories
from zot.storage.disk import Disk
from zot.storage.identity import StoreIdentity
from zot.storage.layout_paths import LayoutPaths

OTHERS = 5


class SteppedDisk(Disk):
    """A disk whose syncs of directories wait for their `release`, and may fail."""

    def __init__(self) -> None:
        """Let no sync fail."""
        self.begun: list[Event] = [Event() for _ in range(3)]
        self.release: list[Event] = [Event() for _ in range(3)]
        self.syncs = 0
        self.fails_at = -1

    def sync_directory(self, path: str) -> None:
        """Wait, then sync or fail."""
        number = self.syncs
        self.syncs += 1
        self.begun[number].set()
        self.release[number].wait()
        if number == self.fails_at:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        super().sync_directory(path)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """A thread for each caller."""
    with ThreadPoolExecutor(OTHERS + 2) as threads:
        yield threads


def waiting(directories: Directories, path: str) -> int:
    """Return how many calls for that directory are running."""
    syncs = directories._syncs.get(path)
    return 0 if syncs is None else syncs.users


@pytest.mark.parametrize("fails", [False, True])
def test_one_sync_serves_all_that_wait(tmp_path: Path, threads: ThreadPoolExecutor, fails: bool) -> None:
    """Callers that arrive during a sync share one more, which begins later; all of them get its error."""
    disk = SteppedDisk()
    disk.fails_at = 1 if fails else -1
    path = str(tmp_path)
    directories = Directories(disk, LayoutPaths(path), StoreIdentity(disk, path, None), durable=True)

    first = threads.submit(directories.sync, path)
    disk.begun[0].wait()
    others = [threads.submit(directories.sync, path) for _ in range(OTHERS)]
    while waiting(directories, path) < 1 + OTHERS:
        pass
    assert not any(other.done() for other in others)
    disk.release[0].set()
    first.result()
    disk.begun[1].wait()
    late = threads.submit(directories.sync, path)
    while waiting(directories, path) < 1 + OTHERS:
        pass
    disk.release[1].set()
    errors = [other.exception() for other in others]
    assert all(isinstance(error, OSError) if fails else error is None for error in errors)
    assert not late.done()
    disk.release[2].set()
    late.result()
    assert disk.syncs == 3
    assert waiting(directories, path) == 0


def test_directories_do_not_wait_for_each_other(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    """The sync of one directory does not wait for a slow sync of another."""
    disk = SteppedDisk()
    one, other = str(tmp_path / "one"), str(tmp_path / "other")
    Path(one).mkdir()
    Path(other).mkdir()
    directories = Directories(disk, LayoutPaths(str(tmp_path)), StoreIdentity(disk, str(tmp_path), None), durable=True)
    first = threads.submit(directories.sync, one)
    disk.begun[0].wait()
    disk.release[1].set()
    directories.sync(other)
    assert not first.done()
    disk.release[0].set()
    first.result()


class ParentsGo(Disk):
    """A disk that removes a new directory again, a number of times, before the next one is created."""

    def __init__(self, times: int) -> None:
        """Remove the first `times` directories."""
        self.left = times

    def mkdir(self, path: str) -> None:
        """Create a directory and remove it again."""
        super().mkdir(path)
        if self.left:
            self.left -= 1
            self.rmdir(path)


def test_a_removed_parent_is_created_again(tmp_path: Path) -> None:
    """A push survives that collection removes an empty parent between two calls; it does not retry indefinitely."""
    for directory, times in (("some", 5), ("all", 10**9)):
        disk = Disk()
        paths = LayoutPaths(str(tmp_path / directory))
        identity = StoreIdentity(disk, paths.root, None)
        identity.establish()
        going = Directories(ParentsGo(times), paths, identity, durable=True)
        if directory == "some":
            going.for_content(parse_repository("team/app"), "sha256")
            assert Path(paths.blobs(parse_repository("team/app"), "sha256")).is_dir()
        else:
            with pytest.raises(FileNotFoundError):
                going.for_content(parse_repository("team/app"), "sha256")
