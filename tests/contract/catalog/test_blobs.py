"""The laws of the catalog's commands on blobs, held by every driver."""

from __future__ import annotations

from functools import partial

import msgspec

from contract.catalog.examples import APP, OTHER, OWNER, V1, digest, doom, layer, push, push_blob, stamp
from zot.catalog.blob_commands import (
    ClaimBlob,
    ClaimOutcome,
    DoomBlob,
    DoomOutcome,
    DropClaim,
    ForgetBlob,
    MarkUnreferenced,
    PublishBlob,
    PublishOutcome,
    TouchBlob,
)
from zot.catalog.interface import PAGE_LIMIT, Catalog
from zot.catalog.layout_commands import ImportLayout, LayoutBlob
from zot.catalog.rows import BlobRow, PendingDelete
from zot.catalog.upload_commands import CreateUploadRow

BLOB = digest("blob")


def claim(token: str = "t") -> ClaimBlob:
    """Return a claim of BLOB."""
    return ClaimBlob(repository=APP, digest=BLOB, token=token, owner=OWNER)


def publish(token: str = "t", size: int = 4) -> PublishBlob:
    """Return the publication of BLOB."""
    return PublishBlob(repository=APP, digest=BLOB, token=token, size=size)


async def row(catalog: Catalog) -> BlobRow | None:
    """Return BLOB's row without the time at which it was placed."""
    found = await catalog.blob(APP, BLOB)
    return None if found is None else msgspec.structs.replace(found, placed_ns=0)


async def test_a_claim_creates_the_repository(catalog: Catalog) -> None:
    """A claim of an absent blob stands, and its repository exists from then on, not adopted."""
    assert await catalog.do(claim()) is ClaimOutcome.CLAIMED
    row = await catalog.repository(APP)
    assert row is not None
    assert not row.imported


async def test_a_claimed_blob_is_not_visible(catalog: Catalog) -> None:
    """Only what is present is seen."""
    await catalog.do(claim())
    assert await catalog.blob(APP, BLOB) is None
    assert await catalog.blobs(APP, "", 10) == []
    assert await catalog.repositories_with(BLOB, "", 10) == []


async def test_a_claim_given_twice_is_one_claim(catalog: Catalog) -> None:
    """A repeated claim is the same claim: taking it back once takes it back."""
    await catalog.do(claim())
    assert await catalog.do(claim()) is ClaimOutcome.CLAIMED
    await catalog.do(DropClaim(repository=APP, digest=BLOB, token="t"))
    assert await catalog.do(publish()) is PublishOutcome.CLAIM_LOST


async def test_claims_stand_beside_each_other(catalog: Catalog) -> None:
    """Two pushes of one blob each have their claim, and both find it present in the end."""
    assert await catalog.do(claim("one")) is ClaimOutcome.CLAIMED
    assert await catalog.do(claim("two")) is ClaimOutcome.CLAIMED
    assert await catalog.do(publish("one")) is PublishOutcome.PRESENT
    assert await catalog.do(publish("two")) is PublishOutcome.PRESENT


async def test_a_claim_of_a_present_blob_says_so(catalog: Catalog) -> None:
    """What is present needs no claim, and gets none: it can be doomed at once."""
    await push_blob(catalog, "blob")
    assert await catalog.do(claim("again")) is ClaimOutcome.PRESENT
    assert await doom(catalog, BLOB) is DoomOutcome.DOOMED


async def test_a_claim_of_a_present_blob_clears_its_stamp(catalog: Catalog) -> None:
    """Whoever relies on a stamped blob gets a whole delay."""
    await push_blob(catalog, "blob")
    await stamp(catalog)
    await catalog.do(claim("again"))
    assert [row.marked_s for row in await catalog.unreferenced_blobs(APP, "", 10)] == [None]


async def test_a_doomed_blob_refuses_claims(catalog: Catalog) -> None:
    """A push waits until the file of a doomed blob is unlinked."""
    await push_blob(catalog, "blob")
    await doom(catalog, BLOB)
    assert await catalog.do(claim("again")) is ClaimOutcome.DOOMED


