"""What a layout lists and the registry cannot read, or cannot name: carried along, and nothing beside it collected."""

from __future__ import annotations

import msgspec

from contract.catalog.examples import (
    APP,
    IMAGE_TYPE,
    LATEST,
    OTHER,
    OWNER,
    V1,
    child,
    digest,
    doom,
    layer,
    push,
    push_blob,
    put,
    stamp,
)
from zot.catalog.blob_commands import DoomBlob, DoomOutcome
from zot.catalog.interface import Catalog
from zot.catalog.layout_commands import ImportLayout, LayoutManifest, LayoutTag
from zot.catalog.manifest_commands import Absent, Deleted, DeleteTag, RemoveManifest, RemoveRepository, TagsDiffer
from zot.catalog.rows import CarriedEntry, Unread
from zot.oci.names import Tag, parse_tag

IMAGE = digest("image")


def entry(name: str | None = "1.0+build5", unread: Unread | None = Unread.MISSING, key: str = "key") -> CarriedEntry:
    """Return an entry that lists the image."""
    return CarriedEntry(key, b'{"digest":"..."}', IMAGE, name, IMAGE_TYPE, unread)


def found(*, whole: bool = True) -> LayoutManifest:
    """Return the image as a layout holds it."""
    edges = (layer("layer"),)
    return LayoutManifest(IMAGE, b"image", IMAGE_TYPE, None, None, {}, edges, 1, whole)


async def carry(catalog: Catalog, *entries: CarriedEntry) -> None:
    """Carry entries of a repository that is adopted."""
    await catalog.do(ImportLayout(repository=APP, carried=entries, complete=True))


async def carried(catalog: Catalog) -> list[CarriedEntry]:
    """Return what is carried."""
    return list(await catalog.carried(APP, "", 100))


async def test_entries_are_carried_as_they_were_read(catalog: Catalog) -> None:
    """They come back field by field, in the order of keys, by digest and by name; again is the same."""
    entries = [
        entry(None, Unread.TOO_LARGE, "a"),
        entry(),
        CarriedEntry("z", b'{"x":1}', unread=Unread.DESCRIPTOR),
        entry("latest", None, "l"),
    ]
    await carry(catalog, *entries)
    row = await catalog.repository(APP)
    await carry(catalog, *entries)
    assert await catalog.repository(APP) == row
    assert await carried(catalog) == sorted(entries, key=lambda each: each.key)
    assert [each.key for each in await catalog.carried(APP, "a", 2)] == ["key", "l"]
    assert [each.key for each in await catalog.carried_as(APP, IMAGE)] == ["l", "a", "key"]
    assert [each.key for each in await catalog.carried_as(APP, Tag("1.0+build5"))] == ["key"]
    assert await catalog.carried_as(APP, V1) == []
    assert await catalog.carried(OTHER, "", 10) == []


async def test_it_makes_an_export_due(catalog: Catalog) -> None:
    """A layout has to show what is carried."""
    await catalog.do(ImportLayout(repository=APP, complete=True))
    before = await catalog.repository(APP)
    await carry(catalog, entry())
    after = await catalog.repository(APP)
    assert before is not None
    assert after is not None
    assert after.revision == before.revision + 1


async def test_nothing_is_collected_beside_what_is_unread(catalog: Catalog) -> None:
    """A repository with something unread keeps its blobs, its manifests and files that no row knows."""
    blob = await push_blob(catalog, "loose")
    loose = await push(catalog, "loose manifest")
    await stamp(catalog)
    await carry(catalog, entry())
    assert await catalog.unread(APP)
    assert not await catalog.unread(OTHER)
    assert await stamp(catalog) == 0
    assert await doom(catalog, blob, marked_before_s=200) is DoomOutcome.REFERENCED
    orphan = DoomBlob(repository=APP, digest=digest("unknown"), token="t", orphan=True, owner=OWNER)
    assert await catalog.do(orphan) is DoomOutcome.REFERENCED
    delete = RemoveManifest(repository=APP, digest=loose, marked_before_s=200)
    assert isinstance(await catalog.do(delete), TagsDiffer)
    (usage,) = await catalog.usage("", 10)
    assert usage.unread == 1
    # An operator who says what has to go is obeyed.
    assert await doom(catalog, blob) is DoomOutcome.DOOMED
    assert isinstance(await catalog.do(RemoveManifest(repository=APP, digest=loose)), Deleted)


async def test_a_manifest_of_which_not_all_is_known_keeps_all(catalog: Catalog) -> None:
    """A manifest whose bytes could not be read whole may need anything in its repository, until it is deleted."""
    blob = await push_blob(catalog, "loose")
    await catalog.do(ImportLayout(repository=APP, manifests=(found(whole=False),), tags=(LayoutTag(V1, IMAGE),)))
    details = await catalog.manifest(APP, IMAGE)
    assert details is not None
    assert not details.whole
    assert await catalog.unread(APP)
    assert await stamp(catalog) == 0
    await catalog.do(RemoveManifest(repository=APP, digest=IMAGE))
    assert not await catalog.unread(APP)
    assert await stamp(catalog) == 1
    assert await doom(catalog, blob, marked_before_s=200) is DoomOutcome.DOOMED


