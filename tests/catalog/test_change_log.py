"""The change log in the embedded catalog: older databases, damaged ones, and commands that fail."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from contract.catalog.examples import APP, V1, V2, digest, put
from zot.catalog.change_log import Change, ChangeCursor
from zot.catalog.command import ChangeSource, Command
from zot.catalog.interface import CatalogError
from zot.catalog.manifest_commands import RestoreTag, TagMove
from zot.catalog.sqlite.directory import DATABASE
from zot.catalog.sqlite.reader import Reader
from zot.catalog.sqlite.salvage import salvage
from zot.catalog.sqlite.schema import MIGRATIONS
from zot.catalog.sqlite.writer import Writer

TAG_LOG_SCHEMA = 4
"""The last schema with a log of tags alone."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The directory of a catalog of the last schema with a log of tags alone: V1 was created, moved and deleted."""
    with closing(apsw.Connection(str(tmp_path / DATABASE))) as database:
        for script in MIGRATIONS[:TAG_LOG_SCHEMA]:
            database.execute(script)
        database.pragma("user_version", TAG_LOG_SCHEMA)
        database.execute("INSERT INTO repository (name, adopted) VALUES (?, 1)", (APP,))
        one, two = digest("one"), digest("two")
        for before, after, at_ns, by in (
            (None, one, 10, "alice"),
            (one, two, 20, ":index.json"),
            (two, None, 30, "garbage collection"),
        ):
            database.execute(
                "INSERT INTO tag_log (repository, tag, digest_before, digest_after, at_ns, moved_by)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (APP, V1, before, after, at_ns, by),
            )
    return tmp_path


def run(writer: Writer, *commands: Command[Any]) -> list[Any]:
    """Carry all of the commands out, in as many commits as the writer likes."""
    outcomes: list[Any] = []
    while len(outcomes) < len(commands):
        outcomes += writer.run(commands[len(outcomes) :])
    return outcomes


async def read(directory: Path, after: ChangeCursor) -> list[Change]:
    """Return what follows a cursor in a catalog, which has to know it."""
    reader = Reader(directory / DATABASE)
    page = await reader.changes(after, 1000)
    reader.stop_reading()
    assert not page.gap
    return list(page.changes)


async def end(directory: Path) -> ChangeCursor:
    """Return where the log of a catalog ends."""
    reader = Reader(directory / DATABASE)
    page = await reader.changes(None, 1000)
    reader.stop_reading()
    return page.cursor


async def test_an_older_catalog_keeps_the_history_of_its_tags(old: Path) -> None:
    """It is the same after the upgrade, and for consumers the log begins with what comes later."""
    with closing(Writer(old, "boot")) as writer:
        reader = Reader(old / DATABASE)
        assert [
            (each.before, each.after, each.at_ns, each.by, each.source)
            for each in await reader.tag_log(APP, V1, None, 10)
        ] == [
            (digest("two"), None, 30, "garbage collection", ChangeSource.RETENTION),
            (digest("one"), digest("two"), 20, ":index.json", ChangeSource.MERGE),
            (None, digest("one"), 10, "alice", ChangeSource.CLIENT),
        ]
        page = await reader.changes(ChangeCursor(0, 0), 10)
        assert (page.gap, page.changes, page.cursor.at_ns) == (True, (), 30)
        run(writer, put("image", tags=(V2,)))
        later = await read(old, page.cursor)
        assert [each.after for each in later] == [digest("image")] * 2
        assert len(await reader.tag_log(APP, None, None, 10)) == 4
        reader.stop_reading()


def test_a_damaged_older_catalog_keeps_it_too(old: Path) -> None:
    """Made again by a newer program, a catalog has the history that can be read of the old table."""
    salvage(old / DATABASE, old / "made", "boot")
    with closing(apsw.Connection(str(old / "made"))) as database:
        rows = database.execute("SELECT tag, digest_before, digest_after, at_ns FROM change_log ORDER BY sequence")
        assert rows.fetchall() == [
            (V1, None, digest("one"), 10),
            (V1, digest("one"), digest("two"), 20),
            (V1, digest("two"), None, 30),
        ]


async def test_no_reader_goes_on_in_a_catalog_that_was_made_again(tmp_path: Path) -> None:
    """Whatever it has read before, it is sent to the end once, and misses nothing from there."""
    with closing(Writer(tmp_path, "boot")) as writer:
        run(writer, put("image", tags=(V1,)), put("other", tags=(V2,)))
    before = await end(tmp_path)
    old = await read(tmp_path, ChangeCursor(0, 0))
    salvage(tmp_path / DATABASE, tmp_path / "made", "boot")
    (tmp_path / "made").rename(tmp_path / DATABASE)
    with closing(Writer(tmp_path, "boot")) as writer:
        reader = Reader(tmp_path / DATABASE)
        for each in (ChangeCursor(0, 0), before, *(ChangeCursor(each.sequence, each.at_ns) for each in old)):
            assert (await reader.changes(each, 10)).gap
        now = await end(tmp_path)
        assert await read(tmp_path, now) == []
        run(writer, put("new"))
        assert [each.after for each in await read(tmp_path, now)] == [digest("new")]
        assert len(await reader.tag_log(APP, None, None, 10)) == 2
        reader.stop_reading()


async def test_a_command_that_fails_leaves_no_entry(tmp_path: Path) -> None:
    """Its entries go back with its change; those of the same commit stay, and follow each other without a gap."""
    with closing(Writer(tmp_path, "boot")) as writer:
        unwritable = RestoreTag(repository=APP, digest=digest("image"), move=TagMove(V1), by="\ud800")
        outcomes = run(writer, put("image"), unwritable, put("other"))
        assert isinstance(outcomes[1], CatalogError)
        changes = await read(tmp_path, ChangeCursor(0, 0))
        assert [each.after for each in changes] == [None, digest("image"), digest("other")]
        assert [each.sequence for each in changes] == [1, 2, 3]


async def test_the_clock_goes_on_from_the_log(tmp_path: Path) -> None:
    """After a start with a clock that was set back, entries are later than the last one nevertheless."""
    with closing(Writer(tmp_path, "boot", lambda: 1000)) as writer:
        run(writer, put("image"))
    with closing(Writer(tmp_path, "boot", lambda: 10)) as writer:
        run(writer, put("other"))
    changes = await read(tmp_path, ChangeCursor(0, 0))
    assert changes[-1].at_ns > changes[-2].at_ns >= 1000
