"""Blobs that the catalog holds get their files with the export, before the `index.json` that needs them."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from layout.conftest import MakeStore
from layout.images import Image, image
from layout.store import APP, Store
from storage.failing_disk import ObservedDisk
from zot.catalog.blob_commands import PutBlob, PutOutcome
from zot.catalog.command import Command
from zot.catalog.edges import edges
from zot.catalog.interface import Outcome
from zot.catalog.layout_commands import BeginExport, QueueExport
from zot.catalog.manifest_commands import PutManifest, Stored, TagMove
from zot.catalog.memory.driver import MemoryCatalog
from zot.oci.digest import Digest, digest_of
from zot.oci.manifest import parse_manifest
from zot.oci.names import parse_tag
from zot.storage.interface import StorageError

ONE, TWO = image("one"), image("two")


async def hold(store: Store, *contents: bytes) -> None:
    """Push small blobs."""
    await store.importer.ensure(APP)
    for content in contents:
        command = PutBlob(repository=APP, digest=digest_of(content), content=content)
        assert await store.catalog.do(command) is PutOutcome.STORED


async def push_held(store: Store, pushed: Image, tag: str) -> None:
    """Push an image, all of whose blobs are small."""
    await hold(store, *pushed.blobs)
    manifest = parse_manifest(pushed.content, pushed.media_type)
    command = PutManifest(
        repository=APP,
        digest=Digest(pushed.digest),
        content=pushed.content,
        media_type=manifest.media_type,
        edges=edges(manifest),
        tags=(TagMove(parse_tag(tag)),),
    )
    assert isinstance(await store.catalog.do(command), Stored)


def files(store: Store) -> set[str]:
    """Return the digests of the layout's files, whose bytes must have them."""
    found = set()
    for path in (store.layout().path / "blobs/sha256").glob("*"):
        assert digest_of(path.read_bytes()) == f"sha256:{path.name}"
        found.add(f"sha256:{path.name}")
    return found


async def held(store: Store) -> list[Digest]:
    """Return what the catalog holds."""
    return [digest for digest, _ in await store.catalog.held_blobs(APP, "", 1000)]


