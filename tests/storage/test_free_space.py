"""The free space that pushes leave on a disk."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from zot.config.model import Config
from zot.oci.names import Repository
from zot.storage.build import floor_of, space_warnings
from zot.storage.disk import Disk
from zot.storage.filesystem import FilesystemStorage
from zot.storage.free_space import Floor, FreeSpace
from zot.storage.interface import StorageFullError
from zot.storage.threads import ThreadPools

MIB = 1 << 20
GIB = 1 << 30


class SmallDisk(Disk):
    """A disk with a given size and free space."""

    def __init__(self, free: int, size: int) -> None:
        self.free, self.size = free, size

    def free_bytes(self, path: str) -> tuple[int, int]:
        """Return the given numbers."""
        assert path
        return self.free, self.size


@pytest.mark.parametrize(
    ("floor", "size", "kept"),
    [
        (Floor(), 200 * MIB, 20 * MIB),
        (Floor(), 2 * GIB, 2 * GIB // 10),
        (Floor(), 20 * GIB, 512 * MIB),
        (Floor(), 100 * GIB, GIB),
        (Floor(1.0, 512 * MIB), 200 * MIB, 512 * MIB),
        (Floor(0, 0), 200 * MIB, 0),
        (Floor(50.0, 1), 200 * MIB, 100 * MIB),
    ],
)
def test_the_default_shrinks_with_the_disk_and_what_is_configured_holds(floor: Floor, size: int, kept: int) -> None:
    """512 MiB and 1 % are kept, a tenth of a small disk; a configured value applies as it is."""
    assert floor.kept_bytes(size) == kept
    FreeSpace(SmallDisk(kept, size), "/root", floor).check()
    with pytest.raises(StorageFullError, match="are kept for deletes"):
        FreeSpace(SmallDisk(kept, size), "/root", floor).check(1)


def test_only_a_value_that_is_named_does_not_shrink() -> None:
    """The default is distinguished from the same value in a configuration file."""
    assert floor_of(Config.default().storage).min_free_bytes is None
    named = Config.model_validate({"storage": {"rootDirectory": "/nowhere", "minFreeBytes": 512 * MIB}})
    assert floor_of(named.storage) == Floor(1.0, 512 * MIB)


@pytest.mark.parametrize("there", [True, False])
def test_a_disk_on_which_pushes_are_refused_is_named(tmp_path: Path, there: bool) -> None:
    """The warning comes before the start, also if the root does not exist, and does not create it."""
    root = tmp_path / "root" / "of" / "a-store"
    if there:
        root.mkdir(parents=True)
    tree = {"storage": {"rootDirectory": str(root), "minFreeBytes": 1 << 60}}
    (warning,) = space_warnings(Config.model_validate(tree).storage)
    assert "pushes are refused" in warning
    assert root.exists() == there
    tree = {"storage": {"rootDirectory": str(root), "minFreeBytes": 0, "minFreePercent": 0}}
    assert list(space_warnings(Config.model_validate(tree).storage)) == []


async def test_space_is_checked_before_it_is_used(tmp_path: Path) -> None:
    """The bytes of a push are compared with the free space beyond the floor."""
    pools = ThreadPools()
    storage = FilesystemStorage(
        str(tmp_path), pools, min_free_percent=0, min_free_bytes=20 * MIB, disk=SmallDisk(30 * MIB, 100 * MIB)
    )
    await storage.ensure_space(Repository("app"), 10 * MIB)
    with pytest.raises(StorageFullError):
        await storage.ensure_space(Repository("app"), 10 * MIB + 1)
    pools.close()


async def test_plenty_of_space_is_remembered_for_small_pushes(tmp_path: Path) -> None:
    """A look that found far more than the floor spares small pushes another one for a moment, but no large push."""
    pools = ThreadPools()
    disk = SmallDisk(30 * GIB, 100 * GIB)
    storage = FilesystemStorage(str(tmp_path), pools, min_free_percent=0, min_free_bytes=20 * GIB, disk=disk)
    await storage.ensure_space(Repository("app"), MIB)
    disk.free = 20 * GIB
    await storage.ensure_space(Repository("app"), MIB)
    with pytest.raises(StorageFullError):
        await storage.ensure_space(Repository("app"), GIB)
    while storage._free_space.is_plenty(MIB):  # noqa: ASYNC110 (it passes by itself)
        await asyncio.sleep(0.01)
    with pytest.raises(StorageFullError):
        await storage.ensure_space(Repository("app"), MIB)
    disk.free = 22 * GIB
    await storage.ensure_space(Repository("app"), MIB)
    assert not storage._free_space.is_plenty(MIB)
    pools.close()
