"""The laws of import and export, held by every driver."""

from __future__ import annotations

import msgspec
import pytest

from contract.catalog.examples import (
    APP,
    IMAGE_TYPE,
    OTHER,
    OWNER,
    V1,
    V2,
    digest,
    doom,
    layer,
    push,
    push_blob,
    stamp,
)
from zot.catalog.blob_commands import ClaimBlob, ClaimOutcome, DoomOutcome, PutBlob, TouchBlob
from zot.catalog.interface import Catalog
from zot.catalog.layout_commands import (
    BeginExport,
    FinishExport,
    ImportLayout,
    LayoutBlob,
    LayoutManifest,
    LayoutTag,
    QueueExport,
)
from zot.catalog.manifest_commands import Edge, RemoveManifest
from zot.catalog.rows import BlobRow, CarriedEntry, ExportRow, HeldBlob, RepositoryRow, Unread, UsageRow
from zot.oci.digest import digest_of
from zot.oci.names import Repository


def found(name: str, *edges: Edge) -> LayoutManifest:
    """Return a manifest as a layout has it."""
    return LayoutManifest(digest(name), name.encode(), IMAGE_TYPE, None, None, {}, edges, pushed_ns=7)


async def repository(catalog: Catalog) -> RepositoryRow:
    """Return APP, which has to be there."""
    row = await catalog.repository(APP)
    assert row is not None
    return row


async def import_layout(catalog: Catalog, name: Repository = APP) -> None:
    """Adopt a repository of which nothing is on the disk."""
    await catalog.do(ImportLayout(repository=name, complete=True))


async def exported(catalog: Catalog, revision: int, name: str = "file") -> None:
    """Record an export of APP."""
    await catalog.do(FinishExport(repository=APP, revision=revision, digest=name, signature=f"stat of {name}"))


async def test_a_part_of_a_layout_is_taken_in(catalog: Catalog) -> None:
    """Blobs are present, manifests are stored whether or not all their blobs are there, tags point to them."""
    part = ImportLayout(
        repository=APP,
        blobs=(LayoutBlob(digest("blob"), 4),),
        manifests=(found("image", layer("blob"), layer("missing")),),
        tags=(LayoutTag(V1, digest("image")),),
        by="layout",
    )
    assert await catalog.do(part) == ()
    blob = await catalog.blob(APP, digest("blob"))
    assert blob is not None
    assert blob.placed_ns > 0
    assert msgspec.structs.replace(blob, placed_ns=0) == BlobRow(4, layer("blob").media_type, marked=False)
    details = await catalog.manifest(APP, digest("image"))
    assert details is not None
    assert (details.pushed_ns, details.pushed_by, details.tags) == (7, "layout", (V1,))
    assert await catalog.manifest_content(APP, digest("image")) == b"image"
    assert [(change.before, change.by) for change in await catalog.tag_log(APP, V1, None, 10)] == [(None, "layout")]


async def test_a_part_may_be_given_again(catalog: Catalog) -> None:
    """The second time nothing changes."""
    part = ImportLayout(
        repository=APP,
        blobs=(LayoutBlob(digest("blob"), 4),),
        manifests=(found("image", layer("blob")),),
        tags=(LayoutTag(V1, digest("image")),),
    )
    await catalog.do(part)
    before = await repository(catalog), await catalog.usage("", 10), await catalog.tag_log(APP, None, None, 10)
    assert await catalog.do(part) == ()
    after = await repository(catalog), await catalog.usage("", 10), await catalog.tag_log(APP, None, None, 10)
    assert after == before


async def test_a_repository_is_adopted_when_all_is_taken_in(catalog: Catalog) -> None:
    """Parts do not make it adopted, the last one does, and later parts do not undo it."""
    await catalog.do(ImportLayout(repository=APP, blobs=(LayoutBlob(digest("blob"), 4),)))
    assert not (await repository(catalog)).imported
    await import_layout(catalog)
    assert (await repository(catalog)).imported
    await catalog.do(ImportLayout(repository=APP))
    assert (await repository(catalog)).imported


