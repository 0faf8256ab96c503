"""A process that waits for changes of directories runs when there is one, and not before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from zot.foundation.directory_notices import DirectoryNotices

LONG_S = 60.0


@contextmanager
def noticing(*directories: Path) -> Iterator[DirectoryNotices]:
    """Notice changes of directories during the block."""
    notices = DirectoryNotices(directories)
    yield notices
    notices.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda directory: (directory / "new").touch(),
        lambda directory: (directory / "file").write_text("x"),
        lambda directory: (directory / "file").chmod(0o600),
        lambda directory: (directory / "file").rename(directory / "other"),
        lambda directory: (directory / "file").unlink(),
        lambda directory: (directory / "link").symlink_to("file"),
        lambda directory: directory.rename(directory.with_name("moved")),
    ],
    ids=["create", "write", "attributes", "rename", "remove", "symlink", "move"],
)
async def test_each_kind_of_change_is_noticed(tmp_path: Path, change: Callable[[Path], object]) -> None:
    """A change is noticed while one waits or before, stays noticed until `clear`, and is noticed once."""
    directory = tmp_path / "watched"
    directory.mkdir()
    (directory / "file").touch()
    with noticing(tmp_path, directory) as notices:
        assert not await notices.wait(0.0)
        change(directory)
        assert await notices.wait(LONG_S)
        assert await notices.wait(LONG_S)
        assert notices.clear()
        assert not notices.clear()
        assert not await notices.wait(0.0)


async def test_other_directories_are_not_noticed(tmp_path: Path) -> None:
    """What is below a subdirectory is no entry of the directory."""
    (tmp_path / "below").mkdir()
    with noticing(tmp_path) as notices:
        (tmp_path / "below" / "file").touch()
        assert not await notices.wait(0.01)


async def test_a_directory_that_cannot_be_watched_is_an_error(tmp_path: Path) -> None:
    """The caller learns which, and no descriptor is left open."""
    DirectoryNotices([tmp_path]).close()
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(FileNotFoundError, match="missing"):
        DirectoryNotices([tmp_path, tmp_path / "missing"])
    assert len(list(Path("/proc/self/fd").iterdir())) == before
