"""Edits of other programs in layouts that the catalog knows are merged; they do not override it."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from layout.conftest import MakeStore
from layout.images import INDEX, LAYER, REF_NAME, Image, Layout, image, index, sha256
from layout.store import APP, Store
from zot.layout.interface import FileSignature, IndexVersion, Placed, StagedIndex
from zot.layout.reconcile import Reconciler
from zot.oci.digest import Digest
from zot.oci.names import Repository, parse_repository

ONE, TWO, THREE, FOUR = image("one"), image("two"), image("three"), image("four")


def add(layout: Layout, image: Image, tag: str | None, document: dict[str, Any] | None = None) -> None:
    """Add an image as skopeo does it: files, then `index.json` read (or as it was read before) and rewritten whole."""
    layout.put(image)
    document = document or layout.read_index()
    others = [each for each in document["manifests"] if tag is None or each.get("annotations", {}).get(REF_NAME) != tag]
    layout.write_index({**document, "manifests": [*others, image.descriptor(tag)]})


@pytest.fixture
async def exported(store: Store) -> Store:
    """A store with two tags in an exported layout."""
    await store.push(ONE, "one")
    await store.push(TWO, "two")
    assert await store.exporter.export(APP)
    return store


async def test_added_images_are_imported(exported: Store) -> None:
    """A tag, an untagged manifest, an index with its children, and their blobs are added to the repository."""
    both = index(THREE, FOUR)
    add(exported.layout(), both, "both")
    referrer = image("referrer", subject=ONE)
    add(exported.layout(), referrer, None)
    await exported.exporter.check(APP)
    assert await exported.tags() == {"one": ONE.digest, "two": TWO.digest, "both": both.digest}
    for each in (THREE, FOUR, referrer):
        details = await exported.catalog.manifest(APP, Digest(each.digest))
        assert details is not None
    assert len(await exported.catalog.referrers(APP, Digest(ONE.digest), (), "", 10)) == 1
    assert len(await exported.catalog.blobs(APP, "", 100)) == 10
    assert await exported.exporter.export(APP)
    assert exported.layout().tags() == await exported.tags()
    await exported.exporter.check(APP)
    assert not await exported.is_due()


async def test_layers_that_an_index_lists_are_imported(exported: Store) -> None:
    """A build cache is an index of layers and a configuration: all of them become blobs of the repository."""
    layers = [b"one layer", b"another layer"]
    entries = [{"mediaType": LAYER, "digest": sha256(each), "size": len(each)} for each in layers]
    config = b'{"layers":[]}'
    entries.append({"mediaType": "application/vnd.buildkit.cacheconfig.v0", "digest": sha256(config), "size": 13})
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    cache = Image(json.dumps(document).encode(), INDEX, (*layers, config))
    add(exported.layout(), cache, "cache")
    await exported.exporter.check(APP)
    for each in cache.blobs:
        row = await exported.catalog.blob(APP, Digest(sha256(each)))
        assert row is not None
        assert row.size == len(each)
    assert (await exported.tags())["cache"] == cache.digest


async def test_added_bytes_are_hashed(exported: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A blob that another program adds is the repository's if it has the digest of its name, and a regular file."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    layout = exported.layout()
    add(layout, THREE, "three")
    config, layer = (layout.path / "blobs" / "sha256" / sha256(each)[7:] for each in THREE.blobs)
    config.write_bytes(b"not what the digest says")
    layer.unlink()
    layer.symlink_to(secret)
    with caplog.at_level(logging.WARNING):
        await exported.exporter.check(APP)
    assert (await exported.tags())["three"] == THREE.digest
    for each in THREE.blobs:
        assert await exported.catalog.blob(APP, Digest(sha256(each))) is None
    assert f"{sha256(THREE.blobs[0])} is not served" in caplog.text
    assert secret.read_bytes() == b"secret"


async def test_a_tag_that_is_moved_is_taken(exported: Store) -> None:
    """A tag that no client moved since follows the other program, repeatedly."""
    for each in (THREE, ONE):
        add(exported.layout(), each, "one")
        await exported.exporter.check(APP)
        assert (await exported.tags())["one"] == each.digest
        assert await exported.exporter.export(APP)


async def test_a_tag_moved_on_both_sides_stays(exported: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Hazard A3: the acknowledged state stays, and is logged; the other program's manifest is kept without the tag."""
    await exported.push(THREE, "one")
    add(exported.layout(), FOUR, "one")
    with caplog.at_level(logging.WARNING):
        assert await exported.exporter.export(APP)
    assert "tag one stays" in caplog.text
    assert await exported.tags() == {"one": THREE.digest, "two": TWO.digest}
    assert exported.layout().tags() == await exported.tags()
    assert FOUR.digest in exported.layout().untagged()


