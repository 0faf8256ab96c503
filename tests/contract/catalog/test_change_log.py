"""The laws of the change log, held by every driver."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from contract.catalog.examples import APP, IMAGE_TYPE, OTHER, OWNER, V1, V2, digest, layer, push, push_blob, put
from zot.catalog.blob_commands import DoomBlob, DoomOutcome, ForgetBlob, TouchBlob
from zot.catalog.change_log import Change, ChangeCursor, ChangeKind, ChangePage, TrimChanges
from zot.catalog.command import ChangeSource, Command
from zot.catalog.interface import Catalog
from zot.catalog.layout_commands import ImportLayout, LayoutManifest, LayoutTag
from zot.catalog.manifest_commands import (
    Absent,
    DeleteTag,
    MissingBlobs,
    Referenced,
    RemoveManifest,
    RemoveRepository,
    RestoreTag,
    TagMove,
    TagRefused,
)
from zot.catalog.upload_commands import CancelUploadRow, CreateUploadRow
from zot.oci.names import parse_repository, parse_tag

BEGINNING = ChangeCursor(0, 0)
FOR_EVER_S = 1e6

CREATED, REMOVED = ChangeKind.REPOSITORY_CREATED, ChangeKind.REPOSITORY_REMOVED
STORED, DELETED = ChangeKind.MANIFEST_STORED, ChangeKind.MANIFEST_DELETED
TAGGED, MOVED, UNTAGGED = ChangeKind.TAG_CREATED, ChangeKind.TAG_MOVED, ChangeKind.TAG_DELETED


async def all_changes(catalog: Catalog, after: ChangeCursor = BEGINNING, limit: int = 3) -> list[Change]:
    """Return what follows a cursor, read in small pages."""
    changes: list[Change] = []
    while (page := await catalog.changes(after, limit)).changes:
        assert not page.gap
        assert page.cursor == ChangeCursor(page.changes[-1].sequence, page.changes[-1].at_ns)
        changes += page.changes
        after = page.cursor
    return changes


async def end_of(catalog: Catalog) -> ChangeCursor:
    """Return where the log ends, once the catalog carries out commands."""
    await catalog.do(TouchBlob(repository=APP, digest=digest("absent")))
    return (await catalog.changes(None, 1)).cursor


async def added_by(catalog: Catalog, *commands: Command[Any]) -> list[Change]:
    """Carry commands out, and return the entries that they wrote."""
    end = await end_of(catalog)
    for command in commands:
        await catalog.do(command)
    return await all_changes(catalog, end)


def shown(changes: Sequence[Change]) -> list[tuple[Any, ...]]:
    """Return what entries say, without number and time."""
    return [(each.kind, each.tag, each.before, each.after, each.media_type) for each in changes]


def caused(changes: Sequence[Change]) -> set[tuple[str, str, ChangeSource]]:
    """Return where entries come from."""
    return {(each.repository, each.by, each.source) for each in changes}


async def trim(catalog: Catalog, *, keep: int = 1000, older_than_s: float = FOR_EVER_S, limit: int = 1000) -> int:
    """Drop what is beyond the newest entries, or older."""
    return await catalog.do(TrimChanges(older_than_s=older_than_s, keep=keep, limit=limit))


async def test_a_push_writes_repository_manifest_and_tags(catalog: Catalog) -> None:
    """The entries come in the order in which a reader can apply them."""
    command = put("image", tags=(V1, V2))
    changes = await added_by(catalog, command)
    image = digest("image")
    assert shown(changes) == [
        (CREATED, None, None, None, None),
        (STORED, None, None, image, IMAGE_TYPE),
        (TAGGED, V1, None, image, IMAGE_TYPE),
        (TAGGED, V2, None, image, IMAGE_TYPE),
    ]
    assert caused(changes) == {(APP, "alice", ChangeSource.CLIENT)}
    assert [each.digest for each in changes] == [None, image, image, image]


async def test_a_manifest_without_a_tag_is_in_the_log(catalog: Catalog) -> None:
    """It is stored and deleted like any other, by one entry each."""
    await push(catalog, "first")
    remove = RemoveManifest(repository=APP, digest=digest("image"), by="bob", source=ChangeSource.COLLECTION)
    changes = await added_by(catalog, put("image"), remove)
    assert shown(changes) == [
        (STORED, None, None, digest("image"), IMAGE_TYPE),
        (DELETED, None, digest("image"), None, IMAGE_TYPE),
    ]
    assert caused(changes[1:]) == {(APP, "bob", ChangeSource.COLLECTION)}


async def test_each_change_of_a_tag_is_one_entry(catalog: Catalog) -> None:
    """Moved, deleted and restored, a tag has one entry each time, with the type of the manifest that it is about."""
    await push(catalog, "one", tags=(V1,))
    await push(catalog, "two")
    changes = await added_by(
        catalog,
        put("two", tags=(V1,)),
        DeleteTag(repository=APP, tag=V1, by="expiry", source=ChangeSource.RETENTION),
        RestoreTag(repository=APP, digest=digest("one"), move=TagMove(V1), by="op", source=ChangeSource.OPERATOR),
    )
    assert shown(changes) == [
        (MOVED, V1, digest("one"), digest("two"), IMAGE_TYPE),
        (UNTAGGED, V1, digest("two"), None, IMAGE_TYPE),
        (TAGGED, V1, None, digest("one"), IMAGE_TYPE),
    ]
    assert [each.source for each in changes] == [ChangeSource.CLIENT, ChangeSource.RETENTION, ChangeSource.OPERATOR]


async def test_the_log_gives_the_type_that_the_manifest_has(catalog: Catalog) -> None:
    """Pushed again under another media type, a manifest keeps its own, and its new tag is logged with that."""
    await push(catalog, "image")
    again = msgspec.structs.replace(put("image", tags=(V1,)), media_type="text/other")
    assert shown(await added_by(catalog, again)) == [(TAGGED, V1, None, digest("image"), IMAGE_TYPE)]


async def test_a_deleted_manifest_takes_its_tags_first(catalog: Catalog) -> None:
    """A reader never sees a tag whose manifest is gone."""
    await push(catalog, "image", tags=(V1, V2))
    changes = await added_by(catalog, RemoveManifest(repository=APP, digest=digest("image")))
    assert [each.kind for each in changes] == [UNTAGGED, UNTAGGED, DELETED]
    assert {each.tag for each in changes} == {V1, V2, None}
    assert {each.media_type for each in changes} == {IMAGE_TYPE}


async def test_a_damaged_blob_is_in_the_log(catalog: Catalog) -> None:
    """A lost blob has one entry; one that is deleted or collected has none."""
    for name in ("damaged", "deleted"):
        await push_blob(catalog, name)
    lost = DoomBlob(
        repository=APP,
        digest=digest("damaged"),
        token="one",
        damaged=True,
        by="scrub",
        source=ChangeSource.SCRUB,
        owner=OWNER,
    )
    again = msgspec.structs.replace(lost, id="other")
    deleted = DoomBlob(repository=APP, digest=digest("deleted"), token="two", owner=OWNER)
    forget = ForgetBlob(repository=APP, digest=digest("damaged"), token="one")
    changes = await added_by(catalog, lost, again, deleted, forget)
    assert shown(changes) == [(ChangeKind.BLOB_LOST, None, digest("damaged"), None, None)]
    assert caused(changes) == {(APP, "scrub", ChangeSource.SCRUB)}


async def test_a_repository_is_created_and_removed_once(catalog: Catalog) -> None:
    """Whatever creates it first writes the entry, and its removal is the last one of it."""
    session = "session"
    changes = await added_by(
        catalog,
        CreateUploadRow(repository=APP, session=session, by="alice"),
        CreateUploadRow(repository=APP, session="another", by="bob"),
        CancelUploadRow(repository=APP, session=session),
        CancelUploadRow(repository=APP, session="another"),
        RemoveRepository(repository=APP, source=ChangeSource.COLLECTION),
        RemoveRepository(repository=APP, source=ChangeSource.COLLECTION),
    )
    assert [(each.kind, each.by, each.source) for each in changes] == [
        (CREATED, "alice", ChangeSource.CLIENT),
        (REMOVED, "", ChangeSource.COLLECTION),
    ]


async def test_an_import_is_in_the_log_like_pushes(catalog: Catalog) -> None:
    """Each manifest and tag of a layout has its entry, with the import as source; again it has none."""
    found = LayoutManifest(digest("image"), b"image", IMAGE_TYPE, None, None, {}, (), 1)
    command = ImportLayout(
        repository=APP,
        manifests=(found,),
        tags=(LayoutTag(V1, digest("image")),),
        by="layout",
        source=ChangeSource.IMPORT,
    )
    changes = await added_by(catalog, command)
    assert shown(changes) == [
        (CREATED, None, None, None, None),
        (STORED, None, None, digest("image"), IMAGE_TYPE),
        (TAGGED, V1, None, digest("image"), IMAGE_TYPE),
    ]
    assert caused(changes) == {(APP, "layout", ChangeSource.IMPORT)}
    assert await added_by(catalog, msgspec.structs.replace(command, id="again")) == []


async def test_what_changes_nothing_writes_nothing(catalog: Catalog) -> None:
    """A repeated command, and one that finds everything as it wants it, leave the log as it is."""
    command = put("image", tags=(V1,))
    await catalog.do(command)
    again = msgspec.structs.replace(command, id="again")
    restore = RestoreTag(repository=APP, digest=digest("image"), move=TagMove(V1))
    nothing = [DeleteTag(repository=APP, tag=V2), RemoveManifest(repository=APP, digest=digest("absent"))]
    other = RemoveRepository(repository=OTHER)
    assert await added_by(catalog, command, again, restore, *nothing, other) == []
    delete = DeleteTag(repository=APP, tag=V1)
    assert len(await added_by(catalog, delete, delete)) == 1


async def test_a_refused_command_writes_nothing(catalog: Catalog) -> None:
    """Neither do conditions that fail after a repository would have been created."""
    await push(catalog, "image", tags=(V1,))
    await push(catalog, "index", msgspec.structs.replace(layer("image"), child=True))
    end = await end_of(catalog)
    fixed = msgspec.structs.replace(put("other"), tags=(TagMove(V2), TagMove(V1, may_move=False)))
    refused: list[tuple[Command[Any], type[Any]]] = [
        (fixed, TagRefused),
        (put("other", layer("absent")), MissingBlobs),
        (put("other", layer("absent"), repository=OTHER), MissingBlobs),
        (RemoveManifest(repository=APP, digest=digest("image")), Referenced),
        (DeleteTag(repository=APP, tag=V1, if_digest=digest("other")), Absent),
        (DeleteTag(repository=APP, tag=V1, immutable=True), TagRefused),
    ]
    for command, outcome in refused:
        assert isinstance(await catalog.do(command), outcome)
    assert await catalog.do(RemoveRepository(repository=APP)) is False
    doom = DoomBlob(repository=APP, digest=digest("absent"), token="one", damaged=True, owner=OWNER)
    assert await catalog.do(doom) is DoomOutcome.ABSENT
    assert await all_changes(catalog, end) == []


async def test_numbers_and_times_grow(catalog: Catalog) -> None:
    """Entries are numbered in their order, and no entry is earlier than the one before."""
    for name in ("one", "two", "three"):
        await push(catalog, name, tags=(V1, V2))
    changes = await all_changes(catalog)
    assert all(one.sequence < other.sequence and one.at_ns <= other.at_ns for one, other in pairwise(changes))


async def test_a_reader_sees_all_under_concurrent_writes(catalog: Catalog) -> None:
    """Page by page, while others push, each change comes exactly once and in order."""
    await end_of(catalog)
    names = [f"image {number}" for number in range(60)]
    repositories = [parse_repository(f"r{number}") for number in range(4)]
    pushes = [
        asyncio.create_task(catalog.do(put(name, tags=(V1,), repository=repository)))
        for name in names
        for repository in repositories
    ]
    seen: list[Change] = []
    cursor = BEGINNING
    while True:
        finished = all(each.done() for each in pushes)
        page = await catalog.changes(cursor, 7)
        seen += page.changes
        cursor = page.cursor
        await asyncio.sleep(0)
        if finished and not page.changes:
            break
    await asyncio.gather(*pushes)
    assert [each.sequence for each in seen] == sorted({each.sequence for each in seen})
    stored = {(each.repository, each.after) for each in seen if each.kind is STORED}
    assert stored == {(repository, digest(name)) for repository in repositories for name in names}
    for repository in repositories:
        last: Any = None
        for each in seen:
            if each.repository == repository and each.tag == V1:
                assert each.before == last
                last = each.after
        row = await catalog.tag(repository, V1)
        assert row is not None
        assert row.digest == last


async def test_a_reader_without_a_cursor_is_sent_to_the_end(catalog: Catalog) -> None:
    """It begins with the lists, and from the end that it was given it misses nothing."""
    assert await end_of(catalog) == BEGINNING
    assert await catalog.changes(None, 10) == ChangePage((), BEGINNING, oldest=1, gap=True)
    await push(catalog, "image", tags=(V1,))
    page = await catalog.changes(None, 10)
    assert (page.changes, page.gap) == ((), True)
    assert await all_changes(catalog, page.cursor) == []
    await push(catalog, "second")
    assert [each.after for each in await all_changes(catalog, page.cursor)] == [digest("second")]


async def test_a_cursor_that_the_log_does_not_know_is_a_gap(catalog: Catalog) -> None:
    """A number that another entry has now, as after a restore, or that none has, makes the reader rebuild."""
    await push(catalog, "image", tags=(V1,))
    end = await end_of(catalog)
    assert end.at_ns is not None
    for wrong in (
        ChangeCursor(end.sequence, end.at_ns + 1),
        ChangeCursor(end.sequence + 1, end.at_ns),
        ChangeCursor(2, 1),
    ):
        assert await catalog.changes(wrong, 10) == ChangePage((), end, oldest=1, gap=True)


async def test_a_cursor_may_be_a_number_alone(catalog: Catalog) -> None:
    """A reader that knows the number of an entry and not its time reads on after it; the entry has to be kept."""
    await push(catalog, "image", tags=(V1,))
    changes = await all_changes(catalog)
    page = await catalog.changes(ChangeCursor(changes[0].sequence, None), 10)
    assert (list(page.changes), page.gap) == (changes[1:], False)
    last = ChangeCursor(changes[-1].sequence, None)
    assert await catalog.changes(last, 10) == ChangePage((), last, oldest=1)
    assert (await catalog.changes(ChangeCursor(changes[-1].sequence + 1, None), 10)).gap


@pytest.mark.parametrize("limit", [0, -1])
async def test_a_page_of_nothing_keeps_the_cursor(catalog: Catalog, limit: int) -> None:
    """No limit makes a reader skip entries."""
    await push(catalog, "image")
    assert await catalog.changes(BEGINNING, limit) == ChangePage((), BEGINNING, oldest=1)
    assert len(await all_changes(catalog)) == 2


async def test_trimming_by_count_says_what_is_oldest(catalog: Catalog) -> None:
    """The newest entries stay; a reader that has read what is gone goes on, one that has not rebuilds."""
    for name in ("one", "two", "three", "four"):
        await push(catalog, name)
    changes = await all_changes(catalog)
    behind, level = (ChangeCursor(changes[n].sequence, changes[n].at_ns) for n in (1, 2))
    assert await trim(catalog, keep=3) == 2
    assert await trim(catalog, keep=3) == 0
    assert await all_changes(catalog, level) == changes[3:]
    page = await catalog.changes(behind, 10)
    assert (page.gap, page.changes, page.oldest) == (True, (), changes[2].sequence)
    assert page.cursor.sequence == changes[-1].sequence


async def test_trimming_by_age_keeps_the_newest(catalog: Catalog) -> None:
    """By the catalog's clock all is old: the last entry stays, so that readers at the end go on."""
    await push(catalog, "one")
    await push(catalog, "two", tags=(V1,))
    assert await trim(catalog) == 0
    end = await end_of(catalog)
    assert await trim(catalog, older_than_s=0) == end.sequence - 1
    page = await catalog.changes(end, 10)
    assert (page.gap, page.changes, page.oldest) == (False, (), end.sequence)
    assert [each.after for each in await added_by(catalog, put("three"))] == [digest("three")]