async def test_a_new_tag_is_taken_only_if_there_is_none(catalog: Catalog) -> None:
    """A tag that was pushed in between keeps its place, and the layout's is returned."""
    await push(catalog, "pushed", tags=(V1,))
    part = ImportLayout(
        repository=APP,
        manifests=(found("image"),),
        tags=(LayoutTag(V1, digest("image")), LayoutTag(V2, digest("image"))),
    )
    assert await catalog.do(part) == (V1,)
    row = await catalog.resolve(APP, V1)
    assert row is not None
    assert row.digest == digest("pushed")
    assert await catalog.resolve(APP, V2)


async def test_a_moved_tag_is_taken_only_from_where_it_was(catalog: Catalog) -> None:
    """Another program's move counts if the tag did not change here since its export."""
    await push(catalog, "old", tags=(V1, V2))
    await push(catalog, "new", tags=(V2,))
    part = ImportLayout(
        repository=APP,
        manifests=(found("image"),),
        tags=(
            LayoutTag(V1, digest("image"), if_digest=digest("old")),
            LayoutTag(V2, digest("image"), if_digest=digest("old")),
        ),
    )
    assert await catalog.do(part) == (V2,)
    assert [row.digest for row in await catalog.tags(APP, "", 10)] == [digest("image"), digest("new")]


async def test_a_tag_without_a_manifest_is_not_taken(catalog: Catalog) -> None:
    """A tag points to a manifest that is there."""
    assert await catalog.do(ImportLayout(repository=APP, tags=(LayoutTag(V1, digest("image")),))) == (V1,)
    assert await catalog.tags(APP, "", 10) == []


async def test_what_is_there_stays(catalog: Catalog) -> None:
    """A manifest and a blob that are known are not replaced."""
    await push_blob(catalog, "blob")
    await push(catalog, "image")
    await catalog.do(
        ImportLayout(repository=APP, blobs=(LayoutBlob(digest("blob"), 99),), manifests=(found("image"),), by="layout")
    )
    assert await catalog.usage("", 10) == [UsageRow(APP, 9, 0, 1, 1)]
    details = await catalog.manifest(APP, digest("image"))
    assert details is not None
    assert details.pushed_by == "alice"


async def test_a_doomed_blob_stays_doomed(catalog: Catalog) -> None:
    """A file that is about to be unlinked is not imported."""
    await push_blob(catalog, "blob")
    await doom(catalog, digest("blob"))
    await catalog.do(ImportLayout(repository=APP, blobs=(LayoutBlob(digest("blob"), 4),)))
    assert await catalog.blob(APP, digest("blob")) is None


async def test_adopted_blobs_are_referenced_by_what_names_them(catalog: Catalog) -> None:
    """In whatever order the parts come."""
    await catalog.do(ImportLayout(repository=APP, manifests=(found("one", layer("late")),)))
    await catalog.do(
        ImportLayout(repository=APP, blobs=(LayoutBlob(digest("late"), 4), LayoutBlob(digest("early"), 5)))
    )
    await catalog.do(ImportLayout(repository=APP, manifests=(found("two", layer("early")),)))
    assert await catalog.unreferenced_blobs(APP, "", 10) == []
    assert await doom(catalog, digest("early")) is DoomOutcome.REFERENCED
    assert await catalog.do(TouchBlob(repository=APP, digest=digest("late"))) is True


async def test_changes_of_manifests_and_tags_give_a_new_revision(catalog: Catalog) -> None:
    """Whatever the layout's index shows makes a revision; blobs do not."""
    await push_blob(catalog, "blob")
    assert (await repository(catalog)).revision == 0
    await push(catalog, "image", layer("blob"))
    one = (await repository(catalog)).revision
    await push(catalog, "image", tags=(V1,))
    two = (await repository(catalog)).revision
    await catalog.do(RemoveManifest(repository=APP, digest=digest("image")))
    three = (await repository(catalog)).revision
    assert 0 < one < two < three
    await doom(catalog, digest("blob"))
    assert (await repository(catalog)).revision == three


