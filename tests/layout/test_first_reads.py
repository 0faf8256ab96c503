"""The first read of a repository after a start, when another program wrote to its layout before."""

from __future__ import annotations

import asyncio
import errno
import shutil
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from layout.conftest import MakeStore
from layout.images import Image, image, index
from layout.store import APP, Store, eventually
from storage.failing_disk import FailingDisk, ObservedDisk
from zot.catalog.edges import edges
from zot.catalog.manifest_commands import PutManifest, TagMove
from zot.foundation.shared_marks import SharedMarks
from zot.layout.first_reads import FirstReads
from zot.layout.layouts import StoreLayouts
from zot.oci.digest import Digest
from zot.oci.manifest import parse_manifest
from zot.oci.names import parse_repository, parse_tag
from zot.registry import blobs, manifests, referrers, tags
from zot.registry.errors import BlobUnknown, ManifestUnknown, NameUnknown, Unavailable
from zot.registry.registry import Registry
from zot.registry.request import ListReferrers, ListTags, PullBlob, PullManifest
from zot.storage.disk import Disk
from zot.storage.interface import StorageError

ONE, TWO, THREE, FOUR = image("one"), image("two"), image("three"), image("four")


@pytest.fixture
async def exported(store: Store) -> Store:
    """A store with two tags in an exported layout."""
    await store.push(ONE, "one")
    await store.push(TWO, "two")
    assert await store.exporter.export(APP)
    return store


def restarted(exported: Store, make_store: MakeStore, disk: Disk | None = None) -> tuple[Store, Registry]:
    """Return another process on the store, and its registry."""
    later = make_store(exported.catalog, disk)
    return later, Registry(later.catalog, later.storage, later.layouts)


def rewrite(store: Store, tags: dict[str, Image]) -> None:
    """Write `index.json` as another program does that has these tags and no other entry."""
    layout = store.layout()
    layout.put(*tags.values())
    entries = [each.descriptor(tag) for tag, each in tags.items()]
    layout.write_index({**layout.read_index(), "manifests": entries})


def remove_files(store: Store, image: Image, *kept: bytes) -> None:
    """Remove an image's files as another program's collection does."""
    for each in (image.content, *image.blobs):
        if each not in kept:
            store.layout().file(Image(each).digest).unlink()


async def pulled(registry: Registry, tag: str) -> str:
    """Return the digest that a pull of the tag gives."""
    return (await manifests.pull(registry, PullManifest(APP, parse_tag(tag)))).digest


async def by_tag(registry: Registry) -> None:
    assert await pulled(registry, "one") == THREE.digest


async def by_digest(registry: Registry) -> None:
    assert (await manifests.pull(registry, PullManifest(APP, Digest(THREE.digest)))).content == THREE.content


async def by_list(registry: Registry) -> None:
    assert (await tags.page(registry, ListTags(APP))).rows == ["new", "one", "two"]


async def by_blob(registry: Registry) -> None:
    row = await blobs.pull(registry, PullBlob(APP, Digest(Image(THREE.blobs[0]).digest)))
    assert row.size == len(THREE.blobs[0])


async def by_referrers(registry: Registry) -> None:
    page = await referrers.page(registry, ListReferrers(APP, Digest(ONE.digest), ()))
    assert [row.digest for row in page.rows] == [image("referrer", subject=ONE).digest]


async def by_write(registry: Registry) -> None:
    await registry.writable(APP)
    assert await registry.catalog.resolve(APP, parse_tag("new")) is not None


async def by_delete(registry: Registry) -> None:
    await tags.delete(registry, APP, parse_tag("new"), immutable=False, by="alice")


@pytest.mark.parametrize("first", [by_tag, by_digest, by_list, by_blob, by_referrers, by_write, by_delete])
async def test_the_first_request_sees_what_was_written(
    exported: Store, make_store: MakeStore, first: Callable[[Registry], Awaitable[None]]
) -> None:
    """Whatever the first request is, tags that another program moved and added are there, without a background scan."""
    rewrite(exported, {"one": THREE, "two": TWO, "new": image("referrer", subject=ONE)})
    _, registry = restarted(exported, make_store)
    await first(registry)