async def test_trimming_is_bounded(catalog: Catalog) -> None:
    """One command drops so many at most; the caller gives another."""
    for number in range(9):
        await push(catalog, str(number))
    assert [await trim(catalog, keep=2, limit=3) for _ in range(4)] == [3, 3, 2, 0]


async def test_trimming_keeps_the_history_of_tags(catalog: Catalog) -> None:
    """What is dropped for consumers stays what a tag was, for as long as its repository exists."""
    await push(catalog, "one", tags=(V1,))
    await push(catalog, "two", tags=(V1, V2))
    history = await catalog.tag_log(APP, None, None, 10)
    assert len(history) == 3
    assert await trim(catalog, older_than_s=0) > 0
    assert await catalog.tag_log(APP, None, None, 10) == history
    assert await all_changes(catalog, (await catalog.changes(None, 1)).cursor) == []


@pytest.mark.parametrize("before", [True, False])
async def test_history_ends_with_its_repository(catalog: Catalog, before: bool) -> None:
    """A repository that comes again has no earlier history; its removal is in the log, whatever was trimmed before."""
    await push(catalog, "one", tags=(V1,))
    if before:
        await trim(catalog, older_than_s=0)
    end = await end_of(catalog)
    await catalog.do(RemoveManifest(repository=APP, digest=digest("one")))
    assert await catalog.do(RemoveRepository(repository=APP)) is True
    assert await catalog.tag_log(APP, None, None, 10) == []
    assert [each.kind for each in await all_changes(catalog, end)] == [UNTAGGED, DELETED, REMOVED]
    if not before:
        await trim(catalog, older_than_s=0)
    await push(catalog, "two", tags=(parse_tag("new"),))
    assert [each.after for each in await catalog.tag_log(APP, None, None, 10)] == [digest("two")]
