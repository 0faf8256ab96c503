"""Buckets as zot writes them with deduplication: one repository has the content, the others have empty objects.

Each test writes such a bucket by hand: of several repositories with the same image one has all its content, and of the
others each blob, and after a restart of zot the manifest as well, is an object of no bytes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from layout.images import Image, image, sha256
from layout.object_store.bucket import BucketLayout, BucketStore
from layout.object_store.conftest import MakeBucketStore
from layout.store import APP, eventually
from zot.oci.digest import Digest
from zot.oci.names import parse_repository, parse_tag
from zot.storage.interface import ContentMissingError, StorageUnavailableError
from zot.storage.object_store import markers
from zot.storage.object_store.interface import ObjectInfo

pytestmark = pytest.mark.needs("versitygw")

ONE, TWO = image("one"), image("two")
FIRST, LAST = parse_repository("base/app"), parse_repository("zz/app")


async def deduplicate(store: BucketStore, *, manifests: bool) -> None:
    """Write the same image to three repositories, of which the middle one by its name has the content."""
    layout = BucketLayout(store.objects)
    await layout.put(ONE)
    await layout.write(ONE.descriptor("one"))
    for name in (FIRST, LAST):
        layout = BucketLayout(store.objects, name)
        await layout.put(TWO)
        await layout.put_markers(*ONE.blobs)
        if manifests:
            await layout.put_markers(ONE.content)
        else:
            await store.objects.write(layout.key(ONE.digest), [ONE.content])
        await layout.write(ONE.descriptor("one"), TWO.descriptor("two"))


async def is_whole(store: BucketStore, name: str, image: Image) -> bool:
    """Tell whether a repository has all content of an image, as objects and in the catalog."""
    layout, repository = BucketLayout(store.objects, name), parse_repository(name)
    for content in image.blobs:
        row = await store.catalog.blob(repository, Digest(sha256(content)))
        if row is None or row.size != len(content) or await layout.content(sha256(content)) != content:
            return False
    return await layout.content(image.digest) == image.content


@pytest.mark.parametrize("manifests", [False, True])
async def test_every_repository_has_its_content(
    store: BucketStore, caplog: pytest.LogCaptureFixture, *, manifests: bool
) -> None:
    """All repositories of a deduplicated bucket are imported whole, and none is damaged or lacks a tag."""
    await deduplicate(store, manifests=manifests)
    with caplog.at_level(logging.WARNING):
        await store.scanner.import_all()
    assert caplog.text == ""
    for name in (FIRST, APP, LAST):
        assert await is_whole(store, name, ONE)
        assert (await store.tags(name))["one"] == ONE.digest
        assert not await store.catalog.unread(name)


async def test_a_request_need_not_wait_for_the_whole_bucket(make_store: MakeBucketStore) -> None:
    """A repository that a client asks for is whole before all others are imported; its neighbours stay as they are."""
    store = make_store()
    await deduplicate(store, manifests=True)
    found = await store.layouts.manifest(LAST, parse_tag("one"))
    assert found is not None
    assert found.content == ONE.content
    await store.importer.ensure(LAST)
    assert await is_whole(store, LAST, ONE)
    assert await BucketLayout(store.objects, FIRST).content(ONE.digest) == b""


async def test_markers_of_known_repositories_are_restored(store: BucketStore) -> None:
    """What zot made markers of since the import has its content again after the next scan."""
    await deduplicate(store, manifests=False)
    await store.scanner.import_all()
    for name in (FIRST, LAST):
        await BucketLayout(store.objects, name).put_markers(*ONE.blobs, ONE.content)
    await BucketLayout(store.objects, APP).put_markers(b"")
    await store.scanner.import_all()
    for name in (FIRST, APP, LAST):
        assert await is_whole(store, name, ONE)


async def test_a_marker_in_an_added_manifest_is_restored(store: BucketStore) -> None:
    """A manifest that another program adds to a known repository is imported with the blobs that it has by markers."""
    await deduplicate(store, manifests=False)
    await store.push(TWO, "two", repository=parse_repository("own/app"))
    layout = BucketLayout(store.objects, "own/app")
    await store.exporter.export(parse_repository("own/app"))
    await layout.put_markers(*ONE.blobs, ONE.content)
    await layout.write(*await layout.descriptors(), ONE.descriptor("one"))
    await store.scanner.check_all()
    assert await store.tags(parse_repository("own/app")) == {"one": ONE.digest, "two": TWO.digest}
    assert await is_whole(store, "own/app", ONE)


async def test_lost_content_is_missing_and_blocks_nothing(store: BucketStore, caplog: pytest.LogCaptureFixture) -> None:
    """A marker whose original is gone is missing content: the rest is imported, and the log counts what is lost."""
    await deduplicate(store, manifests=False)
    lost = ONE.blobs[0]
    await store.objects.remove(BucketLayout(store.objects).key(sha256(lost)))
    with caplog.at_level(logging.WARNING):
        await store.scanner.import_all()
    assert "1 digests have only empty objects" in caplog.text
    for name in (FIRST, APP, LAST):
        assert (await store.tags(name))["one"] == ONE.digest
        assert await store.catalog.blob(name, Digest(sha256(lost))) is None
        assert await BucketLayout(store.objects, name).content(sha256(ONE.blobs[1])) == ONE.blobs[1]
    await store.storage.put(LAST, Digest(sha256(lost)), lost)
    assert await BucketLayout(store.objects, LAST).content(sha256(lost)) == lost


async def test_content_that_is_empty_is_no_marker(store: BucketStore) -> None:
    """An object of no bytes that has the digest of nothing is content; the bucket is listed once for it."""
    layout = BucketLayout(store.objects)
    await layout.put_markers(b"")
    await layout.put(ONE)
    await layout.write(ONE.descriptor("one"))
    lists = 0
    objects_list = store.objects.list

    async def counted(prefix: str) -> AsyncIterator[list[ObjectInfo]]:
        nonlocal lists
        lists += prefix == ""
        async for batch in objects_list(prefix):
            yield batch

    store.objects.list = counted  # type: ignore[method-assign] # counted
    await store.files.restore_content()
    assert lists == 1
    await store.scanner.import_all()
    row = await store.catalog.blob(APP, Digest(sha256(b"")))
    assert row is not None
    assert row.size == 0


async def test_restoring_twice_at_once_is_restoring_once(make_store: MakeBucketStore) -> None:
    """Several processes may restore the same content, while one of them imports it."""
    stores = [make_store() for _ in range(3)]
    await deduplicate(stores[0], manifests=True)
    await asyncio.gather(*(each.files.restore_content() for each in stores), stores[0].importer.ensure(LAST))
    assert await is_whole(stores[0], LAST, ONE)
    for name in (FIRST, APP):
        await stores[0].importer.ensure(name)
        assert await is_whole(stores[0], name, ONE)


async def test_a_marker_is_read_as_its_content(make_store: MakeBucketStore) -> None:
    """Content that zot made a marker of while this server was down is served by the first request for it."""
    store = make_store()
    await deduplicate(store, manifests=False)
    await store.scanner.import_all()
    content = ONE.blobs[1]
    digest = Digest(sha256(content))
    for read in ("open", "stat", "is_whole"):
        await BucketLayout(store.objects, LAST).put_markers(content)
        restarted = make_store(store.catalog)
        assert await getattr(restarted.storage, read)(LAST, digest)
        assert await BucketLayout(store.objects, LAST).content(digest) == content
    await BucketLayout(store.objects, LAST).put_markers(content)
    assert (await make_store(store.catalog).storage.open(LAST, digest)).size == len(content)


async def test_a_lost_marker_is_missing_content(store: BucketStore) -> None:
    """A marker without an original is never read as content of no bytes."""
    digest = Digest(sha256(b"lost"))
    await BucketLayout(store.objects).put_markers(b"lost")
    assert await store.storage.stat(APP, digest) is None
    assert not await store.storage.is_whole(APP, digest)
    with pytest.raises(ContentMissingError):
        await store.storage.open(APP, digest)


async def test_an_original_outlives_its_markers(make_store: MakeBucketStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Content is removed only once no marker of the bucket stands for it, also in repositories that nothing imported.

    While that takes long, a removal is unavailable.
    """
    store = make_store()
    await deduplicate(store, manifests=False)
    digest = Digest(sha256(ONE.blobs[0]))
    await store.storage.remove(APP, digest)
    assert await store.storage.stat(APP, digest) is None
    for name in (FIRST, LAST):
        assert await BucketLayout(store.objects, name).content(digest) == ONE.blobs[0]
    slow, others = make_store(), asyncio.Event()
    objects_list = slow.objects.list

    async def waiting(prefix: str) -> AsyncIterator[list[ObjectInfo]]:
        await others.wait()
        async for batch in objects_list(prefix):
            yield batch

    monkeypatch.setattr(slow.objects, "list", waiting)
    monkeypatch.setattr(markers, "_WAIT_S", 0)
    with pytest.raises(StorageUnavailableError):
        await slow.storage.remove(FIRST, digest)
    assert await BucketLayout(store.objects, FIRST).content(digest) == ONE.blobs[0]
    others.set()

    async def removed() -> bool:
        with suppress(StorageUnavailableError):
            await slow.storage.remove(FIRST, digest)
            return True
        return False

    await eventually(removed)
    await slow.storage.close()
