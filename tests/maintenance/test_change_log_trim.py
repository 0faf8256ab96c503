"""The change log is trimmed in small steps, by count and by age, and consumers notice it."""

from __future__ import annotations

import pytest

from maintenance.harness import APP
from zot.catalog.change_log import ChangeCursor
from zot.catalog.manifest_commands import PutManifest, TagMove
from zot.catalog.memory.driver import MemoryCatalog
from zot.maintenance.change_log_trim import KEPT, ChangeLogTrim
from zot.oci.digest import digest_of
from zot.oci.names import Tag

PUSHES = 700


@pytest.fixture
async def catalog() -> MemoryCatalog:
    """A catalog of many manifests, each pushed under the same tag."""
    catalog = MemoryCatalog()
    for number in range(PUSHES):
        content = str(number).encode()
        await catalog.do(
            PutManifest(
                repository=APP,
                digest=digest_of(content),
                content=content,
                media_type="m",
                tags=(TagMove(Tag("latest")),),
            )
        )
    return catalog


async def oldest(catalog: MemoryCatalog) -> int:
    """Return the sequence number of the oldest entry that is kept for consumers."""
    return (await catalog.changes(None, 1)).oldest


async def test_the_newest_entries_stay(catalog: MemoryCatalog) -> None:
    """Entries beyond the count are deleted in several steps; the history of the tag stays complete."""
    said: list[str] = []
    steps = [pause_s async for pause_s in ChangeLogTrim(catalog, kept=100).trim(said.append)]
    newest = (await catalog.changes(None, 1)).cursor.sequence
    assert newest == 1 + 2 * PUSHES
    assert await oldest(catalog) == newest - 99
    assert len(steps) > 1
    assert said[-1] == f"{newest - 100} entries dropped"
    assert (await catalog.changes(ChangeCursor(0, 0), 10)).gap
    assert len(await catalog.tag_log(APP, Tag("latest"), None, 1000)) == PUSHES


async def test_young_entries_stay(catalog: MemoryCatalog) -> None:
    """Nothing is deleted within the limits; entries that are too old are deleted, but for the newest."""
    assert [pause_s async for pause_s in ChangeLogTrim(catalog).trim(print)] == []
    assert await oldest(catalog) == 1
    assert KEPT > 2 * PUSHES
    async for _ in ChangeLogTrim(catalog, kept_s=0).trim(print):
        pass
    page = await catalog.changes(None, 1)
    assert page.oldest == page.cursor.sequence