async def test_a_known_digest_waits_for_nothing(exported: Store, make_store: MakeStore) -> None:
    """A digest that the catalog has stands for the same bytes: it is served before anything is compared."""
    rewrite(exported, {"one": THREE, "two": TWO})
    later, registry = restarted(exported, make_store)
    assert (await manifests.pull(registry, PullManifest(APP, Digest(ONE.digest)))).content == ONE.content
    assert later.layouts.comparison_due(APP)


async def test_a_repository_in_sync_costs_one_look(exported: Store, make_store: MakeStore) -> None:
    """The first read looks at the status of one file, those after it touch no disk."""
    disk = ObservedDisk()
    _, registry = restarted(exported, make_store, disk)
    assert await pulled(registry, "one") == ONE.digest
    assert disk.verbs() == ["stat"]
    await tags.page(registry, ListTags(APP))
    for _ in range(3):
        assert await pulled(registry, "two") == TWO.digest
    assert disk.verbs() == ["stat"]


async def test_a_read_only_registry_compares_nothing(exported: Store, make_store: MakeStore) -> None:
    """It changes nothing, its catalog included."""
    rewrite(exported, {"one": THREE})
    later = make_store(exported.catalog)
    registry = Registry(later.catalog, later.storage, later.layouts, read_only=True)
    assert await pulled(registry, "one") == ONE.digest


async def test_many_first_requests_merge_once(exported: Store, make_store: MakeStore) -> None:
    """Concurrent requests wait for one comparison."""
    rewrite(exported, {"one": THREE, "two": TWO})
    disk = ObservedDisk()
    _, registry = restarted(exported, make_store, disk)
    assert set(await asyncio.gather(*(pulled(registry, "one") for _ in range(20)))) == {THREE.digest}
    opened = [each for each in disk.operations if each.verb == "open" and each.path.endswith("index.json")]
    assert len(opened) == 1


async def test_a_request_waits_no_longer_than_it_should(exported: Store, make_store: MakeStore) -> None:
    """While another process merges or exports, a tag is answered with 503, and with the new state afterwards."""
    rewrite(exported, {"one": THREE, "two": TWO})
    later, registry = restarted(exported, make_store)
    later.layouts.first_reads = FirstReads(later.catalog, later.files, later.layouts.edits, wait_s=0.01)
    async with exported.files.lock(APP):
        with pytest.raises(Unavailable, match="imported"):
            await pulled(registry, "one")
        exporting = asyncio.create_task(later.exporter.check(APP))
        with pytest.raises(Unavailable):
            await pulled(registry, "one")
        assert not exporting.done()
    await exporting

    async def compared() -> bool:
        return not later.layouts.comparison_due(APP)

    await eventually(compared)
    assert await pulled(registry, "one") == THREE.digest
    await later.layouts.close()


async def test_a_torn_file_is_left_to_the_background(exported: Store, make_store: MakeStore) -> None:
    """A program that is just writing keeps no request waiting: the catalog serves."""
    (exported.layout().path / "index.json").write_text('{"schemaVersion": 2, "manif')
    _, registry = restarted(exported, make_store)
    assert await pulled(registry, "one") == ONE.digest
    assert not await exported.is_due()


async def test_a_disk_that_fails_is_looked_at_again(exported: Store, make_store: MakeStore) -> None:
    """While the layout cannot be read the catalog serves; when it can be, the next request compares."""
    rewrite(exported, {"one": THREE, "two": TWO})
    failing = [True]
    disk = FailingDisk(lambda each: errno.EIO if failing and each.path.endswith("index.json") else 0)
    _, registry = restarted(exported, make_store, disk)
    assert await pulled(registry, "one") == ONE.digest
    failing.clear()
    assert await pulled(registry, "one") == THREE.digest