async def test_a_published_blob_is_present(catalog: Catalog) -> None:
    """After publishing everybody sees the blob, its size and that nothing is known of its type."""
    await catalog.do(claim())
    assert await catalog.do(publish(size=4)) is PublishOutcome.PRESENT
    assert await row(catalog) == BlobRow(4, None, marked=False)


async def test_publishing_ends_the_claim(catalog: Catalog) -> None:
    """Once a blob is published nothing of its claim is left that would keep it from being doomed."""
    await push_blob(catalog, "blob")
    assert await doom(catalog, BLOB) is DoomOutcome.DOOMED


async def test_nothing_is_published_without_a_claim(catalog: Catalog) -> None:
    """Without a claim that stands, nothing becomes present."""
    assert await catalog.do(publish()) is PublishOutcome.CLAIM_LOST
    assert await catalog.blob(APP, BLOB) is None


async def test_another_token_is_no_claim(catalog: Catalog) -> None:
    """A claim is its token's."""
    await catalog.do(claim("mine"))
    assert await catalog.do(publish("yours")) is PublishOutcome.CLAIM_LOST
    assert await catalog.do(publish("mine")) is PublishOutcome.PRESENT


async def test_publishing_again_finds_it_present(catalog: Catalog) -> None:
    """A publication whose answer was lost is given again, and the blob is counted once."""
    await catalog.do(claim())
    await catalog.do(publish(size=4))
    assert await catalog.do(publish(size=4)) is PublishOutcome.PRESENT
    (usage,) = await catalog.usage("", 10)
    assert (usage.blobs, usage.bytes) == (1, 4)


async def test_publishing_what_is_present_clears_its_stamp(catalog: Catalog) -> None:
    """A push that comes second gets a whole delay, too."""
    await catalog.do(claim("second"))
    await catalog.do(claim("first"))
    await catalog.do(publish("first"))
    await catalog.do(DropClaim(repository=APP, digest=BLOB, token="second"))
    await stamp(catalog)
    assert await catalog.do(publish("second")) is PublishOutcome.PRESENT
    assert [row.marked_s for row in await catalog.unreferenced_blobs(APP, "", 10)] == [None]


async def test_a_dropped_claim_is_gone(catalog: Catalog) -> None:
    """What was taken back cannot be published; taking it back twice does no harm."""
    await catalog.do(claim())
    await catalog.do(DropClaim(repository=APP, digest=BLOB, token="t"))
    await catalog.do(DropClaim(repository=APP, digest=BLOB, token="t"))
    assert await catalog.do(publish()) is PublishOutcome.CLAIM_LOST


async def test_touching_clears_the_stamp(catalog: Catalog) -> None:
    """A touched blob is no candidate any more, and the collector is told that it was touched."""
    await push_blob(catalog, "blob")
    await stamp(catalog, 100)
    assert await catalog.do(TouchBlob(repository=APP, digest=BLOB)) is True
    assert await row(catalog) == BlobRow(4, None, marked=False)
    assert await doom(catalog, BLOB, marked_before_s=1e9) is DoomOutcome.CLAIMED


async def test_touching_tells_whether_it_is_present(catalog: Catalog) -> None:
    """What is absent, claimed or doomed cannot be touched."""
    touch = TouchBlob(repository=APP, digest=BLOB)
    assert await catalog.do(touch) is False
    await catalog.do(claim("other"))
    assert await catalog.do(touch) is False
    await catalog.do(publish("other"))
    await doom(catalog, BLOB)
    assert await catalog.do(touch) is False


async def test_a_doomed_blob_is_invisible(catalog: Catalog) -> None:
    """From the decision on nobody sees the blob, and its bytes do not count."""
    await push_blob(catalog, "blob")
    assert await doom(catalog, BLOB) is DoomOutcome.DOOMED
    assert await catalog.blob(APP, BLOB) is None
    assert await catalog.blobs(APP, "", 10) == []
    assert await catalog.repositories_with(BLOB, "", 10) == []
    (usage,) = await catalog.usage("", 10)
    assert (usage.blobs, usage.bytes) == (0, 0)


