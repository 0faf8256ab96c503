"""Only a start of the store makes a catalog; every later writer and reader finds that one, or none."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from catalog.failing_vfs import FailingVfs
from contract.catalog.examples import APP, digest, put
from zot.catalog.interface import CatalogUnavailableError
from zot.catalog.manifest_commands import Stored
from zot.catalog.sqlite.directory import DATABASE
from zot.catalog.sqlite.reader import Reader
from zot.catalog.sqlite.recovery import begin
from zot.catalog.sqlite.server import open_begun
from zot.catalog.sqlite.writer import Writer

BOOT = "boot"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A catalog that was begun, with one manifest."""
    path = tmp_path / "catalog"
    assert begin(path, BOOT) == BOOT
    with closing(Writer(path, BOOT, begun=True)) as writer:
        assert writer.run([put("image")]) == [Stored(created=True, changes=())]
    return path


def nothing(directory: Path) -> None:
    """Leave no directory in its place."""


def empty(directory: Path) -> None:
    """Put an empty directory in its place."""
    directory.mkdir()


def empty_file(directory: Path) -> None:
    """Put a directory with an empty file of the database's name in its place."""
    directory.mkdir()
    (directory / DATABASE).touch()


def of_another_store(directory: Path) -> None:
    """Put the catalog of another store in its place."""
    begin(directory, "other")


def earlier(directory: Path) -> None:
    """Put a copy from before the last start in its place."""
    begin(directory, "yesterday")
    with closing(Writer(directory, "yesterday", begun=True)) as writer:
        writer.run([put("image")])


@pytest.mark.parametrize("replace", [nothing, empty, empty_file, of_another_store, earlier])
async def test_a_later_writer_waits_for_the_catalog_that_was_begun(
    directory: Path, replace: Callable[[Path], None]
) -> None:
    """While its disk is away nothing is made and no other catalog is opened; once it is back the writer goes on."""
    away = directory.rename(directory.with_name("away"))
    replace(directory)
    before = contents(directory)
    stop = asyncio.Event()
    opening = asyncio.create_task(open_begun(directory, BOOT, stop, syncs=True))
    for _ in range(3):
        with pytest.raises(CatalogUnavailableError):
            Writer(directory, BOOT, begun=True)
        await asyncio.sleep(0)
    assert not opening.done()
    assert contents(directory) == before
    if directory.exists():
        shutil.rmtree(directory)
    away.rename(directory)
    writer = await opening
    assert writer is not None
    with closing(writer):
        assert writer.run([put("image")]) == [Stored(created=False, changes=())]


def contents(directory: Path) -> dict[str, bytes]:
    """Return the names below a directory, with the bytes of the database and its log."""
    if not directory.exists():
        return {}
    names = (DATABASE, f"{DATABASE}-wal")
    return {path.name: path.read_bytes() if path.name in names else b"" for path in directory.iterdir()}


async def test_a_writer_that_waits_ends_when_it_is_told_to(tmp_path: Path) -> None:
    """A stop ends the wait for a catalog that does not come back."""
    stop = asyncio.Event()
    opening = asyncio.create_task(open_begun(tmp_path / "away", BOOT, stop, syncs=True))
    await asyncio.sleep(0)
    stop.set()
    assert await opening is None


@pytest.mark.parametrize("replace", [empty, of_another_store])
def test_a_writer_whose_disk_failed_opens_no_other_catalog(directory: Path, replace: Callable[[Path], None]) -> None:
    """After an I/O error the database is opened again; where another one is by then, nothing is acknowledged."""
    vfs = FailingVfs("away")
    try:
        with closing(Writer(directory, BOOT, vfs=vfs.name, begun=True)) as writer:
            vfs.syncs_fail = True
            assert isinstance(writer.run([put("second")])[0], CatalogUnavailableError)
            vfs.syncs_fail = False
            away = directory.rename(directory.with_name("away"))
            replace(directory)
            before = contents(directory)
            assert isinstance(writer.run([put("third")])[0], CatalogUnavailableError)
            assert contents(directory) == before
            shutil.rmtree(directory)
            away.rename(directory)
            assert writer.run([put("third")]) == [Stored(created=True, changes=())]
    finally:
        vfs.unregister()


async def test_a_reader_reads_no_other_catalog(directory: Path) -> None:
    """A reader that opens the database of another start raises, and reads the right one when it is back."""
    away = directory.rename(directory.with_name("away"))
    of_another_store(directory)
    reader = Reader(directory / DATABASE, boot=BOOT)
    with pytest.raises(CatalogUnavailableError, match="is not the catalog that this server started with"):
        await reader.resolve(APP, digest("image"))
    shutil.rmtree(directory)
    away.rename(directory)
    assert await reader.resolve(APP, digest("image")) is not None
    reader.stop_reading()


def test_a_start_without_room_keeps_the_boot_before(directory: Path) -> None:
    """A start that cannot write its boot down returns the one that the database holds, and writers find that one."""
    with closing(apsw.Connection(str(directory / DATABASE))) as database:
        database.execute("UPDATE setting SET value = 'before' WHERE name = 'boot'")
    vfs = FailingVfs("full")
    vfs.full = True
    try:
        assert begin(directory, BOOT, vfs=vfs.name) == "before"
    finally:
        vfs.unregister()
    with closing(Writer(directory, "before", begun=True)) as writer:
        assert writer.run([put("image")]) == [Stored(created=False, changes=())]
