"""The laws of the catalog's commands on manifests, held by every driver."""

from __future__ import annotations

import msgspec
import pytest

from contract.catalog.examples import (
    APP,
    IMAGE_TYPE,
    LATEST,
    OTHER,
    OWNER,
    V1,
    V2,
    child,
    digest,
    doom,
    layer,
    push,
    push_blob,
    put,
    stamp,
)
from zot.catalog.blob_commands import ClaimBlob, DoomOutcome, DropClaim, ForgetBlob
from zot.catalog.interface import Catalog
from zot.catalog.manifest_commands import (
    Absent,
    Deleted,
    DeleteTag,
    Edge,
    MissingBlobs,
    Referenced,
    Refusal,
    RemoveManifest,
    RemoveRepository,
    RestoreTag,
    Stored,
    TagMove,
    TagPosition,
    TagRefused,
    TagsDiffer,
)
from zot.catalog.quotas import OverQuota, RepositoryQuota
from zot.catalog.rows import ManifestRow, ReferrerRow, UsageRow
from zot.catalog.upload_commands import CancelUploadRow, CreateUploadRow

IMAGE = digest("image")


def delete(name: str = "image", *, if_tags: tuple[str, ...] | None = None) -> RemoveManifest:
    """Return the command that deletes a manifest."""
    return msgspec.structs.replace(RemoveManifest(repository=APP, digest=digest(name), by="bob"), if_tags=if_tags)


async def test_a_stored_manifest_is_found(catalog: Catalog) -> None:
    """A manifest is found by its digest and by its tag, with its bytes."""
    assert await catalog.do(put("image", tags=(V1,))) == Stored(created=True, changes=((V1, None),))
    row = ManifestRow(IMAGE, IMAGE_TYPE, 5)
    assert await catalog.resolve(APP, IMAGE) == row
    assert await catalog.resolve(APP, V1) == row
    assert await catalog.manifest_content(APP, IMAGE) == b"image"


async def test_a_manifest_belongs_to_its_repository(catalog: Catalog) -> None:
    """What one repository has, another has not."""
    await push(catalog, "image", tags=(V1,))
    await push(catalog, "elsewhere", repository=OTHER)
    assert await catalog.resolve(OTHER, IMAGE) is None
    assert await catalog.resolve(OTHER, V1) is None
    assert await catalog.manifest_content(OTHER, IMAGE) is None
    assert await catalog.manifest(OTHER, IMAGE) is None


async def test_details_tell_all_that_is_known(catalog: Catalog) -> None:
    """Type, artifact type, subject, who pushed it, and its tags in order."""
    command = msgspec.structs.replace(put("image", tags=(V2, V1)), artifact_type="text/sbom", subject=digest("subject"))
    await catalog.do(command)
    details = await catalog.manifest(APP, IMAGE)
    assert details is not None
    assert details.pushed_ns > 0
    assert msgspec.structs.asdict(details) | {"pushed_ns": 0} == {
        "digest": IMAGE,
        "media_type": IMAGE_TYPE,
        "size": 5,
        "artifact_type": "text/sbom",
        "subject": digest("subject"),
        "pushed_ns": 0,
        "pushed_by": "alice",
        "tags": (V1, V2),
        "whole": True,
        "carried": False,
    }


async def test_manifests_come_in_the_order_of_digests(catalog: Catalog) -> None:
    """Pages of manifests follow each other without a gap."""
    names = ("a", "b", "c")
    for name in names:
        await push(catalog, name, tags=(V1,))
    first = await catalog.manifests(APP, "", 2)
    pages = [*first, *await catalog.manifests(APP, first[-1].digest, 2)]
    assert [row.digest for row in pages] == sorted(map(digest, names))
    assert {row.digest: row.tags for row in pages}[digest("c")] == (V1,)


async def test_storing_again_changes_nothing(catalog: Catalog) -> None:
    """A manifest that is there stays as it was first stored."""
    await push(catalog, "image", tags=(V1,))
    before = await catalog.manifest(APP, IMAGE), await catalog.tags(APP, "", 9), await catalog.repository(APP)
    again = msgspec.structs.replace(put("image", tags=(V1,)), media_type="text/other", by="mallory")
    assert await catalog.do(again) == Stored(created=False, changes=())
    assert before == (await catalog.manifest(APP, IMAGE), await catalog.tags(APP, "", 9), await catalog.repository(APP))


