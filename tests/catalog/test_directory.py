"""Where the catalog may be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zot.catalog.interface import CatalogUnusableError
from zot.catalog.sqlite import directory as place
from zot.catalog.sqlite.directory import MountPoint, mounts, prepare, refuse_network


def mounted(directory: Path, file_system: str) -> list[MountPoint]:
    """Return a table of mounts in which the directory's device is of this type."""
    device = directory.stat().st_dev
    return [MountPoint((0, 0), "proc"), MountPoint((os.major(device), os.minor(device)), file_system)]


@pytest.mark.parametrize("file_system", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse", "fuse.sshfs", "ceph"])
def test_a_network_file_system_is_refused(tmp_path: Path, file_system: str) -> None:
    """The message names the key, the directory and what is wrong with it."""
    with pytest.raises(CatalogUnusableError, match=rf"storage\.catalog\.directory: {tmp_path} is on {file_system}"):
        refuse_network(tmp_path, mounted(tmp_path, file_system))


@pytest.mark.parametrize("file_system", ["ext4", "xfs", "btrfs", "overlay", "tmpfs", "fuse.fuse-overlayfs"])
def test_a_local_file_system_is_not(tmp_path: Path, file_system: str) -> None:
    """What one kernel alone uses is fit, even where it is a container's root through FUSE."""
    refuse_network(tmp_path, mounted(tmp_path, file_system))


def test_a_device_that_is_not_listed_is_not_refused(tmp_path: Path) -> None:
    """Some file systems tell files other devices than the mount's: what is not known is not refused."""
    refuse_network(tmp_path, [])


def test_mounts_are_read_from_the_kernel(tmp_path: Path) -> None:
    """The table of mounts has optional fields of any number before its separator, and escaped names."""
    table = tmp_path / "mountinfo"
    table.write_text(
        "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue\n"
        "37 35 0:42 / /with\\040space rw - nfs4 server:/export rw\n"
    )
    assert mounts(table) == [MountPoint((98, 0), "ext3"), MountPoint((0, 42), "nfs4")]


def test_without_a_table_nothing_is_known(tmp_path: Path) -> None:
    """Systems other than Linux have none."""
    assert mounts(tmp_path / "none") == []


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """The message names the key and the system's reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(CatalogUnusableError, match=r"storage\.catalog\.directory: .*file/catalog cannot be used"):
        prepare(tmp_path / "file" / "catalog")


def test_the_entries_of_all_directories_made_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No power loss takes away a directory in which acknowledged changes are."""
    synced: list[Path] = []
    monkeypatch.setattr(place, "_sync", synced.append)
    prepare(tmp_path / "a" / "b" / "c")
    assert set(synced) == {tmp_path, tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c"}
    synced.clear()
    prepare(tmp_path / "a" / "b" / "c")
    assert set(synced) == {tmp_path / "a" / "b", tmp_path / "a" / "b" / "c"}
