"""A backup is complete or it fails, is of one store, and never damages the last good one: by the command line."""

from __future__ import annotations

import asyncio
import errno
import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner

from admin.harness import APP, Client, Place
from zot.admin.backup_files import BackupDirectory, SavedRoot
from zot.cli.main import cli
from zot.layout.scanner import LayoutScanner
from zot.oci.digest import digest_of, hex_of
from zot.storage.disk import CHANGES, Disk, DiskOperation


@pytest.fixture
def make_place(tmp_path: Path) -> Callable[[str], Place]:
    """Return a function that creates stores in separate directories."""

    def make(name: str = "store") -> Place:
        directory = tmp_path / name
        directory.mkdir()
        return Place(directory, {"gc": False})

    return make


@pytest.fixture
def place(make_place: Callable[[str], Place]) -> Place:
    """Return a store with an image."""
    place = make_place("store")
    with place.serve() as registry:
        Client(registry).push("image", "v1")
    return place


@pytest.fixture
def nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevent a server's background import, as in one that has many layouts to import."""

    async def run(_: LayoutScanner) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(LayoutScanner, "run", run)


def copy_layout(place: Place, name: str) -> Path:
    """Put a copy of the image's layout beside it, as another program would."""
    copy = place.root / name
    shutil.copytree(place.root / APP, copy)
    return copy


def restored(place: Place, backup: Path) -> None:
    """Lose the store, and restore it."""
    shutil.rmtree(place.root)
    place.zot("restore", str(backup))


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.usefixtures("nothing_is_imported")
def test_a_backup_holds_layouts_that_are_not_imported_yet(place: Place, tmp_path: Path, running: bool) -> None:
    """Layouts that no server has imported yet are imported first, so that the backup has them."""
    for number in range(30):
        copy_layout(place, f"more/app{number}")
    with place.serve() if running else nullcontext():
        noted = place.zot("usage")
        assert "Warning: 30 repositories are not imported yet" in noted
        assert "the first is more/app0" in noted
        assert "30 repositories are not imported yet, or cannot be, and are not verified" in place.zot("scrub")
        place.zot("backup", str(tmp_path / "backup"))
        assert "Warning" not in place.zot("usage")
    restored(place, tmp_path / "backup")
    with place.serve() as registry:
        client = Client(registry)
        for number in range(30):
            assert client.ask("GET", f"/v2/more/app{number}/manifests/v1")[0] == 200
            status, content = client.ask("GET", f"/v2/more/app{number}/blobs/{digest_of(b'layer of image')}")
            assert (status, content) == (200, b"layer of image")


@pytest.mark.parametrize("running", [True, False])
def test_a_layout_that_cannot_be_read_is_in_the_backup_as_it_is(place: Place, tmp_path: Path, running: bool) -> None:
    """Its files are restored and it is named; the readable layouts are backed up beside it."""
    broken = copy_layout(place, "broken/app")
    (broken / "index.json").write_text("{")
    with place.serve() if running else nullcontext():
        said = place.zot("backup", str(tmp_path / "backup"))
    assert "backed up to" in said
    assert "broken/app is not imported (" in said
    restored(place, tmp_path / "backup")
    assert (broken / "index.json").read_text() == "{"
    layer = digest_of(b"layer of image")
    assert (broken / "blobs" / "sha256" / hex_of(layer)).read_bytes() == b"layer of image"
    with place.serve() as registry:
        assert Client(registry).resolve("v1")


def test_a_backup_holds_files_that_the_catalog_does_not_have(place: Place, tmp_path: Path) -> None:
    """An unreadable manifest and its blobs are files of the layout, and are restored."""
    blobs = place.root / APP / "blobs"
    unknown = blobs / "sha256" / ("0" * 64)
    other = blobs / "blake3" / ("1" * 64)
    other.parent.mkdir()
    for path in (unknown, other):
        path.write_text("bytes of another program")
    (blobs / "sha256" / ("2" * 64)).symlink_to("/etc/hostname")
    place.zot("backup", str(tmp_path / "backup"))
    restored(place, tmp_path / "backup")
    assert [path.read_text() for path in (unknown, other)] == ["bytes of another program"] * 2
    assert not (blobs / "sha256" / ("2" * 64)).exists()


