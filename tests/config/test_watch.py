"""Changes of watched files are reported."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from zot.config import watch as watch_module
from zot.config.watch import Watch

Changes = AsyncGenerator[frozenset[Path], None]


@asynccontextmanager
async def watching(*paths: Path) -> AsyncIterator[tuple[Watch, Changes]]:
    """Watch the files, until the end of the block."""
    watch = Watch(paths)
    async with aclosing(watch.changes()) as found:
        yield watch, found


def replace(path: Path, text: str) -> None:
    """Replace a file by a rename, as editors do."""
    staged = path.with_suffix(".new")
    staged.write_text(text, encoding="utf-8")
    staged.replace(path)


async def test_a_written_file_is_reported(tmp_path: Path) -> None:
    """A file that is written in place is reported, and not the other files."""
    path, other = tmp_path / "a", tmp_path / "b"
    path.touch()
    other.touch()
    async with watching(path, other) as (_, found):
        path.write_text("x", encoding="utf-8")
        assert await anext(found) == {path}


async def test_each_replacement_is_reported(tmp_path: Path) -> None:
    """A file is reported each time that it is replaced by a rename."""
    path = tmp_path / "a"
    path.touch()
    async with watching(path) as (_, found):
        for text in ("x", "xx", "xxx"):
            replace(path, text)
            assert await anext(found) == {path}


async def test_creation_and_removal_are_reported(tmp_path: Path) -> None:
    """A file is reported when it is created and when it is removed."""
    path = tmp_path / "a"
    async with watching(path) as (_, found):
        path.write_text("x", encoding="utf-8")
        assert await anext(found) == {path}
        path.unlink()
        assert await anext(found) == {path}


async def test_a_swap_of_a_kubernetes_volume_is_reported(tmp_path: Path) -> None:
    """All files of a volume are reported when its `..data` link is swapped, each time."""
    paths = [tmp_path / "config.json", tmp_path / "htpasswd"]

    def publish(version: int) -> None:
        directory = tmp_path / f"..{version}"
        directory.mkdir()
        for path in paths:
            (directory / path.name).write_text(str(version), encoding="utf-8")
        link = tmp_path / "..data_tmp"
        link.symlink_to(directory.name)
        link.replace(tmp_path / "..data")

    publish(1)
    for path in paths:
        path.symlink_to(f"..data/{path.name}")
    async with watching(*paths) as (_, found):
        for version in (2, 3):
            publish(version)
            seen: frozenset[Path] = frozenset()
            while seen != set(paths):
                seen |= await anext(found)
            assert {path.read_text(encoding="utf-8") for path in paths} == {str(version)}


async def test_a_change_of_a_symlinks_target_is_reported(tmp_path: Path) -> None:
    """A symlink is reported when the file that it leads to is written."""
    target = tmp_path / "elsewhere" / "file"
    target.parent.mkdir()
    target.touch()
    path = tmp_path / "here" / "link"
    path.parent.mkdir()
    path.symlink_to(target)
    async with watching(path) as (_, found):
        target.write_text("x", encoding="utf-8")
        assert await anext(found) == {path}


async def test_a_change_before_the_iteration_is_reported(tmp_path: Path) -> None:
    """A change between the creation of the watch and its iteration is reported."""
    path = tmp_path / "a"
    watch = Watch([path])
    path.write_text("x", encoding="utf-8")
    async with aclosing(watch.changes()) as found:
        assert await anext(found) == {path}


async def test_watched_files_can_be_replaced(tmp_path: Path) -> None:
    """After `follow` only the new files are reported."""
    old, new = tmp_path / "old" / "file", tmp_path / "new" / "file"
    for path in (old, new):
        path.parent.mkdir()
        path.touch()
    async with watching(old) as (watch, found):
        watch.follow([new])
        old.write_text("x", encoding="utf-8")
        new.write_text("x", encoding="utf-8")
        assert await anext(found) == {new}


async def test_a_file_in_a_new_directory_is_reported(tmp_path: Path) -> None:
    """A file is reported even if its directory is created later."""
    path = tmp_path / "later" / "file"
    async with watching(path) as (_, found):
        path.parent.mkdir()
        path.write_text("x", encoding="utf-8")
        assert await anext(found) == {path}


async def test_files_are_polled_where_the_system_sends_no_notices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each change is reported without notices, too: at the limit of watches, and on network file systems."""

    def refused(_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(watch_module, "DirectoryNotices", refused)
    monkeypatch.setattr(watch_module, "POLL_S", 0.01)
    path = tmp_path / "a"
    path.touch()
    async with watching(path) as (_, found):
        for text in ("x", "xx", "xxx"):
            replace(path, text)
            assert await anext(found) == {path}


async def test_a_directory_in_place_of_another_is_watched(tmp_path: Path) -> None:
    """Changes in a new directory of the same path are noticed, not only polled."""
    path = tmp_path / "watched" / "file"
    path.parent.mkdir()
    path.touch()
    async with watching(path) as (_, found):
        for text in ("x", "xx", "xxx"):
            path.parent.rename(tmp_path / f"before {text}")
            path.parent.mkdir()
            path.write_text(text, encoding="utf-8")
            assert await anext(found) == {path}
            path.write_text(text * 5, encoding="utf-8")
            assert await anext(found) == {path}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a pipe")
async def test_watched_files_are_not_opened(tmp_path: Path) -> None:
    """Watched files are never opened: a pipe without a writer does not block."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    async with watching(path, tmp_path / "a") as (_, found):
        (tmp_path / "a").touch()
        assert await anext(found) == {tmp_path / "a"}
