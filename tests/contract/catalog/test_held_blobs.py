"""The laws of blobs whose bytes the catalog holds until their files are in the layout, held by every driver."""

from __future__ import annotations

import msgspec
import pytest

from contract.catalog.examples import (
    APP,
    LAYER_TYPE,
    OTHER,
    OWNER,
    V1,
    digest,
    doom,
    layer,
    push,
    push_blob,
    put,
    stamp,
)
from zot.catalog.blob_commands import (
    DoomBlob,
    DoomOutcome,
    ForgetBlob,
    PlacedBlob,
    PutBlob,
    PutOutcome,
    ReleaseBlobs,
)
from zot.catalog.command import new_id
from zot.catalog.interface import Catalog
from zot.catalog.layout_commands import FinishExport, ImportLayout, LayoutBlob
from zot.catalog.quotas import OverQuota, RepositoryQuota
from zot.catalog.rows import BlobRow
from zot.catalog.upload_commands import AdvanceUpload, CreateUploadRow, LeaseUpload
from zot.oci.names import Repository

BLOB = digest("blob")


def hold(repository: Repository = APP, content: bytes = b"blob", **more: object) -> PutBlob:
    """Return the push of BLOB with its bytes."""
    return msgspec.structs.replace(PutBlob(repository=repository, digest=BLOB, content=content), id=new_id(), **more)


async def placed_ns(catalog: Catalog) -> int:
    """Return the version of BLOB, which has to be present."""
    found = await catalog.blob(APP, BLOB)
    assert found is not None
    return found.placed_ns


async def release(catalog: Catalog, at_ns: int) -> None:
    """Release BLOB in the version of that time."""
    await catalog.do(ReleaseBlobs(repository=APP, placed=(PlacedBlob(BLOB, at_ns),)))


async def revision(catalog: Catalog) -> int:
    """Return what the layout has to show."""
    row = await catalog.repository(APP)
    assert row is not None
    return row.revision


async def test_a_held_blob_is_present_with_its_bytes(catalog: Catalog) -> None:
    """It is a blob like any other, and its bytes are read from the catalog."""
    assert await catalog.do(hold()) is PutOutcome.STORED
    row = await catalog.blob(APP, BLOB)
    assert row is not None
    assert msgspec.structs.replace(row, placed_ns=0) == BlobRow(4, None, marked=False, held=True)
    assert await catalog.held_content(APP, BLOB) == b"blob"
    assert await catalog.held_blobs(APP, "", 10) == [(BLOB, row.placed_ns)]
    assert await catalog.blobs(APP, "", 10) == [(BLOB, 4)]
    assert await catalog.repositories_with(BLOB, "", 10) == [APP]
    (usage,) = await catalog.usage("", 10)
    assert (usage.blobs, usage.bytes) == (1, 4)


async def test_empty_bytes_are_held(catalog: Catalog) -> None:
    """No bytes are bytes, too."""
    empty = digest("")
    await catalog.do(PutBlob(repository=APP, digest=empty, content=b""))
    assert await catalog.held_content(APP, empty) == b""
    assert [each for each, _ in await catalog.held_blobs(APP, "", 10)] == [empty]


async def test_a_held_blob_makes_an_export_due(catalog: Catalog) -> None:
    """Without a manifest, too: the layout lacks its file. A repetition makes none due."""
    await catalog.do(ImportLayout(repository=APP, complete=True))
    await catalog.do(hold())
    assert await catalog.exports_due(10) == [APP]
    before = await revision(catalog)
    await catalog.do(FinishExport(repository=APP, revision=before, digest="", signature=""))
    assert await catalog.exports_due(10) == []
    assert await catalog.do(hold()) is PutOutcome.PRESENT
    assert await revision(catalog) == before
    assert await catalog.exports_due(10) == []


async def test_a_manifest_may_name_a_held_blob(catalog: Catalog) -> None:
    """What is held is present, and named content is not doomed."""
    await catalog.do(hold())
    await push(catalog, "image", layer("blob"), tags=(V1,))
    row = await catalog.blob(APP, BLOB)
    assert row is not None
    assert row.media_type == LAYER_TYPE
    assert await doom(catalog, BLOB) is DoomOutcome.REFERENCED