async def test_what_is_not_there_is_not_doomed(catalog: Catalog) -> None:
    """An absent blob is absent, claimed or not."""
    assert await doom(catalog, BLOB) is DoomOutcome.ABSENT
    await catalog.do(claim())
    assert await doom(catalog, BLOB) is DoomOutcome.ABSENT


async def test_dooming_again_is_told_by_its_token(catalog: Catalog) -> None:
    """The same decision may be given again; to anybody else the blob is gone."""
    await push_blob(catalog, "blob")
    await doom(catalog, BLOB, "mine")
    assert await doom(catalog, BLOB, "mine") is DoomOutcome.DOOMED
    assert await doom(catalog, BLOB, "yours") is DoomOutcome.ABSENT


async def test_a_referenced_blob_is_not_doomed(catalog: Catalog) -> None:
    """What a manifest names stays."""
    await push_blob(catalog, "blob")
    await push(catalog, "image", layer("blob"))
    assert await doom(catalog, BLOB) is DoomOutcome.REFERENCED


async def test_a_manifests_own_content_is_referenced(catalog: Catalog) -> None:
    """A blob that is the content of a manifest shares its file, and stays while the manifest does."""
    await push_blob(catalog, "image")
    await push(catalog, "image", tags=(V1,))
    assert await doom(catalog, digest("image")) is DoomOutcome.REFERENCED
    assert await stamp(catalog) == 0


async def test_content_pushed_after_its_manifest_is_referenced(catalog: Catalog) -> None:
    """The order in which a digest comes as a manifest and as a blob does not matter."""
    await push(catalog, "image")
    await push_blob(catalog, "image")
    assert await doom(catalog, digest("image")) is DoomOutcome.REFERENCED


async def test_a_claimed_blob_is_not_doomed(catalog: Catalog) -> None:
    """While a push is about to publish a blob, nobody removes it under its hands."""
    await catalog.do(claim("late"))
    await catalog.do(claim("early"))
    await catalog.do(publish("early"))
    assert await doom(catalog, BLOB) is DoomOutcome.CLAIMED
    await catalog.do(DropClaim(repository=APP, digest=BLOB, token="late"))
    assert await doom(catalog, BLOB) is DoomOutcome.DOOMED


async def test_a_collector_dooms_what_stayed_stamped(catalog: Catalog) -> None:
    """A stamp that is late or missing protects the blob; one that is old enough does not."""
    await push_blob(catalog, "blob")
    assert await doom(catalog, BLOB, marked_before_s=100) is DoomOutcome.CLAIMED
    await stamp(catalog, 100.5)
    assert await doom(catalog, BLOB, marked_before_s=100.4) is DoomOutcome.CLAIMED
    assert await doom(catalog, BLOB, marked_before_s=100.5) is DoomOutcome.DOOMED


async def test_a_damaged_blob_goes_although_it_is_named(catalog: Catalog) -> None:
    """It is missing for the manifests that name it, until it is pushed again: then it is referenced as before."""
    await push_blob(catalog, "blob")
    await push(catalog, "image", layer("blob"), tags=(V1,))
    command = DoomBlob(repository=APP, digest=BLOB, token="scrub", damaged=True, owner=OWNER)
    assert await catalog.do(command) is DoomOutcome.DOOMED
    assert await catalog.blob(APP, BLOB) is None
    assert await catalog.doomed(10) == [PendingDelete(APP, BLOB, "scrub", OWNER)]
    await catalog.do(ForgetBlob(repository=APP, digest=BLOB, token="scrub"))
    assert await catalog.resolve(APP, V1)
    await push_blob(catalog, "blob")
    assert await catalog.unreferenced_blobs(APP, "", 10) == []
    assert await doom(catalog, BLOB) is DoomOutcome.REFERENCED


