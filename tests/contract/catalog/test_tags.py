"""The laws of tags and their history, held by every driver."""

from __future__ import annotations

from itertools import pairwise

from contract.catalog.examples import APP, LATEST, OTHER, V1, V2, digest, push
from zot.catalog.interface import Catalog
from zot.catalog.manifest_commands import (
    Absent,
    Deleted,
    DeleteTag,
    Refusal,
    RemoveManifest,
    RestoreTag,
    TagMove,
    TagRefused,
)
from zot.oci.names import parse_repository, parse_tag


def delete(*, if_name: str | None = None, immutable: bool = False) -> DeleteTag:
    """Return the command that deletes V1."""
    return DeleteTag(
        repository=APP, tag=V1, if_digest=digest(if_name) if if_name else None, immutable=immutable, by="bob"
    )


async def test_tags_come_in_byte_order(catalog: Catalog) -> None:
    """Capitals before small letters, digits before both; pages follow each other without a gap."""
    names = ("b", "B", "a", "_", "1", "a.1", "a-1")
    await push(catalog, "image", tags=tuple(map(parse_tag, names)))
    first = await catalog.tags(APP, "", 3)
    rest = await catalog.tags(APP, first[-1].name, 10)
    assert [row.name for row in (*first, *rest)] == sorted(names)


async def test_a_page_is_short_at_the_end_alone(catalog: Catalog) -> None:
    """A list has as many rows as were asked for while there are more: a shorter page is the last."""
    tags = [parse_tag(f"t{number}") for number in range(5)]
    for number, tag in enumerate(tags):
        await push(catalog, f"image {number}", tags=(tag,))
        await push(catalog, "image", repository=parse_repository(f"team/r{number}"))
    digests = [row.digest for row in await catalog.manifests(APP, "", 10)]
    log = [row.sequence for row in await catalog.tag_log(APP, None, None, 10)]
    names = await catalog.repositories("", 10)
    assert (len(digests), len(log), len(names)) == (5, 5, 6)
    for start in range(5):
        for limit in range(1, 6):
            after = digests[start - 1] if start else ""
            assert [row.digest for row in await catalog.manifests(APP, after, limit)] == digests[start:][:limit]
            assert [row.name for row in await catalog.tags(APP, tags[start - 1] if start else "", limit)] == tags[
                start:
            ][:limit]
            before = log[start - 1] if start else None
            assert [row.sequence for row in await catalog.tag_log(APP, None, before, limit)] == log[start:][:limit]
            assert await catalog.repositories(names[start - 1] if start else "", limit) == names[start:][:limit]


async def test_a_tag_belongs_to_its_repository(catalog: Catalog) -> None:
    """The same name elsewhere is another tag."""
    await push(catalog, "image", tags=(V1,))
    await push(catalog, "other", tags=(V1,), repository=OTHER)
    assert [row.digest for row in await catalog.tags(APP, "", 10)] == [digest("image")]
    assert [row.digest for row in await catalog.tags(OTHER, "", 10)] == [digest("other")]


async def test_a_moved_tag_keeps_its_beginning(catalog: Catalog) -> None:
    """A tag knows when it appeared, when it last moved, and by whom."""
    await push(catalog, "old", tags=(V1,))
    (before,) = await catalog.tags(APP, "", 10)
    assert before.created_ns == before.moved_ns
    await push(catalog, "new", tags=(V1,))
    (after,) = await catalog.tags(APP, "", 10)
    assert after.created_ns == before.created_ns
    assert after.moved_ns > before.moved_ns
    assert after.by == "alice"


async def test_a_tag_that_comes_again_is_new(catalog: Catalog) -> None:
    """Deleted and pushed again, a tag has a new time of creation."""
    await push(catalog, "image", tags=(V1,))
    (before,) = await catalog.tags(APP, "", 10)
    await catalog.do(delete())
    await push(catalog, "image", tags=(V1,))
    (after,) = await catalog.tags(APP, "", 10)
    assert after.created_ns > before.moved_ns


async def test_deleting_an_absent_tag(catalog: Catalog) -> None:
    """There is nothing to delete."""
    assert await catalog.do(delete()) == Absent()
    await push(catalog, "image", tags=(V1,), repository=OTHER)
    assert await catalog.do(delete()) == Absent()


