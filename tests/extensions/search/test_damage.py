"""An index that is lost or damaged while it is used is made again from the catalog."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest

from extensions.search.rig import Registry, in_sync, indexing
from zot.extensions.search.index.search import IndexSearch
from zot.extensions.search.interface import ImageQuery, SearchUnavailableError

_READER = """
import sys
import apsw
connection = apsw.Connection(sys.argv[1])
connection.execute("SELECT count(*) FROM image").fetchall()
print("ready", flush=True)
sys.stdin.read()
"""


def _remove_alone(index: Path) -> None:
    """Remove the database without its log."""
    index.unlink()


def _remove_all(index: Path) -> None:
    for suffix in ("-wal", "-shm", ""):
        index.with_name(f"{index.name}{suffix}").unlink(missing_ok=True)


def _replace(index: Path) -> None:
    other = index.with_name("other")
    other.write_bytes(b"garbage" * 4096)
    other.replace(index)


@contextmanager
def _another_process_reads(index: Path) -> Iterator[None]:
    """Hold the index open, with its log, in another process."""
    command = [sys.executable, "-c", _READER, str(index)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"ready\n"
        yield
        reader.communicate()


@pytest.mark.parametrize("damage", [_remove_alone, _remove_all, _replace])
async def test_an_index_that_is_lost_is_made_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """Whatever other processes still hold of the lost one."""
    registry, path = Registry(), tmp_path / "search.db"
    for number in range(40):
        labels = {f"{number}-{key}": "text" * 100 for key in range(20)}
        await registry.push("a", f"{number}", config={"config": {"Labels": labels}})
    async with indexing(registry, path):
        await in_sync(registry, path)
        with closing(apsw.Connection(str(path))) as connection:
            connection.pragma("wal_checkpoint(RESTART)")  # so that the log has some of the pages alone
        await registry.push("a", "40", config={"os": "linux"})
        await in_sync(registry, path)
        with _another_process_reads(path):
            damage(path)
            await registry.push("a", "41", config={"os": "windows"})
            search = IndexSearch(path, registry.catalog, registry.statistics)
            async with asyncio.timeout(60):
                assert await _tags(search, 42) == {str(number) for number in range(42)}


async def _tags(search: IndexSearch, count: int) -> set[str | None]:
    """Return the tags of the index once it has so many."""
    found: set[str | None] = set()
    while len(found) < count:
        await asyncio.sleep(0.02)
        try:
            found = {each.tag for each in (await search.images(None, ImageQuery())).rows}
        except SearchUnavailableError:
            continue
    return found