async def test_a_repeated_command_gets_its_first_answer(catalog: Catalog) -> None:
    """The outcome of a push is remembered by its id."""
    command = put("image", tags=(V1,))
    assert await catalog.do(command) == await catalog.do(command)


async def test_a_repeated_push_does_not_move_the_tag_back(catalog: Catalog) -> None:
    """A push that is repeated late does not undo one that came between."""
    first = put("first", tags=(LATEST,))
    await catalog.do(first)
    await push(catalog, "second", tags=(LATEST,))
    assert await catalog.do(first) == Stored(created=True, changes=((LATEST, None),))
    row = await catalog.resolve(APP, LATEST)
    assert row is not None
    assert row.digest == digest("second")


async def test_a_manifest_needs_its_blobs(catalog: Catalog) -> None:
    """Nothing is stored while blobs are missing, which are named in the manifest's order."""
    await push_blob(catalog, "there")
    outcome = await catalog.do(put("image", layer("z"), layer("there"), layer("a"), tags=(V1,)))
    assert outcome == MissingBlobs((digest("z"), digest("a")))
    assert await catalog.resolve(APP, IMAGE) is None
    assert await catalog.tags(APP, "", 10) == []


async def test_a_refused_push_makes_no_repository(catalog: Catalog) -> None:
    """What was refused leaves nothing behind."""
    await catalog.do(put("image", layer("missing")))
    assert await catalog.repository(APP) is None


@pytest.mark.parametrize("edge", [child("absent"), layer("absent", optional=True)], ids=["child", "optional"])
async def test_some_content_need_not_be_there(catalog: Catalog, edge: Edge) -> None:
    """An index's manifests and non-distributable layers may be absent."""
    assert isinstance(await catalog.do(put("image", edge)), Stored)


async def test_another_repositorys_blob_is_missing(catalog: Catalog) -> None:
    """A blob counts only where it is."""
    await push_blob(catalog, "blob", OTHER)
    assert await catalog.do(put("image", layer("blob"))) == MissingBlobs((digest("blob"),))


async def test_a_doomed_blob_is_missing(catalog: Catalog) -> None:
    """A manifest cannot save a blob that was decided to go."""
    await push_blob(catalog, "blob")
    await doom(catalog, digest("blob"))
    assert await catalog.do(put("image", layer("blob"))) == MissingBlobs((digest("blob"),))


async def test_storing_clears_stamps(catalog: Catalog) -> None:
    """What a manifest names is no garbage from its commit on, whatever a sweep found before."""
    await push_blob(catalog, "blob")
    await stamp(catalog)
    await push(catalog, "image", layer("blob"), tags=(V1,))
    assert await catalog.unreferenced_blobs(APP, "", 10) == []
    assert await stamp(catalog) == 0


async def test_optional_content_is_kept_if_it_comes(catalog: Catalog) -> None:
    """An edge to absent content keeps it from collection once it is pushed."""
    await push(catalog, "image", layer("blob", optional=True))
    await push_blob(catalog, "blob")
    assert await doom(catalog, digest("blob")) is DoomOutcome.REFERENCED


async def test_a_push_is_refused_by_what_its_tags_may_not(catalog: Catalog) -> None:
    """A tag that may not be created or moved, or is immutable, refuses the whole push."""
    await push(catalog, "old", tags=(V1,))
    for move, why in (
        (TagMove(V2, may_create=False), Refusal.MAY_NOT_CREATE),
        (TagMove(V1, may_move=False), Refusal.MAY_NOT_MOVE),
        (TagMove(V1, immutable=True), Refusal.IMMUTABLE),
    ):
        command = msgspec.structs.replace(put("image"), tags=(TagMove(LATEST), move))
        assert await catalog.do(command) == TagRefused(move.tag, why)
    assert await catalog.resolve(APP, IMAGE) is None
    assert await catalog.resolve(APP, LATEST) is None