async def test_what_changes_nothing_makes_no_revision(catalog: Catalog) -> None:
    """A push of what is there, a claim or a sweep leaves the layout as it is."""
    await push(catalog, "image", tags=(V1,))
    before = (await repository(catalog)).revision
    await push(catalog, "image", tags=(V1,))
    assert (
        await catalog.do(ClaimBlob(repository=APP, digest=digest("blob"), token="t", owner=OWNER))
        is ClaimOutcome.CLAIMED
    )
    await stamp(catalog)
    assert (await repository(catalog)).revision == before


async def test_only_what_is_adopted_is_exported(catalog: Catalog) -> None:
    """A repository whose layout is not known must not be overwritten."""
    await push(catalog, "image")
    assert await catalog.exports_due(10) == []
    assert await catalog.do(BeginExport(repository=APP, digest="file", owner=OWNER)) is False
    assert await catalog.do(BeginExport(repository=OTHER, digest="file", owner=OWNER)) is False
    await import_layout(catalog)
    assert await catalog.exports_due(10) == [APP]
    assert await catalog.do(BeginExport(repository=APP, digest="file", owner=OWNER)) is True


async def test_the_longest_due_is_exported_first(catalog: Catalog) -> None:
    """Repositories come in the order in which they became due, however often they change."""
    for name in (OTHER, APP):
        await import_layout(catalog, name)
    await push(catalog, "one", repository=APP)
    await push(catalog, "two", repository=OTHER)
    await push(catalog, "three", repository=APP)
    assert await catalog.exports_due(10) == [APP, OTHER]
    assert await catalog.exports_due(1) == [APP]


async def test_an_export_of_all_changes_is_not_due_any_more(catalog: Catalog) -> None:
    """What the layout shows is known, with the file that shows it."""
    await import_layout(catalog)
    await push(catalog, "image")
    revision = (await repository(catalog)).revision
    await catalog.do(BeginExport(repository=APP, digest="file", owner=OWNER))
    assert await catalog.export(APP) == ExportRow(APP, revision, 0, None, None, "file")
    await exported(catalog, revision)
    assert await catalog.export(APP) == ExportRow(APP, revision, revision, "file", "stat of file", None)
    assert await catalog.exports_due(10) == []
    assert (await repository(catalog)).exported == revision


async def test_what_changed_meanwhile_is_due(catalog: Catalog) -> None:
    """An export of an earlier revision leaves the later changes due, behind those that were due already."""
    for name in (OTHER, APP):
        await import_layout(catalog, name)
    await push(catalog, "image")
    revision = (await repository(catalog)).revision
    await push(catalog, "late")
    await push(catalog, "image", repository=OTHER)
    await exported(catalog, revision)
    assert await catalog.exports_due(10) == [OTHER, APP]


async def test_an_older_export_does_not_replace_a_newer_one(catalog: Catalog) -> None:
    """A record that comes late changes nothing."""
    await import_layout(catalog)
    for name in ("one", "two"):
        await push(catalog, name)
    revision = (await repository(catalog)).revision
    await exported(catalog, revision, "new")
    await exported(catalog, revision - 1, "old")
    assert await catalog.export(APP) == ExportRow(APP, revision, revision, "new", "stat of new", None)
    assert await catalog.exports_due(10) == []


async def test_a_layout_that_lacks_something_is_due(catalog: Catalog) -> None:
    """Marked dirty, a repository is exported again, and no export under way can hide that."""
    await import_layout(catalog)
    revision = (await repository(catalog)).revision
    await catalog.do(QueueExport(repository=APP))
    await exported(catalog, revision)
    assert await catalog.exports_due(10) == [APP]


async def test_an_absent_repository_has_no_export(catalog: Catalog) -> None:
    """Marking or recording what is not there makes nothing."""
    await catalog.do(QueueExport(repository=APP))
    await exported(catalog, 3)
    assert await catalog.export(APP) is None
    assert await catalog.repository(APP) is None


