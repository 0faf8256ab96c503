"""A full disk: what frees room is carried out by the room that is held for it, and nothing else takes that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from catalog.failing_vfs import FailingVfs
from contract.catalog.examples import APP, V1, digest, put
from zot.catalog.command import Command
from zot.catalog.interface import CatalogFullError
from zot.catalog.layout_commands import ImportLayout
from zot.catalog.manifest_commands import Absent, Deleted, DeleteTag, RemoveManifest
from zot.catalog.sqlite.disk_reserve import FILE, DiskReserve, ReservedSpace
from zot.catalog.sqlite.recovery import begin
from zot.catalog.sqlite.writer import Writer
from zot.catalog.upload_commands import CreateUploadRow, LeaseUpload

MIB = 1 << 20
GROWING: list[Command[Any]] = [
    put("new"),
    ImportLayout(repository=APP),
    CreateUploadRow(repository=APP, session="s", principal="", algorithm="sha256"),
    LeaseUpload(repository=APP, session="s", principal="alice", owner="o"),
]


class FullDisk(FailingVfs):
    """A disk that is full for as long as the reserve is held."""

    def __init__(self, directory: Path) -> None:
        super().__init__(uuid4().hex)
        self._reserve = directory / FILE
        self.filled = False

    @property
    def full(self) -> bool:
        """Whether writes of the log fail."""
        return self.filled and self._reserve.stat().st_size > 0

    @full.setter
    def full(self, value: bool) -> None:
        self.filled = value


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FullDisk]:
    """The disk of the test's directory, which holds a reserve."""
    begin(tmp_path, "boot")
    vfs = FullDisk(tmp_path)
    yield vfs
    vfs.unregister()


def test_deletes_are_carried_out_on_a_full_disk(disk: FullDisk, tmp_path: Path) -> None:
    """They get the reserve. What grows is refused from then on, until the reserve is held again."""
    with closing(Writer(tmp_path, "boot", vfs=disk.name, begun=True)) as writer:
        writer.run([put("image", tags=(V1,))])
        disk.filled = True
        assert isinstance(writer.run([put("new")])[0], CatalogFullError)
        assert (tmp_path / FILE).stat().st_size > 0
        (outcome,) = writer.run([DeleteTag(repository=APP, tag=V1)])
        assert isinstance(outcome, Deleted)
        assert (tmp_path / FILE).stat().st_size == 0
        disk.filled = False
        assert [type(writer.run([each])[0]) for each in GROWING] == [CatalogFullError] * len(GROWING)
        assert isinstance(writer.run([RemoveManifest(repository=APP, digest=digest("image"))])[0], Deleted)
        writer.tend(idle=True)
        assert (tmp_path / FILE).stat().st_size > 0
        assert CatalogFullError not in [type(writer.run([each])[0]) for each in GROWING]


def test_a_batch_of_both_frees_and_refuses(disk: FullDisk, tmp_path: Path) -> None:
    """In one batch each command has the outcome that it would have alone."""
    with closing(Writer(tmp_path, "boot", vfs=disk.name, begun=True)) as writer:
        writer.run([put("image", tags=(V1,))])
        disk.filled = True
        outcomes = writer.run([put("second"), DeleteTag(repository=APP, tag=V1), put("third")])
        assert [type(each) for each in outcomes] == [CatalogFullError, Deleted, CatalogFullError]
        assert isinstance(writer.run([DeleteTag(repository=APP, tag=V1)])[0], Absent)


def test_a_later_writer_knows_that_the_reserve_was_given_back(disk: FullDisk, tmp_path: Path) -> None:
    """A start on a full disk, or a writer before this one, may have given it back."""
    DiskReserve(tmp_path).release()
    with closing(Writer(tmp_path, "boot", begun=True)) as writer:
        assert [type(writer.run([each])[0]) for each in GROWING] == [CatalogFullError] * len(GROWING)


def test_a_manifest_leaves_room_for_the_log(disk: FullDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the log alone has to fit into the database, too, before more is added."""
    with closing(Writer(tmp_path, "boot", begun=True)) as writer:
        big = put("x" * MIB)
        writer.run([big])
        monkeypatch.setattr(writer._reserve, "_space", lambda _: ReservedSpace(3 * MIB, 100 * MIB))
        assert isinstance(writer.run([put("y" * MIB)])[0], CatalogFullError)
        assert not isinstance(writer.run([put("small")])[0], CatalogFullError)


@pytest.mark.parametrize(
    ("free", "size", "held"),
    [(100 * MIB, 160 * MIB, 8 * MIB), (100 * MIB, 64 * MIB, 4 * MIB), (7 * MIB, 64 * MIB, 0), (0, 160 * MIB, 0)],
)
def test_the_reserve_is_a_small_part_of_the_disk(tmp_path: Path, free: int, size: int, held: int) -> None:
    """It is at most 8 MiB and a 16th, it is never what fills the disk, and its blocks are really taken."""
    reserve = DiskReserve(tmp_path, lambda _: ReservedSpace(free, size))
    reserve.hold()
    path = tmp_path / FILE
    assert reserve.is_held == bool(held)
    assert (path.stat().st_size if path.exists() else 0) == held
    assert not held or path.stat().st_blocks * 512 >= held
    reserve.hold()
    assert reserve.release() == bool(held)
    assert not reserve.release()


@pytest.mark.parametrize(("free", "given_back"), [(0, True), (100 * MIB, False)])
def test_a_start_gives_the_reserve_back_if_it_needs_it(tmp_path: Path, free: int, given_back: bool) -> None:
    """Without room a start takes what is held, and says so; with room it stays."""
    DiskReserve(tmp_path, lambda _: ReservedSpace(100 * MIB, 160 * MIB)).hold()
    DiskReserve(tmp_path, lambda _: ReservedSpace(free, 160 * MIB)).release_at_start()
    assert ((tmp_path / FILE).stat().st_size == 0) == given_back