async def test_a_tag_may_stay_where_it_is(catalog: Catalog) -> None:
    """Pushing the same again needs no right to move, and immutability does not mind."""
    await push(catalog, "image", tags=(V1,))
    move = TagMove(V1, may_create=False, may_move=False, immutable=True)
    again = msgspec.structs.replace(put("image"), tags=(move,))
    assert await catalog.do(again) == Stored(created=False, changes=())


async def test_an_immutable_tag_may_be_created(catalog: Catalog) -> None:
    """Immutability begins with the tag."""
    command = msgspec.structs.replace(put("image"), tags=(TagMove(V1, immutable=True),))
    assert await catalog.do(command) == Stored(created=True, changes=((V1, None),))


async def test_a_tag_named_twice_changes_once(catalog: Catalog) -> None:
    """One push, one change a tag."""
    assert await catalog.do(put("image", tags=(V1, V1))) == Stored(created=True, changes=((V1, None),))


async def test_the_number_of_repositories_is_limited(catalog: Catalog) -> None:
    """The first manifest of one repository too many is refused; the others go on."""
    await push(catalog, "old", repository=OTHER)
    limited = msgspec.structs.replace(put("image"), repositories_limit=1)
    assert await catalog.do(limited) == OverQuota(1, 1, of_repositories=True)
    more = msgspec.structs.replace(put("more", repository=OTHER), repositories_limit=1)
    assert isinstance(await catalog.do(more), Stored)


async def test_a_repository_without_manifests_does_not_count(catalog: Catalog) -> None:
    """What only has blobs is no repository to the limit."""
    await push_blob(catalog, "blob", OTHER)
    limited = msgspec.structs.replace(put("image"), repositories_limit=1)
    assert isinstance(await catalog.do(limited), Stored)


async def test_refusals_have_an_order(catalog: Catalog) -> None:
    """Tags come first, then the number of repositories, then missing blobs, then bytes."""
    await push(catalog, "old", repository=OTHER)
    command = msgspec.structs.replace(
        put("image", layer("missing")),
        tags=(TagMove(V1, may_create=False),),
        repositories_limit=1,
        quotas=(RepositoryQuota(1),),
    )
    assert isinstance(await catalog.do(command), TagRefused)
    command = msgspec.structs.replace(command, tags=(), id="2")
    assert await catalog.do(command) == OverQuota(1, 1, of_repositories=True)
    command = msgspec.structs.replace(command, repositories_limit=None, id="3")
    assert isinstance(await catalog.do(command), MissingBlobs)
    command = msgspec.structs.replace(command, edges=(), id="4")
    assert await catalog.do(command) == OverQuota(1, 0, of_repositories=False)


async def test_a_digest_counts_once(catalog: Catalog) -> None:
    """Bytes that are a blob and a manifest are one file, whichever of the two goes first."""
    await push_blob(catalog, "image")
    await push(catalog, "image")
    assert await catalog.usage("", 10) == [UsageRow(APP, 5, 0, 1, 1)]
    await catalog.do(delete())
    assert await catalog.usage("", 10) == [UsageRow(APP, 5, 0, 0, 1)]
    await doom(catalog, IMAGE)
    assert await catalog.usage("", 10) == [UsageRow(APP, 0, 0, 0, 0)]
    await catalog.do(ForgetBlob(repository=APP, digest=IMAGE, token="doom"))
    await push(catalog, "image")
    await push_blob(catalog, "image")
    assert await catalog.usage("", 10) == [UsageRow(APP, 5, 0, 1, 1)]


async def test_usage_counts(catalog: Catalog) -> None:
    """Bytes, tags, manifests and blobs of each repository, in the order of names."""
    await push_blob(catalog, "1234")
    await push(catalog, "image", layer("1234"), tags=(V1, V2))
    await push(catalog, "other", repository=OTHER)
    assert await catalog.usage("", 10) == [UsageRow(OTHER, 5, 0, 1, 0), UsageRow(APP, 9, 2, 1, 1)]
    assert await catalog.usage(OTHER, 10) == [UsageRow(APP, 9, 2, 1, 1)]
    assert await catalog.usage("", 1) == [UsageRow(OTHER, 5, 0, 1, 0)]