async def test_a_blob_pushed_since_is_not_doomed_by_an_older_observation(catalog: Catalog) -> None:
    """What was seen of one placing of a digest concerns no later one, which has a later time."""
    await push_blob(catalog, "blob")
    seen = await catalog.blob(APP, BLOB)
    assert seen is not None
    damaged = partial(DoomBlob, repository=APP, digest=BLOB, damaged=True, placed_ns=seen.placed_ns, owner=OWNER)
    assert await catalog.do(damaged(token="first")) is DoomOutcome.DOOMED
    await catalog.do(ForgetBlob(repository=APP, digest=BLOB, token="first"))
    await push_blob(catalog, "blob")
    healed = await catalog.blob(APP, BLOB)
    assert healed is not None
    assert healed.placed_ns > seen.placed_ns
    assert await catalog.do(damaged(token="late")) is DoomOutcome.CLAIMED
    assert await catalog.blob(APP, BLOB) == healed


async def test_publishing_what_is_present_is_no_new_placing(catalog: Catalog) -> None:
    """A push that found the blob present changes nothing of it, nor does taking in its layout again."""
    await push_blob(catalog, "blob")
    before = await catalog.blob(APP, BLOB)
    assert await catalog.do(claim()) is ClaimOutcome.PRESENT
    assert await catalog.do(publish()) is PublishOutcome.PRESENT
    await catalog.do(ImportLayout(repository=APP, blobs=(LayoutBlob(BLOB, 4),)))
    assert await catalog.blob(APP, BLOB) == before


async def test_a_forgotten_blob_may_come_again(catalog: Catalog) -> None:
    """Once its file is unlinked and its row removed, the blob is as absent as one that never was."""
    await push_blob(catalog, "blob")
    await doom(catalog, BLOB, "mine")
    await catalog.do(ForgetBlob(repository=APP, digest=BLOB, token="mine"))
    assert await catalog.doomed(10) == []
    assert await push_blob(catalog, "blob") == BLOB


async def test_forgetting_needs_the_token(catalog: Catalog) -> None:
    """Neither a present blob nor one doomed by another is forgotten."""
    await push_blob(catalog, "blob")
    await catalog.do(ForgetBlob(repository=APP, digest=BLOB, token="mine"))
    assert await catalog.blob(APP, BLOB)
    await doom(catalog, BLOB, "mine")
    await catalog.do(ForgetBlob(repository=APP, digest=BLOB, token="yours"))
    assert await catalog.doomed(10) == [PendingDelete(APP, BLOB, "mine", OWNER)]


async def test_a_sweep_stamps_what_is_unreferenced(catalog: Catalog) -> None:
    """Only present, unreferenced, unclaimed blobs without a stamp get one, each once."""
    for name in ("named", "loose", "claimed", "doomed"):
        await push_blob(catalog, name)
    await push(catalog, "image", layer("named"), tags=(V1,))
    await catalog.do(ImportLayout(repository=APP, blobs=(LayoutBlob(digest("found"), 5),)))
    await catalog.do(ClaimBlob(repository=APP, digest=digest("later"), token="t", owner=OWNER))
    await catalog.do(ImportLayout(repository=APP, blobs=(LayoutBlob(digest("later"), 5),)))
    await doom(catalog, digest("doomed"))
    assert await stamp(catalog, 100) == 3
    assert await stamp(catalog, 200) == 0
    assert {(row.digest, row.marked_s) for row in await catalog.unreferenced_blobs(APP, "", 10)} == {
        (digest("loose"), 100),
        (digest("claimed"), 100),
        (digest("found"), 100),
        (digest("later"), None),
    }


async def test_a_sweep_stamps_no_more_than_asked(catalog: Catalog) -> None:
    """A sweep goes on where it stopped until fewer than the limit are stamped."""
    for name in ("a", "b", "c"):
        await push_blob(catalog, name)
    sweep = MarkUnreferenced(repository=APP, now_s=1, limit=2)
    assert await catalog.do(sweep) == 2
    assert await catalog.do(sweep) == 1
    assert await catalog.do(MarkUnreferenced(repository=APP, now_s=1, limit=-1)) == 0