async def test_what_is_taken_in_is_due_until_it_is_said_to_be_shown(catalog: Catalog) -> None:
    """An export that was under way when a layout was merged does not pass for one of the merged state."""
    await import_layout(catalog)
    before = (await repository(catalog)).revision
    await catalog.do(ImportLayout(repository=APP, manifests=(found("image"),)))
    await exported(catalog, before)
    assert await catalog.exports_due(10) == [APP]
    await exported(catalog, (await repository(catalog)).revision)
    assert await catalog.exports_due(10) == []


async def test_a_repetition_of_an_intent_is_the_same(catalog: Catalog) -> None:
    """The last intent counts; given again it is the same."""
    await import_layout(catalog)
    intend = BeginExport(repository=APP, digest="file", owner=OWNER)
    assert await catalog.do(intend) is True
    assert await catalog.do(msgspec.structs.replace(intend)) is True
    row = await catalog.export(APP)
    assert row is not None
    assert row.intent == "file"


async def test_a_snapshot_has_all_that_a_layout_shows(catalog: Catalog) -> None:
    """It has tags, manifests, carried entries and held bytes, as their own reads return them."""
    await import_layout(catalog)
    first, second = await push(catalog, "one", tags=(V2, V1)), await push(catalog, "two")
    held = b"held"
    await catalog.do(PutBlob(repository=APP, digest=digest_of(held), content=held))
    carried = CarriedEntry("key", b'{"digest":"x"}', unread=Unread.DESCRIPTOR)
    await catalog.do(ImportLayout(repository=APP, carried=(carried,)))
    await exported(catalog, 1)
    found = await catalog.layout_snapshot(APP, 9, 9)
    assert found is not None
    assert found.export == await catalog.export(APP)
    assert found.shown_ns == (await catalog.tag_log(APP, None, None, 1))[0].at_ns > 0
    assert list(found.tags) == list(await catalog.tags(APP, "", 9))
    assert [tag.name for tag in found.tags] == sorted([V1, V2])
    assert list(found.manifests) == list(await catalog.manifests(APP, "", 9))
    assert [each.digest for each in found.manifests] == sorted([first, second])
    assert list(found.carried) == [carried]
    row = await catalog.blob(APP, digest_of(held))
    assert row is not None
    assert list(found.held) == [HeldBlob(digest_of(held), row.placed_ns, held)]


async def test_only_a_small_repository_has_a_snapshot(catalog: Catalog) -> None:
    """Each kind of row and the held bytes have a limit; a repository that is not imported has none."""
    await push(catalog, "one", tags=(V1, V2))
    assert await catalog.layout_snapshot(OTHER, 9, 9) is None
    assert await catalog.layout_snapshot(APP, 9, 9) is None
    await import_layout(catalog)
    held = b"held"
    await catalog.do(PutBlob(repository=APP, digest=digest_of(held), content=held))
    assert await catalog.layout_snapshot(APP, 2, 4) is not None
    assert await catalog.layout_snapshot(APP, 2, 3) is None
    assert await catalog.layout_snapshot(APP, 1, 4) is None
    await import_layout(catalog, OTHER)
    found = await catalog.layout_snapshot(OTHER, 0, 0)
    assert found is not None
    assert (found.shown_ns, list(found.tags), list(found.manifests)) == (0, [], [])


async def test_the_reads_of_one_moment_are_those_apart(catalog: Catalog) -> None:
    """A block has what reads return outside of it, and the next block what was changed in between."""
    first = await push(catalog, "one", tags=(V1,))
    with catalog.one_moment():
        inside = (await catalog.tag(APP, V1), await catalog.manifest(APP, first), await catalog.tag(APP, V2))
    assert inside == (await catalog.tag(APP, V1), await catalog.manifest(APP, first), None)
    second = await push(catalog, "two", tags=(V1, V2))
    with catalog.one_moment():
        rows = [await catalog.tag(APP, each) for each in (V1, V2)]
    assert [each.digest for each in rows if each] == [second, second]
    with pytest.raises(KeyError), catalog.one_moment():
        raise KeyError
    assert await catalog.tag(APP, V2) == rows[1]