async def test_referrers_are_found_by_their_subject(catalog: Catalog) -> None:
    """They come with their annotations, in the order of digests, whether or not the subject is there."""
    subject = digest("subject")
    names = ("a", "b", "c")
    for name in names:
        command = msgspec.structs.replace(
            put(name), subject=subject, artifact_type=f"text/{name}", annotations={"name": name, "é": "\n"}
        )
        await catalog.do(command)
    await push(catalog, "unrelated")
    expected = sorted(
        (ReferrerRow(digest(name), IMAGE_TYPE, 1, f"text/{name}", {"name": name, "é": "\n"}) for name in names),
        key=lambda row: row.digest,
    )
    first = await catalog.referrers(APP, subject, (), "", 2)
    assert [*first, *await catalog.referrers(APP, subject, (), first[-1].digest, 2)] == expected
    assert await catalog.referrers(OTHER, subject, (), "", 2) == []


async def test_referrers_can_be_filtered(catalog: Catalog) -> None:
    """Only those of the artifact types that are named."""
    for name in ("a", "b", "c"):
        await catalog.do(msgspec.structs.replace(put(name), subject=IMAGE, artifact_type=f"text/{name}"))
    await catalog.do(msgspec.structs.replace(put("none"), subject=IMAGE))
    found = await catalog.referrers(APP, IMAGE, ("text/a", "text/c", "text/d"), "", 10)
    assert sorted(row.artifact_type or "" for row in found) == ["text/a", "text/c"]


async def test_deleting_takes_the_tags_along(catalog: Catalog) -> None:
    """A deleted manifest is gone by every name, and says by which."""
    await push(catalog, "image", tags=(V2, V1))
    assert await catalog.do(delete()) == Deleted(IMAGE, IMAGE_TYPE, (V1, V2))
    assert await catalog.resolve(APP, IMAGE) is None
    assert await catalog.resolve(APP, V1) is None
    assert await catalog.tags(APP, "", 10) == []
    assert await catalog.manifest_content(APP, IMAGE) is None


async def test_deleting_what_is_not_there(catalog: Catalog) -> None:
    """It is absent."""
    assert await catalog.do(delete()) == Absent()
    await push(catalog, "image", repository=OTHER)
    assert await catalog.do(delete()) == Absent()


async def test_a_repeated_delete_gets_its_first_answer(catalog: Catalog) -> None:
    """Given again, a delete returns what it did, and leaves what was pushed in between."""
    await push(catalog, "image", tags=(V1,))
    command = delete()
    outcome = await catalog.do(command)
    await push(catalog, "image", tags=(V2,))
    assert await catalog.do(command) == outcome == Deleted(IMAGE, IMAGE_TYPE, (V1,))
    assert await catalog.resolve(APP, V2)


async def test_a_delete_is_decided_for_its_tags(catalog: Catalog) -> None:
    """If the tags are others than decided on, nothing is deleted and they are told."""
    await push(catalog, "image", tags=(V1, V2))
    for decided in ((), (V1,), (V1, V2, LATEST)):
        assert await catalog.do(delete(if_tags=decided)) == TagsDiffer((V1, V2))
    assert isinstance(await catalog.do(delete(if_tags=(V2, V1))), Deleted)


async def test_an_indexs_child_is_not_deleted(catalog: Catalog) -> None:
    """What an index of the repository lists stays until the index goes."""
    await push(catalog, "image")
    await push(catalog, "index", child("image"))
    await push(catalog, "another", child("image"))
    indexes = tuple(sorted((digest("index"), digest("another"))))
    assert await catalog.do(delete()) == Referenced(indexes)
    await catalog.do(delete("index"))
    await catalog.do(delete("another"))
    assert isinstance(await catalog.do(delete()), Deleted)


async def test_tags_are_looked_at_before_references(catalog: Catalog) -> None:
    """A decision on other tags is void, whatever else forbids it."""
    await push(catalog, "image", tags=(V1,))
    await push(catalog, "index", child("image"))
    assert await catalog.do(delete(if_tags=())) == TagsDiffer((V1,))