async def test_an_image_removed_with_its_blobs_is_deleted(exported: Store, make_store: MakeStore) -> None:
    """A tag that another program deleted and collected is unknown from the first request, and is not exported again."""
    rewrite(exported, {"one": ONE})
    remove_files(exported, TWO)
    later, registry = restarted(exported, make_store)
    with pytest.raises(ManifestUnknown):
        await pulled(registry, "two")
    assert await later.exporter.export(APP)
    assert await later.tags() == later.layout().tags() == {"one": ONE.digest}
    assert await later.catalog.manifest(APP, Digest(TWO.digest)) is None
    assert not later.layout().file(TWO.digest).exists()
    for each in TWO.blobs:
        assert await later.catalog.blob(APP, Digest(Image(each).digest)) is None
    changes = await later.catalog.tag_log(APP, parse_tag("two"), None, 1)
    assert (changes[0].after, changes[0].by) == (None, ":index.json")


async def test_an_image_whose_blob_was_found_missing_is_deleted(exported: Store, make_store: MakeStore) -> None:
    """A client that asks for a blob first finds it missing: its image is not restored for that."""
    rewrite(exported, {"one": ONE})
    remove_files(exported, TWO)
    later, registry = restarted(exported, make_store)
    for each in TWO.blobs:
        request = PullBlob(APP, Digest(Image(each).digest))
        with pytest.raises(BlobUnknown):
            await blobs.open_content(registry, request, await blobs.pull(registry, request))
    with pytest.raises(ManifestUnknown):
        await pulled(registry, "two")
    assert await later.tags() == {"one": ONE.digest}


async def test_what_was_removed_without_its_blobs_is_put_back(exported: Store) -> None:
    """A tag with all its blobs is restored: a tool that rewrites `index.json` deletes nothing by that."""
    rewrite(exported, {"one": ONE})
    exported.layout().file(TWO.digest).unlink()
    await exported.exporter.check(APP)
    assert await exported.exporter.export(APP)
    assert await exported.tags() == exported.layout().tags() == {"one": ONE.digest, "two": TWO.digest}
    assert exported.layout().file(TWO.digest).exists()


async def test_indexes_of_what_was_removed_go_with_it(store: Store) -> None:
    """An index is deleted with its removed child; a manifest that shares a layer with it stays."""
    both = index(ONE, TWO)
    await store.push(both, "both")
    await store.push(THREE, "three")
    await store.push(image("loose"))
    assert await store.exporter.export(APP)
    rewrite(store, {"three": THREE})
    for each in (both, ONE, TWO, image("loose")):
        remove_files(store, each)
    await store.exporter.check(APP)
    assert await store.tags() == {"three": THREE.digest}
    assert [row.digest for row in await store.catalog.manifests(APP, "", 10)] == [THREE.digest]


async def test_what_the_other_program_lists_is_never_forgotten(exported: Store) -> None:
    """An image that lacks blobs but is listed stays: it was not removed, it is incomplete."""
    remove_files(exported, TWO)
    rewrite(exported, {"one": THREE})
    document: dict[str, Any] = exported.layout().read_index()
    document["manifests"].append(TWO.descriptor("two"))
    exported.layout().write_index(document)
    await exported.exporter.check(APP)
    assert await exported.tags() == {"one": THREE.digest, "two": TWO.digest}


async def test_a_blob_that_never_was_here_was_not_removed(exported: Store) -> None:
    """An image that was accepted without its blobs (a sparse one) is restored like a complete one."""
    manifest = parse_manifest(FOUR.content, FOUR.media_type)
    await exported.catalog.do(
        PutManifest(
            repository=APP,
            digest=Digest(FOUR.digest),
            content=FOUR.content,
            media_type=FOUR.media_type,
            edges=edges(manifest, sparse=True),
            tags=(TagMove(parse_tag("sparse")),),
        )
    )
    assert await exported.exporter.export(APP)
    rewrite(exported, {"one": ONE, "two": TWO})
    await exported.exporter.check(APP)
    assert (await exported.tags())["sparse"] == FOUR.digest


