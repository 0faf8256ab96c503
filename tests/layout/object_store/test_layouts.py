"""Layouts in a bucket: written, recognised, merged and imported."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from layout.images import Image, image, index, sha256
from layout.object_store.bucket import BucketLayout, BucketStore
from layout.object_store.conftest import MakeBucketStore
from layout.store import APP
from zot.catalog.interface import CatalogUnavailableError
from zot.catalog.layout_commands import FinishExport
from zot.layout.object_store.layouts import ObjectStoreLayouts
from zot.oci.names import parse_repository, parse_tag
from zot.storage.interface import StorageError
from zot.storage.object_store.interface import ObjectInfo

pytestmark = pytest.mark.needs("versitygw")

ONE, TWO, THREE = image("one"), image("two"), image("three")
MANY = index(image("amd64"), image("arm64"))
OTHER = parse_repository("team/app2")


async def imported(store: BucketStore) -> Mapping[str, Mapping[str, str]]:
    """Import all; return the tags of each repository in the catalog."""
    await store.scanner.import_all()
    return {name: await store.tags(name) for name in await store.catalog.repositories("", 100)}


async def test_what_is_exported_is_imported_by_another_catalog(make_store: MakeBucketStore) -> None:
    """An empty catalog gets all tags and manifests of a bucket back, of small repositories and of others."""
    store = make_store()
    await store.push(ONE, "one", "also")
    await store.push(MANY, "many")
    await store.push(TWO)
    tags = [f"v{number}" for number in range(40)]
    await store.push(THREE, *tags, repository=OTHER)
    assert await store.schedule.drain(30)
    assert await BucketLayout(store.objects).tags() == await store.tags()
    expected = {name: await store.tags(name) for name in (APP, OTHER)}
    assert expected[OTHER].keys() == set(tags)
    other = make_store()
    assert await imported(other) == expected
    assert await other.catalog.resolve(APP, parse_tag("many")) == await store.catalog.resolve(APP, parse_tag("many"))
    for each in (ONE, TWO, *MANY.children):
        for digest in (each.digest, *map(sha256, each.blobs)):
            assert await BucketLayout(store.objects).content(digest) is not None


async def test_an_export_is_recognised_as_our_own(store: BucketStore) -> None:
    """An export, and what another process sees of it, needs neither a check nor a merge."""
    await store.push(ONE, "one")
    await store.push(TWO, *(f"v{number}" for number in range(40)), repository=OTHER)
    assert await store.exporter.export_together([APP, OTHER]) == {APP}
    assert await store.exporter.export(OTHER)
    assert await store.exporter.not_recorded([APP, OTHER]) == set()
    await store.push(THREE, "three")
    assert await store.exporter.export_together([APP]) == {APP}
    assert await store.exporter.not_recorded([APP, OTHER]) == set()


async def add(layout: BucketLayout, image: Image, tag: str) -> None:
    """Add an image as another program does."""
    await layout.put(image)
    await layout.write(*await layout.descriptors(), image.descriptor(tag))


async def test_a_write_of_the_last_moment_is_merged(store: BucketStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The conditional write fails where another program wrote since the look; its tags are merged, none is lost."""
    await store.push(ONE, "one")
    await store.exporter.export(APP)
    await store.push(TWO, "two")
    layout, write_if = BucketLayout(store.objects), store.objects.write_if

    async def late(key: str, content: bytes, version: str | None) -> ObjectInfo | None:
        monkeypatch.undo()
        await add(layout, THREE, "three")
        written = await write_if(key, content, version)
        assert written is None
        return written

    monkeypatch.setattr(store.objects, "write_if", late)
    assert await store.exporter.export(APP)
    assert await store.tags() == {"one": ONE.digest, "two": TWO.digest, "three": THREE.digest}
    assert await layout.tags() == await store.tags()


