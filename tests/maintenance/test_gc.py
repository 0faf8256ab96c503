"""Collection deletes unreferenced content after a whole delay, and nothing else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from maintenance.harness import APP, DELAY_S, OTHER, Site, drain
from storage.pushing import begin
from zot.catalog.blob_commands import ClaimBlob, DoomBlob, DoomOutcome, TouchBlob
from zot.catalog.layout_commands import ImportLayout
from zot.catalog.manifest_commands import DeleteTag, RemoveManifest, TouchManifest
from zot.catalog.owner_commands import EndOwner, RenewOwner
from zot.catalog.upload_commands import CreateUploadRow, LeaseUpload
from zot.maintenance.gc import CollectedLayouts
from zot.maintenance.orphan_files import OrphanFiles
from zot.maintenance.stores import MaintainedStores
from zot.maintenance.sweep_stats import Pauses
from zot.maintenance.unfinished_deletes import UnfinishedDeletes
from zot.oci.digest import Digest, digest_of
from zot.oci.names import Repository, Tag
from zot.statistics.interface import Statistic
from zot.storage.interface import Progress, UploadKey

HALF_S = DELAY_S / 2


async def present(site: Site, digest: Digest, repository: Repository = APP) -> bool:
    """Tell whether a blob can be pulled: its row and its file are there, or neither."""
    row = await site.catalog.blob(repository, digest)
    size = await site.storage.stat(repository, digest)
    assert (row is None) == (size is None)
    return row is not None


async def test_an_unreferenced_blob_is_deleted_after_the_delay(site: Site) -> None:
    """A blob that no manifest names is removed, row and file, a delay after a sweep found it and not before."""
    blob = await site.blob(b"loose")
    await site.sweep()
    site.monotonic.now_s += DELAY_S - 1
    await site.sweep()
    assert await present(site, blob)
    site.monotonic.now_s += 1
    assert "1 blobs (5 B)" in await site.sweep()
    assert not await present(site, blob)


async def test_what_is_named_stays(site: Site) -> None:
    """A tagged image keeps its blobs, an index its images, and an image its signature at all times."""
    image = await site.image("v1")
    await site.image(name="signature", subject=image)
    await site.index(await site.image(name="child"), tags=("multi",))
    before = await site.everything()
    await site.sweep_until_done()
    assert await site.everything() == before


async def test_a_client_that_reads_has_the_whole_delay(site: Site) -> None:
    """A blob that was seen between two sweeps is as fresh as one that was just pushed."""
    blob = await site.blob(b"seen")
    await site.sweep()
    site.monotonic.now_s += DELAY_S
    assert await site.catalog.do(TouchBlob(repository=APP, digest=blob))
    await site.sweep()
    site.monotonic.now_s += HALF_S
    await site.sweep()
    assert await present(site, blob)


async def test_the_wall_clock_ages_nothing(site: Site) -> None:
    """A clock that jumps a year ahead, or back, collects nothing early."""
    blob = await site.blob(b"young")
    image = await site.image(name="untagged")
    await site.catalog.do(CreateUploadRow(repository=APP, session="s"))
    await begin(site.storage, UploadKey(APP, "s"))
    for jump_s in (365 * 86400, -700 * 86400):
        await site.sweep()
        site.wall.now_s += jump_s
        await site.sweep()
    assert await present(site, blob)
    assert await site.catalog.resolve(APP, image)
    assert await site.catalog.upload("s")


async def test_the_clock_continues_from_the_latest_mark(site: Site) -> None:
    """A collector that lost its record measures the delay from the marks that it finds."""
    blob = await site.blob(b"loose")
    site.monotonic.now_s += 1e6
    await site.sweep()
    site.clock.__init__(0.0, site.monotonic)  # type: ignore[misc]
    await site.sweep()
    assert await present(site, blob)
    site.monotonic.now_s += DELAY_S
    await site.sweep()
    assert not await present(site, blob)


async def test_an_untagged_image_is_deleted_with_its_blobs(site: Site) -> None:
    """A manifest that lost its tag is deleted after the delay of retention, and then the blobs that only it named."""
    await site.image("v1", "latest", name="old")
    await site.image("v1", "latest", name="new")
    await site.sweep_until_done()
    assert await site.tags() == ["latest", "v1"]
    assert len(await site.catalog.manifests(APP, "", 10)) == 1
    assert len(await site.catalog.blobs(APP, "", 10)) == 2


async def test_an_untagged_image_can_be_brought_back_until_then(site: Site) -> None:
    """The delay of retention begins when the tag was removed, however old the image is."""
    site.configure(gcDelay="1s", retention={"delay": "1h"})
    image = await site.image("v1")
    site.monotonic.now_s += 100 * DELAY_S
    await site.catalog.do(DeleteTag(repository=APP, tag=Tag("v1")))
    await site.sweep()
    site.monotonic.now_s += DELAY_S - 1
    await site.sweep()
    assert await site.catalog.resolve(APP, image)
    site.monotonic.now_s += 1
    await site.sweep()
    assert await site.catalog.resolve(APP, image) is None


async def test_an_image_that_was_read_stays_for_the_index(site: Site) -> None:
    """A client that found a child there, and is about to push the index, does not lose it."""
    image = await site.image()
    await site.sweep()
    site.monotonic.now_s += DELAY_S
    assert await site.catalog.do(TouchManifest(repository=APP, digest=image))
    await site.sweep()
    await site.index(image, tags=("multi",))
    await site.sweep_until_done()
    assert await site.catalog.resolve(APP, image)


async def test_an_index_is_deleted_before_its_children(site: Site) -> None:
    """Children that a deleted index listed go, too, unless another index lists them."""
    shared, alone = await site.image(name="shared"), await site.image(name="alone")
    gone = await site.index(shared, alone, tags=("gone",))
    await site.index(shared, tags=("stays",))
    await site.catalog.do(RemoveManifest(repository=APP, digest=gone))
    await site.sweep_until_done()
    assert await site.catalog.resolve(APP, shared)
    assert await site.catalog.resolve(APP, alone) is None


@pytest.mark.parametrize("delete", [True, False])
async def test_referrers_are_deleted_with_their_subject_if_configured(site: Site, delete: bool) -> None:
    """`deleteReferrers` deletes the referrers of a deleted image; without it they stay."""
    site.configure(retention={"policies": [{"repositories": ["**"], "deleteReferrers": delete}]})
    image = await site.image("v1")
    signature = await site.image(name="signature", subject=image)
    of_signature = await site.image(name="signature of the signature", subject=signature)
    await site.catalog.do(RemoveManifest(repository=APP, digest=image))
    await site.sweep_until_done()
    for each in (signature, of_signature):
        assert (await site.catalog.resolve(APP, each) is None) == delete


async def test_cosigns_tags_are_deleted_with_their_image_if_configured(site: Site) -> None:
    """A tag `sha256-<hex>.sig` is deleted after its image, and stays while the image exists."""
    site.configure(retention={"policies": [{"repositories": ["**"], "deleteReferrers": True}]})
    stays, goes = await site.image("stays", name="stays"), await site.image("goes", name="goes")
    for image in (stays, goes):
        await site.image(f"{image.replace(':', '-')}.sig", name=f"signature of {image}")
    await site.catalog.do(RemoveManifest(repository=APP, digest=goes))
    await site.sweep()
    assert f"{goes.replace(':', '-')}.sig" in await site.tags()
    site.wall.now_s += DELAY_S + 1
    await site.sweep()
    assert await site.tags() == [f"{stays.replace(':', '-')}.sig", "stays"]


async def test_policies_that_do_not_match_delete_nothing(site: Site) -> None:
    """If all policies are for other repositories, an untagged image stays."""
    site.configure(retention={"policies": [{"repositories": ["infra/**"]}]})
    image = await site.image()
    await site.sweep_until_done()
    assert await site.catalog.resolve(APP, image)


async def test_untagged_images_stay_if_configured(site: Site) -> None:
    """`deleteUntagged: false` keeps them."""
    site.configure(retention={"policies": [{"repositories": ["**"], "deleteUntagged": False}]})
    image = await site.image()
    await site.sweep_until_done()
    assert await site.catalog.resolve(APP, image)


async def test_no_delay_means_at_once(site: Site) -> None:
    """With delays of nothing one sweep removes an untagged index, its children, and their blobs."""
    site.configure(gcDelay="0s", retention={"delay": "0s"})
    await site.index(await site.image(name="a"), await site.image(name="b"))
    await site.sweep()
    assert await site.everything() == []


async def test_an_empty_repository_is_removed(site: Site) -> None:
    """A repository that has nothing left is removed; one with an open upload stays."""
    await site.catalog.do(ImportLayout(repository=APP, complete=True))
    await site.catalog.do(ImportLayout(repository=OTHER, complete=True))
    await site.catalog.do(CreateUploadRow(repository=OTHER, session="s"))
    await site.sweep()
    assert await site.catalog.repositories("", 10) == [OTHER]


async def test_a_repository_that_is_not_imported_is_left_alone(site: Site) -> None:
    """Of a layout that the catalog does not know in full nothing is known to be garbage."""
    blob = digest_of(b"blob")
    await site.catalog.do(ClaimBlob(repository=APP, digest=blob, token="t", owner=site.catalog.owner))
    await site.sweep_until_done()
    row = await site.catalog.repository(APP)
    assert row is not None


async def test_a_stale_upload_is_removed(site: Site) -> None:
    """A session without a change for a delay is removed with its bytes; after a change it has another delay."""
    for session in ("still", "moves"):
        await site.catalog.do(CreateUploadRow(repository=APP, session=session))
        await begin(site.storage, UploadKey(APP, session))
    site.wall.now_s += DELAY_S
    await site.sweep()
    await site.catalog.do(LeaseUpload(repository=APP, session="moves", principal="", owner=site.catalog.owner))
    site.wall.now_s += DELAY_S
    site.monotonic.now_s += DELAY_S
    assert "1 uploads" in await site.sweep()
    assert await site.catalog.upload("still") is None
    assert await site.catalog.upload("moves")
    assert [session for session, _ in await site.storage.staged(APP)] == ["moves"]


async def test_an_upload_that_receives_bytes_stays(site: Site) -> None:
    """A session is not stale while a request holds it, however long and slow; after that it has a whole delay."""
    key = UploadKey(APP, "slow")
    await site.catalog.do(CreateUploadRow(repository=APP, session="slow"))
    await begin(site.storage, key)
    stalling, go_on = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        stalling.set()
        await go_on.wait()

    async def ignore(_: Progress) -> None:
        pass

    appending = asyncio.create_task(site.storage.append(key, Progress(0), body(), ignore))
    await stalling.wait()
    for _ in range(4):
        site.wall.now_s += 2 * DELAY_S
        site.monotonic.now_s += 2 * DELAY_S
        assert "0 uploads" in await site.sweep()
    go_on.set()
    await appending
    assert "0 uploads" in await site.sweep()
    assert await site.catalog.upload("slow")
    for _ in range(2):
        site.wall.now_s += 2 * DELAY_S
        site.monotonic.now_s += 2 * DELAY_S
        await site.sweep()
    assert await site.catalog.upload("slow") is None


async def test_finished_uploads_are_forgotten(site: Site) -> None:
    """A finished session answers a repeated finish for ten minutes."""
    await site.catalog.do(CreateUploadRow(repository=APP, session="s"))
    upload = await site.catalog.upload("s")
    assert upload is not None
    site.catalog._state.uploads["s"] = type(upload)(  # type: ignore[attr-defined]
        **{name: getattr(upload, name) for name in upload.__struct_fields__ if name != "finished"},
        finished=digest_of(b""),
    )
    site.wall.now_s += 599
    await site.sweep()
    assert await site.catalog.upload("s")
    site.wall.now_s += 1
    await site.sweep()
    assert await site.catalog.upload("s") is None


async def test_sub_paths_have_rules_of_their_own(site: Site) -> None:
    """Each store is swept by its own task with its own delay, and only its repositories are."""
    site.configure(subPaths={"/team": {"rootDirectory": "/elsewhere", "gc": True, "gcDelay": "1s"}})
    here, there = await site.blob(b"main", OTHER), await site.blob(b"sub")
    for _ in range(2):
        await site.sweep("/team")
        site.monotonic.now_s += 2
    assert not await present(site, there)
    (row,) = await site.catalog.unreferenced_blobs(OTHER, "", 10)
    assert (row.digest, row.marked_s) == (here, None)


async def test_a_dry_run_changes_nothing(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """`dryRun` logs what would be deleted, and neither deletes nor marks anything."""
    caplog.set_level(logging.INFO)
    site.configure(
        gcDelay="0s",
        retention={
            "dryRun": True,
            "delay": "0s",
            "policies": [{"repositories": ["**"], "keepTags": [{"patterns": ["^v"]}]}],
        },
    )
    untagged, tagged = await site.image(name="untagged"), await site.image("tmp", name="tagged")
    await site.statistics.add({(APP, tagged): Statistic(tagged, pushed_s=1.0)})
    await site.blob(b"loose")
    before = await site.everything()
    await site.sweep()
    assert await site.everything() == before
    assert all(row.marked_s is None for row in await site.catalog.unreferenced_blobs(APP, "", 10))
    said = {record.message: record.fields for record in caplog.records if hasattr(record, "fields")}
    assert said["removed untagged manifest"]["reference"] == untagged
    assert said["applied policy"]["tag"] == "tmp"
    assert said["applied policy"]["dry-run"] is True


async def test_zots_words_are_in_the_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Operators' tests and dashboards look for these lines."""
    caplog.set_level(logging.INFO)
    await site.blob(b"loose")
    await site.sweep()
    site.monotonic.now_s += DELAY_S
    await site.sweep()
    messages = [record.getMessage() for record in caplog.records]
    assert "executing gc of orphaned blobs for team/app" in messages
    assert "garbage collected blobs" in messages
    assert "gc successfully completed for team/app" in messages