async def test_what_the_other_program_had_not_seen_was_not_removed(exported: Store) -> None:
    """A file that is based on an older export deletes no image that was pushed since, whatever its blobs are."""
    document = exported.layout().read_index()
    await exported.push(THREE, "three")
    assert await exported.exporter.export(APP)
    remove_files(exported, THREE)
    exported.layout().write_index({**document, "manifests": [ONE.descriptor("one")]})
    await exported.exporter.check(APP)
    assert (await exported.tags())["three"] == THREE.digest


async def test_a_removed_directory_is_forgotten(exported: Store, make_store: MakeStore) -> None:
    """A repository that another program removed has no tags; after a push it has only that one."""
    shutil.rmtree(exported.layout().path)
    later, registry = restarted(exported, make_store)
    with pytest.raises(NameUnknown):
        await pulled(registry, "one")
    assert await later.catalog.repositories("", 10) == []
    await later.push(FOUR, "four")
    assert await later.exporter.export(APP)
    assert await later.tags() == later.layout().tags() == {"four": FOUR.digest}


@pytest.mark.parametrize("kind", ["empty", "dangling link", "link to nothing"])
async def test_an_absent_disk_is_no_removal(exported: Store, make_store: MakeStore, kind: str) -> None:
    """Where a disk may be absent nothing is forgotten or written, and all is as before when it is back."""
    path, elsewhere = exported.layout().path, exported.root.parent / "elsewhere"
    path.rename(elsewhere)
    if kind == "empty":
        path.mkdir()
    elif kind == "dangling link":
        path.symlink_to(exported.root.parent / "nowhere")
    else:
        (exported.root.parent / "nothing").mkdir()
        path.symlink_to(exported.root.parent / "nothing")
    later, registry = restarted(exported, make_store)
    assert await pulled(registry, "one") == ONE.digest
    with pytest.raises(StorageError, match="disk"):
        await later.exporter.check(APP)
    assert not await later.is_due()
    path.rmdir() if kind == "empty" else path.unlink()
    path.symlink_to(elsewhere)
    await later.exporter.check(APP)
    assert await later.tags() == {"one": ONE.digest, "two": TWO.digest}
    assert not await later.is_due()


async def test_deleted_images_are_restored_with_their_files(exported: Store, make_store: MakeStore) -> None:
    """A directory that is restored has its tags again, also if it was pushed to in between."""
    path, elsewhere = exported.layout().path, exported.root.parent / "elsewhere"
    path.rename(elsewhere)
    later, registry = restarted(exported, make_store)
    with pytest.raises(NameUnknown):
        await pulled(registry, "one")
    await later.push(FOUR, "four")
    assert await later.exporter.export(APP)
    shutil.copytree(path / "blobs", elsewhere / "blobs", dirs_exist_ok=True)
    shutil.rmtree(path)
    elsewhere.rename(path)
    await later.exporter.check(APP)
    assert await later.tags() == {"one": ONE.digest, "two": TWO.digest, "four": FOUR.digest}
    for each in (*ONE.blobs, *TWO.blobs):
        assert await later.catalog.blob(APP, Digest(Image(each).digest)) is not None


async def test_what_one_process_compared_no_other_compares(exported: Store) -> None:
    """The processes of a server share what was compared since its start."""
    shared = SharedMarks()
    first, later = (FirstReads(exported.catalog, exported.files, exported.layouts.edits, shared) for _ in range(2))
    assert first.is_due(APP)
    await first.compare(APP)
    assert not first.is_due(APP)
    assert not later.is_due(APP)


async def test_a_repository_that_was_just_made_or_imported_is_not_compared(make_store: MakeStore) -> None:
    """Its import has read what another program wrote before, or found no directory."""
    store, other = make_store(), parse_repository("team/other")
    store.layout(other).put(ONE)
    store.layout(other).write(ONE.descriptor("one"))
    layouts = StoreLayouts(store.catalog, store.storage, store.files, store.layouts.edits)
    for repository in (APP, other):
        assert layouts.comparison_due(repository)
        await layouts.ensure_imported(repository)
        assert not layouts.comparison_due(repository)
    await layouts.close()
