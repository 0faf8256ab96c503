"""SQLite files of several processes: the first one creates them, the others wait."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import apsw
import pytest

from foundation.opening import open_together
from zot.accounts.sqlite import SqliteAccounts
from zot.foundation.sqlite_file import set_aside_if_damaged
from zot.statistics.sqlite import SqliteStatistics

PROCESSES = 4


@pytest.mark.parametrize("kind", [SqliteAccounts, SqliteStatistics])
def test_processes_may_make_a_file_at_the_same_moment(
    tmp_path: Path, kind: type[SqliteAccounts | SqliteStatistics]
) -> None:
    """Workers of a server that create a file at the same moment all succeed."""
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(PROCESSES)
    processes = [
        context.Process(target=open_together, args=(tmp_path, together, kind), daemon=True) for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * PROCESSES


@pytest.mark.parametrize("content", [b"no database" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_set_aside(tmp_path: Path, content: bytes) -> None:
    """A damaged file is kept under another name, with its log; intact, new and missing files are not renamed."""
    path = tmp_path / "some.db"
    assert set_aside_if_damaged(path) is None
    path.touch()
    assert set_aside_if_damaged(path) is None
    path.write_bytes(content)
    path.with_name("some.db-wal").write_bytes(b"log")
    kept = set_aside_if_damaged(path)
    assert kept == tmp_path / "some.db.damaged"
    assert kept.read_bytes() == content
    assert not path.exists()
    assert not path.with_name("some.db-wal").exists()
    apsw.Connection(str(path)).execute("CREATE TABLE t (x)")
    assert set_aside_if_damaged(path) is None
