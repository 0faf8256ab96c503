"""What readers remember holds for as long as nothing was committed, and no longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from zot.catalog.sqlite.revision import FILE, ReaderRevision, WriterRevision


def test_every_count_is_seen_by_every_reader(tmp_path: Path) -> None:
    """A reader's number is another one after each count of the writer, and the same in between."""
    writer = WriterRevision(tmp_path)
    readers = [ReaderRevision(tmp_path) for _ in range(2)]
    seen = set()
    for _ in range(100):
        numbers = {reader.now() for reader in readers}
        assert numbers == {reader.now() for reader in readers}
        seen |= numbers
        writer.count()
    assert len(seen) == 100
    writer.close()
    for reader in readers:
        reader.close()


def test_a_writer_that_is_started_again_counts_on(tmp_path: Path) -> None:
    """Opening is a count of its own: what a dead writer committed and did not count is not taken for known."""
    WriterRevision(tmp_path).close()
    reader = ReaderRevision(tmp_path)
    before = reader.now()
    WriterRevision(tmp_path).close()
    assert reader.now() != before
    reader.close()


def test_without_a_writer_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    """A reader before the first writer gets an error, without the file and with an empty one."""
    with pytest.raises(OSError):  # noqa: PT011 (any of them: the file is not there)
        ReaderRevision(tmp_path)
    (tmp_path / FILE).touch()
    with pytest.raises(ValueError, match="length"):
        ReaderRevision(tmp_path)