async def test_an_upload_alone_is_exported(store: Store) -> None:
    """A repository without a manifest is due for its held blobs, and is a layout afterwards."""
    await hold(store, b"config", b"")
    assert await store.is_due()
    assert await store.exporter.export(APP)
    assert files(store) == {digest_of(b"config"), digest_of(b"")}
    assert await held(store) == []
    assert not await store.is_due()
    assert store.layout().read_index()["manifests"] == []
    assert json.loads((store.layout().path / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}


async def test_an_image_is_exported_with_its_small_blobs(store: Store) -> None:
    """The layout has all of it, and an import of it by a new catalog finds the blobs."""
    await push_held(store, ONE, "one")
    assert await store.exporter.export(APP)
    assert files(store) == {ONE.digest, *map(digest_of, ONE.blobs)}
    other = MemoryCatalog()
    store.importer._catalog = other  # the catalog is lost
    await store.importer.ensure(APP)
    assert {digest for digest, _ in await other.blobs(APP, "", 10)} == set(map(digest_of, ONE.blobs))


async def test_the_files_are_synced_before_the_index_is_placed(make_store: MakeStore) -> None:
    """At no moment does `index.json` list a manifest whose blobs have no files."""
    disk = ObservedDisk()
    store = make_store(disk=disk)
    await push_held(store, ONE, "one")
    disk.operations.clear()
    await store.exporter.export(APP)
    done = [(each.verb, Path(each.path).name, Path(each.target).name) for each in disk.operations]
    placed = done.index(("rename", ".index.json.staged", "index.json"))
    renamed = [
        number
        for number, each in enumerate(done)
        if each[0] == "rename" and f"sha256:{each[2]}" in set(map(digest_of, ONE.blobs))
    ]
    assert len(renamed) == len(set(ONE.blobs))
    assert max(renamed) < done.index(("sync directory", "sha256", ""), max(renamed)) < placed


class Pushing(MemoryCatalog):
    """A catalog in which an image is pushed while the export reads."""

    def __init__(self) -> None:
        super().__init__()
        self.store: Store | None = None

    async def tags(self, *args: Any) -> Any:
        """Push before tags are read: the image is listed."""
        store, self.store = self.store, None
        if store is not None:
            await push_held(store, TWO, "two")
        return await super().tags(*args)


async def test_what_is_pushed_during_the_export_and_listed_has_its_files(make_store: MakeStore) -> None:
    """Held blobs are placed after the entries are read, so that those of late manifests are among them."""
    catalog = Pushing()
    store = make_store(catalog)
    await push_held(store, ONE, "one")
    catalog.store = store
    await store.exporter.export(APP)
    assert set(store.layout().tags()) == {"one", "two"}
    assert files(store) >= {*map(digest_of, ONE.blobs), *map(digest_of, TWO.blobs)}
    assert await held(store) == []
    assert await store.is_due()


class Killed(MemoryCatalog):
    """A catalog whose process is killed before an export is recorded."""

    def __init__(self, at: type[Command[Any]]) -> None:
        super().__init__()
        self.at: type[Command[Any]] | None = at

    async def do(self, command: Command[Outcome]) -> Outcome:
        """Fail once."""
        if self.at is type(command):
            self.at = None
            raise StorageError("killed")
        return await super().do(command)


async def test_an_export_that_is_killed_is_repeated(make_store: MakeStore) -> None:
    """The files are there, whether or not the bytes were released: the next export ends in the same state."""
    store = make_store(Killed(BeginExport))
    await push_held(store, ONE, "one")
    with pytest.raises(StorageError):
        await store.exporter.export(APP)
    assert await store.is_due()
    await hold(store, b"more")
    assert await store.exporter.export(APP)
    assert files(store) == {ONE.digest, digest_of(b"more"), *map(digest_of, ONE.blobs)}
    assert await held(store) == []
    assert not await store.is_due()


async def test_a_stop_leaves_nothing_held(store: Store) -> None:
    """A drain places what is held, as it exports manifests."""
    await hold(store, b"config")
    assert await store.schedule.drain(10)
    assert await held(store) == []
    assert files(store) == {digest_of(b"config")}


async def test_another_program_that_writes_the_index_takes_no_held_blob(store: Store) -> None:
    """A blob without a file is not removed content while the catalog holds its bytes."""
    await store.push(TWO, "two")
    await store.exporter.export(APP)
    await push_held(store, ONE, "one")
    store.layout().write(TWO.descriptor("two"))
    assert await store.exporter.export(APP)
    assert store.layout().tags() == {"one": ONE.digest, "two": TWO.digest}
    assert files(store) >= set(map(digest_of, ONE.blobs))


@pytest.mark.parametrize("removed", ["index.json", "all files", "the directory"])
async def test_a_removed_layout_is_restored_with_what_is_held(store: Store, removed: str) -> None:
    """What another program removed has no part of what never had a file."""
    await store.importer.ensure(APP)
    await store.catalog.do(QueueExport(repository=APP))
    await store.exporter.export(APP)
    await push_held(store, ONE, "one")
    layout = store.layout()
    (layout.path / "index.json").unlink()
    if removed != "index.json":
        for each in sorted(layout.path.rglob("*"), reverse=True):
            each.rmdir() if each.is_dir() else each.unlink()
    if removed == "the directory":
        layout.path.rmdir()
    await store.exporter.check(APP)
    await store.exporter.export(APP)
    assert store.layout().tags() == {"one": ONE.digest}
    assert files(store) >= {ONE.digest, *map(digest_of, ONE.blobs)}


async def test_damaged_bytes_never_reach_the_layout(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """They are reported, and the rest of the repository is exported."""
    await hold(store, b"config")
    await store.catalog.do(PutBlob(repository=APP, digest=digest_of(b"right"), content=b"wrong"))
    assert await store.exporter.export(APP)
    assert files(store) == {digest_of(b"config")}
    assert any(each.levelno == logging.ERROR and digest_of(b"right") in each.getMessage() for each in caplog.records)
    assert not await store.is_due()


async def test_held_garbage_is_collected(store: Store) -> None:
    """With bytes in the catalog or a file: what nothing names goes, and the repository with it."""
    await hold(store, b"held")
    await store.collect()
    assert await store.catalog.repository(APP) is None
    assert not store.layout().path.exists()