@pytest.mark.parametrize("lose", [Path.unlink, lambda path: path.write_bytes(b"short")], ids=["missing", "short"])
@pytest.mark.parametrize("running", [True, False])
def test_a_backup_that_is_not_complete_fails(
    place: Place, tmp_path: Path, lose: Callable[[Path], object], running: bool
) -> None:
    """With status 1 and the blob; the last good backup stays, and is restored."""
    backup = tmp_path / "backup"
    layer = hex_of(digest_of(b"layer of second"))
    place.zot("backup", str(backup))
    good = (backup / "backup.json").read_text()
    with place.serve() as registry:
        Client(registry).push("second", "v2")
    lose(place.root / APP / "blobs" / "sha256" / layer)
    with place.serve() if running else nullcontext():
        said = place.zot("backup", str(backup), status=1)
    assert f"{APP}@sha256:{layer}" in said
    assert "nothing is backed up" in said
    assert (backup / "backup.json").read_text() == good
    assert len(list(backup.glob("snapshot-*"))) == 1
    restored(place, backup)
    with place.serve() as registry:
        client = Client(registry)
        assert client.resolve("v1")
        assert client.resolve("v2") is None


def test_a_backup_that_is_broken_off_leaves_the_last_one(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever change of the backup's disk is the first to fail: the last good backup is as it was."""
    backup = tmp_path / "backup"
    place.zot("backup", str(backup))
    good = (backup / "backup.json").read_text()
    snapshot = backup / json.loads(good)["snapshot"]
    with place.serve() as registry:
        Client(registry).push("second", "v2")
    perform: Callable[..., object] = Disk.perform
    for last in range(200):
        done = 0

        def fail(self: Disk, operation: DiskOperation, *call: object, last: int = last, **named: object) -> object:
            nonlocal done
            if operation.verb in CHANGES and any(name.startswith(str(backup)) for name in operation[1:3]):
                done += 1
                if done > last:
                    raise OSError(errno.ENOSPC, "No space left on device", operation.path)
            return perform(self, operation, *call, **named)

        monkeypatch.setattr(Disk, "perform", fail)
        result = CliRunner().invoke(cli, ["backup", str(backup), str(place.file)])
        monkeypatch.setattr(Disk, "perform", perform)
        if (backup / "backup.json").read_text() != good:
            break
        assert result.exit_code == 1
        assert "No space left on device" in result.output
        assert (snapshot / "catalog.db").exists()
    assert last > 5
    result = CliRunner().invoke(cli, ["backup", str(backup), str(place.file)])
    assert result.exit_code == 0
    assert len(list(backup.glob("snapshot-*"))) == 1
    restored(place, backup)
    with place.serve() as registry:
        assert Client(registry).resolve("v2")


def test_a_backup_of_another_store_is_refused(make_place: Callable[[str], Place], place: Place, tmp_path: Path) -> None:
    """A directory belongs to the store whose backup it has, also while that is not finished."""
    backup = tmp_path / "backup"
    place.zot("backup", str(backup))
    good = (backup / "backup.json").read_text()
    other = make_place("other")
    with other.serve() as registry:
        Client(registry).push("other", "v1")
        assert "has the backup of store" in other.zot("backup", str(backup), status=1)
    assert "name another directory" in other.zot("backup", str(backup), status=1)
    assert (backup / "backup.json").read_text() == good
    (backup / "backup.json").unlink()
    assert "has the backup of store" in other.zot("backup", str(backup), status=1)
    place.zot("backup", str(backup))


def test_a_directory_of_something_else_is_refused(place: Place, tmp_path: Path) -> None:
    """Files that are no backup are not mixed with one; an empty directory is taken."""
    backup = tmp_path / "backup"
    (backup / "lost+found").mkdir(parents=True)
    (backup / "photos").mkdir()
    said = place.zot("backup", str(backup), status=1)
    assert "is not empty and has no backup of this zot, it has photos" in said
    (backup / "photos").rmdir()
    place.zot("backup", str(backup))


def test_one_backup_at_a_time_goes_to_a_directory(place: Place, tmp_path: Path) -> None:
    """The second backup is refused."""
    directory = BackupDirectory(str(tmp_path / "backup"))
    store = json.loads((place.root / ".zot" / "store.json").read_text())["store"]
    with directory.locked(SavedRoot(str(place.root), store)):
        assert "another backup to" in place.zot("backup", str(tmp_path / "backup"), status=1)
    place.zot("backup", str(tmp_path / "backup"))


def test_a_store_that_was_replaced_is_not_backed_up(place: Place, tmp_path: Path) -> None:
    """While a server runs, another disk in the place of its own is not taken for the store."""
    with place.serve():
        identity = place.root / ".zot" / "store.json"
        mine = identity.read_text()
        identity.write_text('{"store": "another"}')
        said = place.zot("backup", str(tmp_path / "backup"), status=1)
        identity.write_text(mine)
    assert "is store another, but store " in said
    assert not (tmp_path / "backup").exists()