async def test_an_addition_while_an_export_is_due_is_kept(exported: Store) -> None:
    """Hazard A3: a tag pushed here and one added there before the export are both in the layout after it."""
    await exported.push(THREE, "pushed")
    add(exported.layout(), FOUR, "added")
    assert await exported.exporter.export(APP)
    expected = {"one": ONE.digest, "two": TWO.digest, "pushed": THREE.digest, "added": FOUR.digest}
    assert exported.layout().tags() == await exported.tags() == expected


async def test_a_stale_file_reverts_nothing(exported: Store) -> None:
    """Skopeo reads index.json when it starts and writes it when it ends: what was pushed in between stays pushed."""
    document = exported.layout().read_index()
    await exported.push(THREE, "one")
    await exported.delete_tag("two")
    assert await exported.exporter.export(APP)
    add(exported.layout(), FOUR, "four", document)
    await exported.exporter.check(APP)
    assert await exported.tags() == {"one": THREE.digest, "four": FOUR.digest}


@pytest.mark.parametrize("kind", ["pipe", "link"])
async def test_what_is_no_regular_file_is_replaced(exported: Store, tmp_path: Path, kind: str) -> None:
    """An `index.json` that is a pipe or a link is not opened: the next export replaces it, and its target stays."""
    index_json = exported.layout().path / "index.json"
    before = index_json.read_bytes()
    other = tmp_path / "other.json"
    other.write_bytes(json.dumps({"schemaVersion": 2, "manifests": [THREE.descriptor("three")]}).encode())
    index_json.unlink()
    if kind == "pipe":
        os.mkfifo(index_json)
    else:
        index_json.symlink_to(other)
    await exported.exporter.check(APP)
    assert await exported.tags() == {"one": ONE.digest, "two": TWO.digest}
    assert await exported.exporter.export(APP)
    assert not index_json.is_symlink()
    assert index_json.read_bytes() == before
    assert other.exists()


async def test_what_is_missing_is_put_back(exported: Store) -> None:
    """An external file deletes nothing."""
    exported.layout().write_index({"schemaVersion": 2, "manifests": []})
    await exported.exporter.check(APP)
    assert await exported.tags() == {"one": ONE.digest, "two": TWO.digest}
    assert await exported.exporter.export(APP)
    assert exported.layout().tags() == await exported.tags()


async def test_a_deleted_manifest_is_not_restored(exported: Store) -> None:
    """A file made from an export that still listed it brings neither the tag nor the manifest back."""
    document = exported.layout().read_index()
    await exported.delete(TWO)
    add(exported.layout(), FOUR, "four", document)
    assert await exported.exporter.export(APP)
    assert await exported.tags() == {"one": ONE.digest, "four": FOUR.digest}
    assert await exported.catalog.manifest(APP, Digest(TWO.digest)) is None
    add(exported.layout(), THREE, "three", document)
    await exported.exporter.check(APP)
    assert await exported.tags() == {"one": ONE.digest, "three": THREE.digest, "four": FOUR.digest}


async def test_a_file_without_a_mark_repeats_no_past(exported: Store) -> None:
    """A program that drops our mark can add and move; a value that a tag had before may be an old copy's."""
    await exported.push(THREE, "one")
    assert await exported.exporter.export(APP)
    layout = exported.layout()
    layout.put(FOUR)
    layout.write(ONE.descriptor("one"), FOUR.descriptor("two"), FOUR.descriptor("four"))
    await exported.exporter.check(APP)
    assert await exported.tags() == {"one": THREE.digest, "two": FOUR.digest, "four": FOUR.digest}