async def test_a_subject_may_be_deleted(catalog: Catalog) -> None:
    """Referrers do not hold their subject."""
    await push(catalog, "image")
    await catalog.do(msgspec.structs.replace(put("signature"), subject=IMAGE))
    assert isinstance(await catalog.do(delete()), Deleted)
    assert await catalog.referrers(APP, IMAGE, (), "", 10)


async def test_what_only_a_deleted_manifest_named_is_garbage(catalog: Catalog) -> None:
    """Edges go with their manifest; what another one names as well stays referenced."""
    await push_blob(catalog, "shared")
    await push_blob(catalog, "own")
    await push(catalog, "image", layer("shared"), layer("own"))
    await push(catalog, "second", layer("shared"), tags=(V2,))
    await catalog.do(delete())
    assert await stamp(catalog) == 1
    assert [row.digest for row in await catalog.unreferenced_blobs(APP, "", 10)] == [digest("own")]
    assert await doom(catalog, digest("shared")) is DoomOutcome.REFERENCED


async def test_content_of_a_deleted_manifest_is_garbage(catalog: Catalog) -> None:
    """A blob that was referenced by being the manifest itself is so no more, unless an index lists it."""
    await push_blob(catalog, "image")
    await push(catalog, "image")
    await catalog.do(delete())
    assert await stamp(catalog) == 1


async def test_a_deleted_manifest_may_come_again(catalog: Catalog) -> None:
    """It is as new as one that never was."""
    await push(catalog, "image", tags=(V1,))
    await catalog.do(delete())
    assert await catalog.do(put("image", tags=(V1,))) == Stored(created=True, changes=((V1, None),))


async def test_a_tag_points_to_a_manifest_again(catalog: Catalog) -> None:
    """A tag is restored to a manifest that is still here, and else not."""
    await push(catalog, "old", tags=(V1,))
    await push(catalog, "new", tags=(V1,))
    restore = RestoreTag(repository=APP, digest=digest("old"), move=TagMove(V1), by="bob")
    assert await catalog.do(restore) == Stored(created=False, changes=((V1, digest("new")),))
    row = await catalog.resolve(APP, V1)
    assert row is not None
    assert row.digest == digest("old")
    gone = RestoreTag(repository=APP, digest=digest("gone"), move=TagMove(V1))
    assert await catalog.do(gone) == Absent()


async def test_a_tag_moves_only_from_where_it_is_expected(catalog: Catalog) -> None:
    """Else nothing changes, in a restore; where it points there already, it stays there."""
    await push(catalog, "old", tags=(V1,))
    await push(catalog, "new", tags=(V1,))

    def restore(name: str, *, expected: str | None) -> RestoreTag:
        position = TagPosition(digest(expected) if expected else None)
        return RestoreTag(repository=APP, digest=digest(name), move=TagMove(V1, expected=position))

    elsewhere = TagRefused(V1, Refusal.ELSEWHERE)
    assert await catalog.do(restore("old", expected="old")) == elsewhere
    assert await catalog.do(restore("old", expected=None)) == elsewhere
    assert await catalog.do(restore("old", expected="new")) == Stored(created=False, changes=((V1, digest("new")),))
    assert await catalog.do(restore("old", expected="new")) == Stored(created=False, changes=())
    await catalog.do(DeleteTag(repository=APP, tag=V1))
    assert await catalog.do(restore("old", expected="old")) == elsewhere
    assert await catalog.do(restore("old", expected=None)) == Stored(created=False, changes=((V1, None),))


async def test_a_restore_counts_as_a_push(catalog: Catalog) -> None:
    """The manifest is as new as what is pushed at that time; so is an untagged one that a push tags again."""
    await push(catalog, "old", tags=(V1, V2))
    await push(catalog, "new", tags=(LATEST,))
    assert await _pushed_ns(catalog, "old") < await _pushed_ns(catalog, "new")
    await catalog.do(put("old", tags=(V1,)))
    assert await _pushed_ns(catalog, "old") < await _pushed_ns(catalog, "new")
    await catalog.do(DeleteTag(repository=APP, tag=V1))
    await catalog.do(RestoreTag(repository=APP, digest=digest("old"), move=TagMove(V1)))
    restored_ns = await _pushed_ns(catalog, "old")
    assert restored_ns > await _pushed_ns(catalog, "new")
    for tag in (V1, V2):
        await catalog.do(DeleteTag(repository=APP, tag=tag))
    await catalog.do(put("old", tags=(V1,)))
    assert await _pushed_ns(catalog, "old") > restored_ns