async def test_a_broken_off_removal_of_an_earlier_start_is_finished(site: Site) -> None:
    """After a crash between the decision and its end, the blob can be pushed again."""
    blob = await site.blob(b"blob")
    await site.catalog.do(RenewOwner(owner="before"))
    assert await site.catalog.do(DoomBlob(repository=APP, digest=blob, token="t", owner="before")) is DoomOutcome.DOOMED
    await site.catalog.do(EndOwner(owner="before"))
    await drain(UnfinishedDeletes(site.registry, site.monotonic).finish(print))
    assert not await present(site, blob)
    assert await site.blob(b"blob") == blob


async def test_a_running_delete_is_left_to_its_process(site: Site) -> None:
    """Another process does not finish the delete of a live one, whose late unlink would delete a later push."""
    blob = await site.blob(b"blob")
    await site.catalog.do(DoomBlob(repository=APP, digest=blob, token="t", owner=site.catalog.owner))
    removals = UnfinishedDeletes(site.registry, site.monotonic)
    await drain(removals.finish(print))
    assert await site.storage.stat(APP, blob) is not None
    site.monotonic.now_s += 60
    await drain(removals.finish(print))
    assert await site.catalog.doomed(10) == []


async def test_an_orphan_file_is_removed_a_delay_later(site: Site) -> None:
    """An orphan file is examined twice; it stays if it is claimed or known by then."""
    await site.image("v1")
    known = await site.everything()
    orphan, claimed, late = (digest_of(content) for content in (b"stray", b"claimed", b"late"))
    for content in (b"stray", b"claimed", b"late"):
        await site.storage.put(APP, digest_of(content), content)
    await begin(site.storage, UploadKey(APP, "left"))
    await site.catalog.do(ClaimBlob(repository=APP, digest=claimed, token="t", owner=site.catalog.owner))
    steps = _walk(site)
    while await anext(steps) != DELAY_S:
        pass
    assert await site.storage.stat(APP, orphan) is not None
    await site.blob(b"late")
    await drain(steps)
    assert await site.storage.stat(APP, orphan) is None
    assert await site.storage.stat(APP, claimed) is not None
    assert await site.storage.stat(APP, late) is not None
    assert await site.storage.staged(APP) == []
    await site.sweep_until_done()
    assert await site.everything() == known


async def test_nothing_is_removed_where_another_program_copies(site: Site) -> None:
    """While another program adds files, those that it has not listed yet are left alone."""
    await site.image("v1")
    await site.storage.put(APP, digest_of(b"first"), b"first")
    steps = _walk(site)
    while await anext(steps) != DELAY_S:
        pass
    await site.storage.put(APP, digest_of(b"second"), b"second")
    await drain(steps)
    assert await site.storage.stat(APP, digest_of(b"first")) is not None


def _walk(site: Site) -> Pauses:
    stores = MaintainedStores(site.config)

    async def never(_: Repository) -> bool:
        return False

    async def ready(_: Repository) -> None:
        return

    return OrphanFiles(site.registry, stores, CollectedLayouts(ready, never)).collect(stores.all[0], print)