async def test_a_released_blob_is_a_file(catalog: Catalog) -> None:
    """Its bytes leave the catalog, and all else stays; releasing again changes nothing."""
    await catalog.do(hold())
    at_ns, before = await placed_ns(catalog), await revision(catalog)
    for _ in range(2):
        await release(catalog, at_ns)
        assert await catalog.held_content(APP, BLOB) is None
        assert await catalog.held_blobs(APP, "", 10) == []
        row = await catalog.blob(APP, BLOB)
        assert row is not None
        assert not row.held
    assert await catalog.blobs(APP, "", 10) == [(BLOB, 4)]
    assert await revision(catalog) == before


async def test_another_version_is_held_further(catalog: Catalog) -> None:
    """The file of a blob that was deleted and pushed again may be gone: its bytes stay."""
    await catalog.do(hold())
    first_ns = await placed_ns(catalog)
    await doom(catalog, BLOB)
    await catalog.do(ForgetBlob(repository=APP, digest=BLOB, token="doom"))
    await catalog.do(hold())
    await release(catalog, first_ns)
    assert await catalog.held_content(APP, BLOB) == b"blob"


async def test_dooming_drops_the_bytes(catalog: Catalog) -> None:
    """What is doomed is not read any more, and a late release finds nothing."""
    await catalog.do(hold())
    at_ns = await placed_ns(catalog)
    assert await doom(catalog, BLOB) is DoomOutcome.DOOMED
    assert await catalog.held_content(APP, BLOB) is None
    assert await catalog.held_blobs(APP, "", 10) == []
    await release(catalog, at_ns)
    assert await catalog.do(hold()) is PutOutcome.DOOMED
    assert await catalog.blob(APP, BLOB) is None


async def test_a_damaged_one_is_doomed_although_it_is_named(catalog: Catalog) -> None:
    """By its version, as any blob; the next push holds it again."""
    await catalog.do(hold(content=b"wrong"))
    await push(catalog, "image", layer("blob"))
    damaged = DoomBlob(
        repository=APP, digest=BLOB, token="t", owner=OWNER, damaged=True, placed_ns=await placed_ns(catalog)
    )
    assert await catalog.do(damaged) is DoomOutcome.DOOMED
    await catalog.do(ForgetBlob(repository=APP, digest=BLOB, token="t"))
    assert await catalog.do(hold()) is PutOutcome.STORED
    assert await doom(catalog, BLOB) is DoomOutcome.REFERENCED


async def test_a_push_replaces_held_bytes_that_are_wrong(catalog: Catalog) -> None:
    """The verified bytes of a push take the place of damaged ones, and an export is due for them."""
    await catalog.do(hold(content=b"bolb"))
    before = await revision(catalog)
    assert await catalog.do(hold()) is PutOutcome.PRESENT
    assert await catalog.held_content(APP, BLOB) == b"blob"
    assert await revision(catalog) == before + 1


async def test_a_blob_with_a_file_stays_one(catalog: Catalog) -> None:
    """The bytes of a push of it are not held, and it loses its mark."""
    await push_blob(catalog, "blob")
    await stamp(catalog)
    assert await catalog.do(hold()) is PutOutcome.PRESENT
    assert await catalog.held_content(APP, BLOB) is None
    assert [row.marked_s for row in await catalog.unreferenced_blobs(APP, "", 10)] == [None]


async def test_a_file_of_the_layout_leaves_it_held(catalog: Catalog) -> None:
    """An import of the digest changes nothing of a held blob."""
    await catalog.do(hold())
    await catalog.do(ImportLayout(repository=APP, blobs=(LayoutBlob(BLOB, 4),)))
    assert await catalog.held_content(APP, BLOB) == b"blob"


async def test_repositories_hold_their_own_bytes(catalog: Catalog) -> None:
    """What one repository releases, another one still holds."""
    await catalog.do(hold())
    await catalog.do(hold(OTHER))
    await release(catalog, await placed_ns(catalog))
    assert await catalog.held_content(APP, BLOB) is None
    assert await catalog.held_content(OTHER, BLOB) == b"blob"