async def _pushed_ns(catalog: Catalog, name: str) -> int:
    row = await catalog.manifest(APP, digest(name))
    assert row is not None
    return row.pushed_ns


async def test_restoring_is_refused_like_any_move(catalog: Catalog) -> None:
    """An immutable tag is not moved back either; and repeated it does not undo what came between."""
    await push(catalog, "old", tags=(V1,))
    await push(catalog, "new", tags=(V1,))
    frozen = RestoreTag(repository=APP, digest=digest("old"), move=TagMove(V1, immutable=True))
    assert await catalog.do(frozen) == TagRefused(V1, Refusal.IMMUTABLE)
    restore = RestoreTag(repository=APP, digest=digest("old"), move=TagMove(V1))
    await catalog.do(restore)
    await push(catalog, "newest", tags=(V1,))
    await catalog.do(restore)
    row = await catalog.resolve(APP, V1)
    assert row is not None
    assert row.digest == digest("newest")


async def test_an_empty_repository_is_removed(catalog: Catalog) -> None:
    """It is gone from every list, with its finished uploads and its tag log; a second time there is nothing to do."""
    await push(catalog, "image", tags=(V1,))
    await catalog.do(delete())
    await catalog.do(CreateUploadRow(repository=APP, session="s"))
    await catalog.do(CancelUploadRow(repository=APP, session="s"))
    assert await catalog.do(RemoveRepository(repository=APP)) is True
    assert await catalog.repository(APP) is None
    assert await catalog.repositories("", 10) == []
    assert await catalog.tag_log(APP, None, None, 10) == []
    assert await catalog.do(RemoveRepository(repository=APP)) is True


async def test_a_repository_in_use_is_not_removed(catalog: Catalog) -> None:
    """A manifest, a blob, a doomed blob, a claim or an open upload holds it."""

    async def removed() -> bool:
        return await catalog.do(RemoveRepository(repository=APP))

    await push(catalog, "image")
    assert await removed() is False
    await catalog.do(delete())
    await push_blob(catalog, "blob")
    assert await removed() is False
    await doom(catalog, digest("blob"), "t")
    assert await removed() is False
    await catalog.do(ForgetBlob(repository=APP, digest=digest("blob"), token="t"))
    await catalog.do(ClaimBlob(repository=APP, digest=digest("blob"), token="t", owner=OWNER))
    assert await removed() is False
    await catalog.do(DropClaim(repository=APP, digest=digest("blob"), token="t"))
    await catalog.do(CreateUploadRow(repository=APP, session="s"))
    assert await removed() is False
    await catalog.do(CancelUploadRow(repository=APP, session="s"))
    assert await removed() is True


async def test_repositories_come_in_the_order_of_names(catalog: Catalog) -> None:
    """Pages of names follow each other without a gap."""
    for repository in (APP, OTHER):
        await push(catalog, "image", repository=repository)
    assert await catalog.repositories("", 10) == [OTHER, APP]
    assert await catalog.repositories("", 1) == [OTHER]
    assert await catalog.repositories(OTHER, 10) == [APP]
    assert await catalog.repositories(APP, 10) == []


async def test_deleting_a_tag_leaves_the_manifest(catalog: Catalog) -> None:
    """The tag is gone, the manifest is not."""
    await push(catalog, "image", tags=(V1, V2))
    assert await catalog.do(DeleteTag(repository=APP, tag=V1)) == Deleted(IMAGE, IMAGE_TYPE, (V1,))
    assert await catalog.resolve(APP, V1) is None
    assert await catalog.resolve(APP, V2) == await catalog.resolve(APP, IMAGE)