async def test_a_name_keeps_a_manifest(catalog: Catalog) -> None:
    """A manifest that only an entry with a name lists is not loose; it is once the name is deleted."""
    await catalog.do(ImportLayout(repository=APP, manifests=(found(),), carried=(entry(unread=None),)))
    assert await catalog.dangling_manifests(APP, "", 10) == []
    assert not await catalog.unread(APP)
    details = await catalog.manifest(APP, IMAGE)
    assert details is not None
    assert details.carried
    name = Tag("1.0+build5")
    assert await catalog.do(DeleteTag(repository=APP, tag=name)) == Deleted(IMAGE, IMAGE_TYPE, (name,))
    assert await catalog.do(DeleteTag(repository=APP, tag=name)) == Absent()
    assert await carried(catalog) == []
    assert [each.digest for each in await catalog.dangling_manifests(APP, "", 10)] == [IMAGE]


async def test_a_manifest_that_comes_is_read_by_that(catalog: Catalog) -> None:
    """Once the manifest is stored, by whatever way, its entries are read: one with a name stays for the name."""
    await carry(catalog, entry(None, key="a"), entry(key="b"), CarriedEntry("c", b"", IMAGE, "x", IMAGE_TYPE))
    await push(catalog, "image")
    assert await carried(catalog) == [entry(key="b", unread=None)]
    assert await catalog.dangling_manifests(APP, "", 10) == []


async def test_a_tag_takes_the_place_of_its_entry(catalog: Catalog) -> None:
    """What a tag says now, by its own name or as the layout writes it, is not carried beside it."""
    written = "docker.io/library/alpine:v1"
    await carry(catalog, entry("v1", key="a"), entry(written, key="b"), entry("other", key="c"))
    tag = LayoutTag(V1, IMAGE, written=written)
    await catalog.do(ImportLayout(repository=APP, manifests=(found(),), tags=(tag,)))
    assert await carried(catalog) == [entry("other", None, "c")]
    assert [row.written for row in await catalog.tags(APP, "", 10)] == [written]
    await catalog.do(put("other", tags=(V1,)))
    assert [row.written for row in await catalog.tags(APP, "", 10)] == [None]


async def test_what_is_unread_is_deleted_by_digest_or_name(catalog: Catalog) -> None:
    """Deleting takes all entries of the digest, or of the name; a condition on a tag concerns no entry."""
    await carry(catalog, entry(key="a"), entry(None, key="b"), entry("latest", key="c"))
    assert await catalog.do(DeleteTag(repository=APP, tag=LATEST, if_digest=IMAGE)) == Absent()
    assert isinstance(await catalog.do(DeleteTag(repository=APP, tag=LATEST)), Deleted)
    assert await catalog.do(RemoveManifest(repository=APP, digest=IMAGE, marked_before_s=500)) == Absent()
    assert await catalog.do(RemoveManifest(repository=APP, digest=IMAGE)) == Deleted(IMAGE, IMAGE_TYPE, ())
    assert await carried(catalog) == []
    assert not await catalog.unread(APP)


async def test_what_an_index_lists_unread_goes_with_the_last_one_that_does(catalog: Catalog) -> None:
    """A child that could not be read keeps the repository while an index lists it."""
    one = await push(catalog, "one", child("image"))
    two = await push(catalog, "two", child("image"))
    await carry(catalog, msgspec.structs.replace(entry(None, Unread.DAMAGED), line=b""))
    await catalog.do(RemoveManifest(repository=APP, digest=one))
    assert await catalog.unread(APP)
    await catalog.do(RemoveManifest(repository=APP, digest=two))
    assert not await catalog.unread(APP)


async def test_a_repository_with_an_entry_is_not_forgotten(catalog: Catalog) -> None:
    """What is carried is something: its repository stays."""
    await carry(catalog, entry())
    assert await catalog.do(RemoveRepository(repository=APP)) is False
    await catalog.do(DeleteTag(repository=APP, tag=Tag("1.0+build5")))
    assert await catalog.do(RemoveRepository(repository=APP)) is True


async def test_a_tag_and_an_entry_of_one_name_go_together(catalog: Catalog) -> None:
    """Deleting a name deletes it: no entry of the same name comes to light behind the tag."""
    await push(catalog, "pushed", tags=(V1,))
    await carry(catalog, entry("v1"))
    assert await catalog.do(DeleteTag(repository=APP, tag=parse_tag("v1"))) == Deleted(
        digest("pushed"), IMAGE_TYPE, (V1,)
    )
    assert await carried(catalog) == []


async def test_an_entry_that_is_dropped_is_not_carried(catalog: Catalog) -> None:
    """What another program removed goes; dropping what is not carried changes nothing."""
    await carry(catalog, entry(None, key="a"), CarriedEntry("b", b"null", unread=Unread.DESCRIPTOR))
    await catalog.do(ImportLayout(repository=APP, dropped=("a", "b", "c")))
    assert await carried(catalog) == []
    row = await catalog.repository(APP)
    await catalog.do(ImportLayout(repository=APP, dropped=("a",)))
    assert await catalog.repository(APP) == row


async def test_children_that_are_absent_are_listed(catalog: Catalog) -> None:
    """What indexes list and is no manifest here comes once each, in the order of digests."""
    await push(catalog, "image")
    await push(catalog, "one", child("image"), child("absent"), child("other"))
    await push(catalog, "two", child("absent"))
    absent = sorted([digest("absent"), digest("other")])
    assert list(await catalog.absent_children(APP, "", 10)) == [(each, IMAGE_TYPE) for each in absent]
    assert [each for each, _ in await catalog.absent_children(APP, absent[0], 10)] == absent[1:]
    assert len(await catalog.absent_children(APP, "", 1)) == 1
