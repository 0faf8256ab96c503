"""The function that child processes of a test run, in a module that they can import."""

from __future__ import annotations

from multiprocessing.synchronize import Barrier
from pathlib import Path

from zot.accounts.sqlite import SqliteAccounts
from zot.foundation.threads import ThreadPool
from zot.statistics.sqlite import SqliteStatistics

ROUNDS = 25


def open_together(folder: Path, together: Barrier, kind: type[SqliteAccounts | SqliteStatistics]) -> None:
    """Open a new file in each round, at the same moment as the other processes."""
    pool = ThreadPool("files", 1, 8)
    for number in range(ROUNDS):
        together.wait(60)
        opened = kind(folder / f"{number}.db", pool)
        assert opened._file.read("SELECT 1", ()) == [(1,)]
    pool.close()