async def test_held_blobs_come_in_pages(catalog: Catalog) -> None:
    """In the order of digests, after a digest and up to a limit."""
    names = sorted(("a", "b", "c"), key=digest)
    for name in names:
        await catalog.do(PutBlob(repository=APP, digest=digest(name), content=name.encode()))
    first = await catalog.held_blobs(APP, "", 2)
    rest = await catalog.held_blobs(APP, first[-1][0], 2)
    assert [each for each, _ in (*first, *rest)] == [digest(name) for name in names]


async def test_it_finishes_the_upload_in_the_same_step(catalog: Catalog) -> None:
    """The session keeps its row for a repeated finish, which finds the blob present."""
    await catalog.do(CreateUploadRow(repository=APP, session="s", principal="alice"))
    assert await catalog.do(hold(session="s")) is PutOutcome.STORED
    upload = await catalog.upload("s")
    assert upload is not None
    assert upload.finished == BLOB
    assert await catalog.do(hold(session="s")) is PutOutcome.PRESENT


async def test_it_finishes_the_upload_of_a_blob_with_a_file(catalog: Catalog) -> None:
    """Also if there is nothing to store."""
    await push_blob(catalog, "blob")
    await catalog.do(CreateUploadRow(repository=APP, session="s"))
    assert await catalog.do(hold(session="s")) is PutOutcome.PRESENT
    upload = await catalog.upload("s")
    assert upload is not None
    assert upload.finished == BLOB


@pytest.mark.parametrize("why", ["no session", "another repository", "a newer request", "another blob"])
async def test_nothing_is_stored_without_its_upload(catalog: Catalog, why: str) -> None:
    """An upload that the request does not have any more stores nothing."""
    if why != "no session":
        repository = OTHER if why == "another repository" else APP
        await catalog.do(CreateUploadRow(repository=repository, session="s", principal="alice"))
    if why == "a newer request":
        await catalog.do(LeaseUpload(repository=APP, session="s", principal="alice", owner=OWNER))
    if why == "another blob":
        other = PutBlob(repository=APP, digest=digest("other"), content=b"other", session="s")
        assert await catalog.do(other) is PutOutcome.STORED
    assert await catalog.do(hold(session="s")) is PutOutcome.UPLOAD_LOST
    assert await catalog.blob(APP, BLOB) is None
    assert await catalog.held_content(APP, BLOB) is None


async def test_a_finished_upload_takes_nothing_more(catalog: Catalog) -> None:
    """A request that still appends is fenced by the commit."""
    await catalog.do(CreateUploadRow(repository=APP, session="s"))
    await catalog.do(hold(session="s"))
    advance = AdvanceUpload(repository=APP, session="s", epoch=0, offset=1, owner=OWNER)
    assert not await catalog.do(advance)


async def test_a_quota_is_a_condition(catalog: Catalog) -> None:
    """What does not fit is not stored, its upload stays open, and what is present needs no space."""
    await catalog.do(CreateUploadRow(repository=APP, session="s"))
    refused = await catalog.do(hold(session="s", quotas=(RepositoryQuota(3),)))
    assert isinstance(refused, OverQuota)
    upload = await catalog.upload("s")
    assert upload is not None
    assert upload.finished is None
    assert await catalog.blob(APP, BLOB) is None
    assert await catalog.do(hold(quotas=(RepositoryQuota(4),))) is PutOutcome.STORED
    assert await catalog.do(hold(quotas=(RepositoryQuota(0),))) is PutOutcome.PRESENT


async def test_a_manifest_counts_once_as_a_held_blob(catalog: Catalog) -> None:
    """Content that is both takes its bytes once."""
    await catalog.do(put("blob"))
    assert await catalog.do(hold(quotas=(RepositoryQuota(4),))) is PutOutcome.STORED
    (usage,) = await catalog.usage("", 10)
    assert (usage.blobs, usage.bytes) == (1, 4)