async def test_a_file_written_at_the_last_moment_is_merged(exported: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The replaced file is examined after an export: a write between the last look and the rename is noticed."""
    place = exported.files.place

    forget = exported.files._files_of(APP).forget_replaced

    def write(repository: Repository) -> None:
        monkeypatch.undo()
        forget(repository)
        add(exported.layout(), FOUR, "four")

    async def write_and_place(repository: Repository, staged: StagedIndex, seen: FileSignature | None) -> Placed | None:
        # After the last look at the file that is to be replaced.
        monkeypatch.setattr(exported.files._files_of(APP), "forget_replaced", write)
        placed = await place(repository, staged, seen)
        assert placed is not None
        assert placed.over_another
        return placed

    monkeypatch.setattr(exported.files, "place", write_and_place)
    await exported.push(THREE, "three")
    assert await exported.exporter.export(APP)
    assert exported.layout().tags() == await exported.tags()
    assert (await exported.tags())["four"] == FOUR.digest
    assert await exported.files.signature(APP, IndexVersion.REPLACED) is None


async def test_one_that_is_being_written_is_read_again(exported: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A torn file is not merged: it is read again until it is complete."""
    layout = exported.layout()
    add(layout, FOUR, "four")
    whole = (layout.path / "index.json").read_bytes()
    (layout.path / "index.json").write_bytes(whole[: len(whole) // 2])
    load = exported.files.load
    loads = 0

    async def load_and_finish(repository: Repository, place: IndexVersion = IndexVersion.CURRENT) -> object:
        nonlocal loads
        loads += 1
        if loads == 3:
            (layout.path / "index.json").write_bytes(whole)
        return await load(repository, place)

    monkeypatch.setattr(exported.files, "load", load_and_finish)
    await exported.exporter.check(APP)
    assert loads == 3
    assert (await exported.tags())["four"] == FOUR.digest


async def test_a_program_that_keeps_writing_delays_the_export(
    exported: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An export that is overtaken repeatedly gives up for a while, and stays due."""
    place = exported.files.place

    async def write_and_place(repository: Repository, staged: StagedIndex, seen: FileSignature | None) -> Placed | None:
        add(exported.layout(), FOUR, "four")
        return await place(repository, staged, seen)

    monkeypatch.setattr(exported.files, "place", write_and_place)
    await exported.push(THREE, "three")
    with caplog.at_level(logging.WARNING):
        assert not await exported.exporter.export(APP)
    monkeypatch.undo()
    assert await exported.is_due()
    assert await exported.exporter.export(APP)
    assert (await exported.tags()).keys() == {"one", "two", "three", "four"}


async def test_a_layout_that_replaces_another_is_merged(exported: Store, make_store: MakeStore) -> None:
    """A copy of another server's layout is merged; its stamp does not override this server's."""
    layout = exported.layout()
    other = Store(exported.root.with_name("other"), exported.files._pools)
    await other.push(THREE, "three")
    await other.push(FOUR, "one")
    await other.exporter.export(APP)
    await exported.push(FOUR, "two")
    shutil.copytree(other.layout().path, layout.path, dirs_exist_ok=True)
    assert await exported.exporter.export(APP)
    assert await exported.tags() == {"one": FOUR.digest, "two": FOUR.digest, "three": THREE.digest}


async def test_a_catalog_older_than_its_store_gives_way(exported: Store) -> None:
    """Hazard A5: after a restore of an older catalog, tags are where the layout has them, but for later pushes."""
    restored_ns = (await exported.catalog.tag_log(APP, None, None, 1))[0].at_ns
    add(exported.layout(), FOUR, "one")
    add(exported.layout(), FOUR, "two")
    await exported.push(THREE, "two")
    file = await exported.files.load(APP)
    assert file is not None
    reconciler = Reconciler(exported.catalog, exported.storage, exported.files, catalog_is_older_than_ns=restored_ns)
    # Nothing is known of the export that the file was made from.
    await reconciler.merge(APP, file.parsed, None)
    assert await exported.tags() == {"one": FOUR.digest, "two": THREE.digest}


async def test_a_scan_checks_only_what_is_not_the_recorded_export(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layouts in sync are told by their signatures; an edit, a missing and a replaced file are found among them."""
    names = [parse_repository(f"app-{number}") for number in range(70)]
    for name in names:
        await store.push(ONE, "one", repository=name)
    assert await store.schedule.drain(60)
    never = parse_repository("never-exported")
    await store.push(ONE, "one", repository=never)
    edited, removed, replaced = names[3], names[33], names[69]
    store.layout(edited).put(TWO)
    store.layout(edited).write(*store.layout(edited).read_index()["manifests"], TWO.descriptor("theirs"))
    (store.layout(removed).path / "index.json").unlink()
    (store.layout(replaced).path / ".uploads/.index.json.replaced").write_bytes(b"{}")
    checked: list[str] = []
    check = store.exporter.check

    async def note(repository: Repository) -> None:
        checked.append(repository)
        await check(repository)

    monkeypatch.setattr(store.exporter, "check", note)
    await store.scanner.check_all()
    assert checked == sorted([edited, removed, replaced])
    assert "theirs" in await store.tags(edited)
    assert await store.is_due(removed)