async def test_a_sweep_concerns_its_repository(catalog: Catalog) -> None:
    """A sweep of one repository stamps nothing in another."""
    await push_blob(catalog, "blob", OTHER)
    assert await stamp(catalog, repository=APP) == 0


async def test_loose_blobs_come_in_the_order_of_digests(catalog: Catalog) -> None:
    """What nothing references is listed with its stamp, page by page, and nothing else is."""
    for at_s, name in ((3, "c"), (1, "a")):
        await push_blob(catalog, name)
        await stamp(catalog, at_s)
    for name in ("b", "named"):
        await push_blob(catalog, name)
    await push(catalog, "image", layer("named"))
    expected = sorted([(digest("a"), 1), (digest("b"), None), (digest("c"), 3)])
    first = await catalog.unreferenced_blobs(APP, "", 2)
    assert [
        (row.digest, row.marked_s) for row in [*first, *await catalog.unreferenced_blobs(APP, first[1].digest, 2)]
    ] == (expected)
    assert await catalog.unreferenced_blobs(OTHER, "", 10) == []


async def test_a_page_has_no_more_than_the_limit(catalog: Catalog) -> None:
    """Whatever is asked for, a page has at most PAGE_LIMIT rows, and none for a negative number."""
    blobs = tuple(LayoutBlob(digest(str(number)), 1) for number in range(PAGE_LIMIT + 1))
    await catalog.do(ImportLayout(repository=APP, blobs=blobs))
    assert len(await catalog.blobs(APP, "", 10 * PAGE_LIMIT)) == PAGE_LIMIT
    assert await catalog.blobs(APP, "", -1) == []


async def test_blobs_come_in_the_order_of_digests(catalog: Catalog) -> None:
    """Pages of blobs follow each other without a gap."""
    for name in ("a", "b", "c"):
        await push_blob(catalog, name)
    expected = sorted((digest(name), 1) for name in ("a", "b", "c"))
    first = await catalog.blobs(APP, "", 2)
    assert [*first, *await catalog.blobs(APP, first[-1][0], 2)] == expected


async def test_holders_are_the_repositories_that_have_it(catalog: Catalog) -> None:
    """A blob's holders come in the order of names, page by page."""
    for repository in (OTHER, APP):
        await push_blob(catalog, "blob", repository)
    assert await catalog.repositories_with(BLOB, "", 10) == [OTHER, APP]
    assert await catalog.repositories_with(BLOB, OTHER, 10) == [APP]
    assert await catalog.repositories_with(BLOB, "", 1) == [OTHER]


async def test_a_blobs_type_is_what_its_oldest_manifest_says(catalog: Catalog) -> None:
    """A blob has the type that a manifest gives it, until no manifest does."""
    await push_blob(catalog, "blob")
    await push(catalog, "image", layer("blob"))
    row = await catalog.blob(APP, BLOB)
    assert row is not None
    assert row.media_type == layer("blob").media_type


async def test_publishing_finishes_the_upload(catalog: Catalog) -> None:
    """The session is finished in the same commit, and tells as which digest."""
    await catalog.do(CreateUploadRow(repository=APP, session="s"))
    await catalog.do(claim())
    await catalog.do(PublishBlob(repository=APP, digest=BLOB, token="t", size=4, session="s"))
    row = await catalog.upload("s")
    assert row is not None
    assert row.finished == BLOB


async def test_publishing_elsewhere_leaves_the_upload(catalog: Catalog) -> None:
    """A session of another repository is not finished, and one that is gone is not missed."""
    await catalog.do(CreateUploadRow(repository=OTHER, session="s"))
    await catalog.do(claim())
    for session in ("s", "gone"):
        command = PublishBlob(repository=APP, digest=BLOB, token="t", size=4, session=session)
        assert await catalog.do(command) is PublishOutcome.PRESENT
    row = await catalog.upload("s")
    assert row is not None
    assert row.finished is None