async def test_a_turn_leaves_out_what_another_program_wrote(
    store: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of repositories that are exported together one with a foreign write is left to an export alone."""
    await store.push(ONE, "one")
    await store.push(ONE, "one", repository=OTHER)
    layout, write_if = BucketLayout(store.objects, OTHER), store.objects.write_if

    async def late(key: str, content: bytes, version: str | None) -> ObjectInfo | None:
        if key.startswith(f"{OTHER}/"):
            await layout.put(TWO)
            await layout.write(TWO.descriptor("two"))
        return await write_if(key, content, version)

    monkeypatch.setattr(store.objects, "write_if", late)
    assert await store.exporter.export_together([APP, OTHER]) == {APP}
    monkeypatch.undo()
    assert await store.exporter.export(OTHER)
    assert await layout.tags() == {"one": ONE.digest, "two": TWO.digest}
    assert await store.tags(OTHER) == await layout.tags()


async def test_conditions_that_are_ignored_lose_no_tag_that_was_seen(
    store: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a server that ignores conditions the version is compared by a look before each write."""
    objects = store.objects

    async def ignored(key: str, content: bytes, _: str | None) -> ObjectInfo | None:
        return await objects.write(key, [content])

    monkeypatch.setattr(objects, "write_if", ignored)
    await store.push(ONE, "one")
    await store.exporter.export(APP)
    layout = BucketLayout(objects)
    await add(layout, TWO, "two")
    await store.push(THREE, "three")
    assert await store.exporter.export(APP)
    assert await layout.tags() == {"one": ONE.digest, "two": TWO.digest, "three": THREE.digest}


async def test_an_export_that_was_not_recorded_is_our_own(
    store: BucketStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After a crash between the write and its record the object is recognised by its digest, and not merged."""
    await store.push(ONE, "one")
    do = store.catalog.do

    async def crash(command: Any) -> Any:
        if isinstance(command, FinishExport):
            raise CatalogUnavailableError("killed")
        return await do(command)

    monkeypatch.setattr(store.catalog, "do", crash)
    with pytest.raises(CatalogUnavailableError):
        await store.exporter.export(APP)
    monkeypatch.undo()
    assert await store.is_due()
    with caplog.at_level(logging.INFO):
        assert await store.exporter.export(APP)
    assert "another program" not in caplog.text
    assert await BucketLayout(store.objects).tags() == {"one": ONE.digest}
    assert await store.exporter.not_recorded([APP]) == set()


async def test_edits_of_other_programs_are_merged(store: BucketStore) -> None:
    """Added tags are taken, a removed object list is restored, and a repository that was removed goes."""
    await store.push(ONE, "one")
    await store.exporter.export(APP)
    layout = BucketLayout(store.objects)
    await add(layout, TWO, "two")
    await store.scanner.check_all()
    assert await store.tags() == {"one": ONE.digest, "two": TWO.digest}
    await store.objects.remove(f"{APP}/index.json")
    await store.scanner.check_all()
    assert await store.exporter.export(APP)
    assert await layout.tags() == await store.tags() == {"one": ONE.digest, "two": TWO.digest}
    async for batch in store.objects.list(f"{APP}/"):
        await asyncio.gather(*(store.objects.remove(info.key) for info in batch))
    await store.scanner.check_all()
    assert await store.catalog.repository(APP) is None


async def test_an_emptied_bucket_is_not_believed(store: BucketStore) -> None:
    """In a bucket that lost all its objects, its identity too, nothing is treated as deleted."""
    await store.push(ONE, "one")
    await store.exporter.export(APP)
    async for batch in store.objects.list(""):
        await asyncio.gather(*(store.objects.remove(info.key) for info in batch))
    with pytest.raises(StorageError, match="empty or not a store"):
        await store.exporter.check(APP)
    await store.scanner.check_all()
    assert await store.tags() == {"one": ONE.digest}


async def test_a_foreign_bucket_is_served_while_it_is_imported(make_store: MakeBucketStore) -> None:
    """Names are complete after one list, a manifest is read from its layout, and a large list is imported by parts."""
    store, worker = make_store(), make_store()
    names = [parse_repository(f"team/app{number:02}") for number in range(20)]
    for name in names:
        layout = BucketLayout(store.objects, name)
        await layout.put(ONE, TWO)
        await layout.write(ONE.descriptor("one"), *(TWO.descriptor(f"t{number}") for number in range(50)))
    assert await worker.layouts.names("", 100) == names
    found = await worker.layouts.manifest(names[3], parse_tag("t7"))
    assert found is not None
    assert (found.digest, found.content) == (TWO.digest, TWO.content)
    await worker.importer.ensure(names[3])
    assert await worker.layouts.names("", 100) == [name for name in names if name != names[3]]
    tags = await imported(store)
    assert tags.keys() == set(names)
    assert all(len(each) == 51 for each in tags.values())
    assert not [name for name in names if await store.is_due(name)]


async def test_layouts_of_another_store_are_not_served(make_store: MakeBucketStore) -> None:
    """A layout whose name a sub-path serves from elsewhere is named, and no repository."""
    store = make_store()
    for name in (APP, "elsewhere/app"):
        await BucketLayout(store.objects, name).write()
    files = ObjectStoreLayouts(
        store.objects,
        store.storage.ready,
        store.files._pools,
        store.files._locks,
        has=lambda name: not name.startswith("elsewhere/"),
    )
    assert [name async for name in files.repositories()] == [APP]
    assert [each.why async for each in files.unserved()] == ["another store serves its name"]