async def test_a_tag_is_deleted_where_it_was_seen(catalog: Catalog) -> None:
    """If it points elsewhere than decided on, it is left."""
    await push(catalog, "new", tags=(V1,))
    assert await catalog.do(delete(if_name="old")) == Absent()
    assert isinstance(await catalog.do(delete(if_name="new")), Deleted)


async def test_an_immutable_tag_is_not_deleted(catalog: Catalog) -> None:
    """It is refused if it exists, and absent if not."""
    assert await catalog.do(delete(immutable=True)) == Absent()
    await push(catalog, "image", tags=(V1,))
    assert await catalog.do(delete(immutable=True)) == TagRefused(V1, Refusal.IMMUTABLE)
    assert await catalog.resolve(APP, V1)


async def test_a_repeated_delete_leaves_what_came_again(catalog: Catalog) -> None:
    """The outcome is recorded, so that a tag pushed in between stays."""
    await push(catalog, "image", tags=(V1,))
    command = delete()
    outcome = await catalog.do(command)
    await push(catalog, "image", tags=(V1,))
    assert await catalog.do(command) == outcome
    assert await catalog.resolve(APP, V1)


async def test_the_log_tells_each_change(catalog: Catalog) -> None:
    """Created, moved, deleted, restored: newest first, with what it was before and after, and by whom."""
    await push(catalog, "one", tags=(V1,))
    await push(catalog, "two", tags=(V1,))
    await catalog.do(delete())
    await catalog.do(RestoreTag(repository=APP, digest=digest("one"), move=TagMove(V1), by="carol"))
    log = await catalog.tag_log(APP, V1, None, 10)
    assert [(row.tag, row.before, row.after, row.by) for row in log] == [
        (V1, None, digest("one"), "carol"),
        (V1, digest("two"), None, "bob"),
        (V1, digest("one"), digest("two"), "alice"),
        (V1, None, digest("one"), "alice"),
    ]


async def test_the_log_has_one_order(catalog: Catalog) -> None:
    """Sequence numbers and times fall strictly from entry to entry of a tag."""
    for name in ("one", "two", "three"):
        await push(catalog, name, tags=(V1,))
    log = await catalog.tag_log(APP, V1, None, 10)
    assert all(newer.sequence > older.sequence and newer.at_ns > older.at_ns for newer, older in pairwise(log))


async def test_the_log_can_be_paged(catalog: Catalog) -> None:
    """Entries before a sequence number, of one tag or of all."""
    for name in ("one", "two", "three"):
        await push(catalog, name, tags=(V1, V2))
    whole = await catalog.tag_log(APP, None, None, 10)
    assert len(whole) == 6
    assert await catalog.tag_log(APP, None, whole[1].sequence, 3) == whole[2:5]
    of_tag = [row for row in whole if row.tag == V2]
    assert await catalog.tag_log(APP, V2, None, 2) == of_tag[:2]
    assert await catalog.tag_log(APP, V2, of_tag[1].sequence, 10) == of_tag[2:]
    assert await catalog.tag_log(APP, LATEST, None, 10) == []


async def test_a_manifests_delete_is_in_the_log(catalog: Catalog) -> None:
    """Each tag that went with it has an entry."""
    await push(catalog, "image", tags=(V1, V2))
    await catalog.do(RemoveManifest(repository=APP, digest=digest("image"), by="bob"))
    log = await catalog.tag_log(APP, None, None, 2)
    assert {(row.tag, row.before, row.after, row.by) for row in log} == {
        (V1, digest("image"), None, "bob"),
        (V2, digest("image"), None, "bob"),
    }


async def test_what_does_not_move_is_not_logged(catalog: Catalog) -> None:
    """Pushing the same again is no change."""
    await push(catalog, "image", tags=(V1,))
    await push(catalog, "image", tags=(V1,))
    assert len(await catalog.tag_log(APP, V1, None, 10)) == 1


async def test_the_log_belongs_to_its_repository(catalog: Catalog) -> None:
    """The same tag elsewhere has its own."""
    await push(catalog, "image", tags=(V1,), repository=OTHER)
    assert await catalog.tag_log(APP, V1, None, 10) == []
