"""A directory that was synced once is not synced again, unless it may be another one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from zot.oci.names import parse_repository
from zot.storage.directories import Directories
from zot.storage.disk import Disk
from zot.storage.identity import StoreIdentity
from zot.storage.layout_paths import LayoutPaths
from zot.storage.synced_directories import SyncedDirectories

APP = parse_repository("team/app")


class CountingDisk(Disk):
    """A disk that counts the syncs of each directory."""

    def __init__(self) -> None:
        """Begin with none."""
        self.syncs: Counter[str] = Counter()

    def sync_directory(self, path: str) -> None:
        """Count a sync."""
        self.syncs[path] += 1
        super().sync_directory(path)


def process(root: Path, synced: SyncedDirectories) -> tuple[Directories, CountingDisk]:
    """Return what makes directories in one process of a server."""
    disk = CountingDisk()
    identity = StoreIdentity(disk, str(root), None)
    identity.establish()
    disk.syncs.clear()
    return Directories(disk, LayoutPaths(str(root)), identity, synced, durable=True), disk


def test_one_process_syncs_for_all(tmp_path: Path) -> None:
    """The first one syncs the directories of a repository, and the others only look whether they are there."""
    synced = SyncedDirectories()
    (one, ones), (other, others) = process(tmp_path, synced), process(tmp_path, synced)
    one.for_content(APP, "sha256")
    made = [tmp_path, tmp_path / "team", tmp_path / "team/app", tmp_path / "team/app/blobs"]
    assert ones.syncs == Counter(map(str, made))
    other.for_content(APP, "sha256")
    one.for_content(APP, "sha256")
    assert not others.syncs
    assert ones.syncs.total() == 4


def test_a_directory_that_was_removed_is_synced_again(tmp_path: Path) -> None:
    """Also if another process makes it again without having synced it yet."""
    synced = SyncedDirectories()
    (one, _), (other, others) = process(tmp_path, synced), process(tmp_path, synced)
    one.for_content(APP, "sha256")
    path = Path(LayoutPaths(str(tmp_path)).blobs(APP, "sha256"))
    with synced.removing(str(path)):
        path.rmdir()
    path.mkdir()
    other.for_content(APP, "sha256")
    assert others.syncs[str(path.parent)] == 1


def test_a_failed_sync_is_tried_again(tmp_path: Path) -> None:
    """A directory whose sync failed does not count as synced."""

    class Failing(CountingDisk):
        def sync_directory(self, path: str) -> None:
            super().sync_directory(path)
            raise OSError(5, "Input/output error", path)

    synced = SyncedDirectories()
    other, others = process(tmp_path, synced)
    paths = LayoutPaths(str(tmp_path))
    failing = Directories(Failing(), paths, StoreIdentity(Disk(), str(tmp_path), None), synced, durable=True)
    with pytest.raises(OSError, match="Input/output"):
        failing.for_content(APP, "sha256")
    other.for_content(APP, "sha256")
    assert others.syncs.total() == 4


def test_no_directory_is_trusted_that_was_not_synced() -> None:
    """In every order of the steps of processes that use a directory, ask for it, remove it, and make it again.

    A process that finds it synced has seen a directory whose name was synced since it was made, if it is still there.
    """
    synced = SyncedDirectories()

    class World:
        """A directory, and what is known of it."""

        def __init__(self, path: str) -> None:
            self.path = path
            self.exists = self.durable = False
            self.trusted = 0

        def make(self) -> None:
            """Make the directory unless it is there. Its name is not durable yet."""
            if not self.exists:
                self.exists, self.durable = True, False

        def use(self) -> list[Callable[[], object]]:
            """Return the steps of a process, as `Directories.for_content` takes them."""
            known: dict[str, int | None] = {}

            def look() -> None:
                known["exists"] = self.exists

            def ask() -> None:
                if known["exists"] and self.path in synced:
                    known["done"] = 1
                    self.trusted += 1
                    assert self.durable or not self.exists
                else:
                    known["removals"] = synced.removals(self.path)

            def make() -> None:
                if "done" not in known:
                    self.make()

            def sync() -> None:
                if "done" not in known:
                    self.durable = self.exists

            def add() -> None:
                if "done" not in known:
                    synced.add(self.path, known["removals"])

            return [look, ask, make, sync, add]

        def remove(self) -> list[Callable[[], object]]:
            """Return the steps of the process that removes it."""
            block = synced.removing(self.path)

            def rmdir() -> None:
                self.exists = self.durable = False

            return [block.__enter__, rmdir, lambda: block.__exit__(None, None, None)]

    trusted = 0
    for number, order in enumerate(_orders(5, 2, 3, 1)):
        world = World(f"/root/{number}/blobs/sha256")
        for step in world.use():
            step()
        steps = [iter(world.use()), iter(world.use()), iter(world.remove()), iter([world.make])]
        for process in order:
            next(steps[process])()
        trusted += world.trusted
    assert trusted


def _orders(*steps: int) -> Iterator[tuple[int, ...]]:
    """Iterate over the orders of the steps of several processes: a number of a process for each step."""
    if not any(steps):
        yield ()
    for process, left in enumerate(steps):
        if left:
            for rest in _orders(*steps[:process], left - 1, *steps[process + 1 :]):
                yield (process, *rest)
