"""Entries of other programs that cannot be read or named: kept, served as they are, and never lost."""

from __future__ import annotations

import json
import logging
import shutil
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layout.conftest import MakeStore
from layout.images import MANIFEST, REF_NAME, Image, Layout, image, index, odd_images, sha256
from layout.store import APP, Store
from zot.catalog.memory.driver import MemoryCatalog
from zot.catalog.rows import Unread
from zot.layout import json_text
from zot.layout.contents import ImportOptions, LayoutContents
from zot.layout.manifest_files import MANIFEST_LIMIT_BYTES
from zot.oci.digest import Digest
from zot.oci.names import Tag, parse_repository
from zot.registry.damage import DamageReports
from zot.storage.threads import ThreadPools

ONE, TWO, THREE = image("one"), image("two"), image("three")


@pytest.fixture
async def other(tmp_path: Path, pools: ThreadPools) -> AsyncIterator[Store]:
    """The same directory after its catalog was lost."""
    store = Store(tmp_path / "root", pools)
    yield store
    await store.close()


def files(store: Store) -> set[str]:
    """Return the names of the content files."""
    return {file.name for file in (store.layout().path / "blobs").rglob("*") if file.is_file()}


def raw_entries(layout: Layout) -> list[bytes]:
    """Return the descriptors of `index.json` as they are written."""
    reader = json_text.ArrayReader("manifests")
    found = list(reader.feed((layout.path / "index.json").read_bytes()))
    reader.finish()
    return found


def names(layout: Layout) -> list[tuple[str, str | None]]:
    """Return digest and name of each descriptor."""
    found = []
    for each in raw_entries(layout):
        document = json.loads(each.decode(errors="replace"))
        found.append((document["digest"], (document.get("annotations") or {}).get(REF_NAME)))
    return sorted(found, key=str)


@pytest.mark.parametrize("name", odd_images())
async def test_odd_images_are_served_as_they_are_and_kept(store: Store, other: Store, name: str) -> None:
    """Whatever JSON a manifest has, its bytes are served by tag and digest, and nothing that it needs is collected."""
    odd = odd_images()[name]
    layout = store.layout()
    layout.put(odd, ONE)
    layout.write(odd.descriptor(name), ONE.descriptor("one"))
    before, listed = files(store), names(layout)
    for each in (store, other):
        await each.importer.ensure(APP)
        row = await each.catalog.resolve(APP, Tag(name))
        assert row is not None
        assert row.digest == odd.digest
        assert row.media_type == (odd.media_type if name != "other-media-type" else "application/vnd.example+json")
        assert await each.catalog.manifest_content(APP, row.digest) == odd.content
        for blob in odd.blobs:
            assert await each.catalog.blob(APP, Digest(sha256(blob))) is not None
        assert await each.catalog.unreferenced_blobs(APP, "", 10) == []
        await each.collect()
        await each.push(TWO, "two")
        await each.delete_tag("two")
        await each.collect()
        assert await each.exporter.export(APP)
        assert before <= files(each)
        assert set(listed) <= set(names(layout))
        # Where all is known that it needs, collection goes on beside it.
        assert (TWO.digest[7:] in files(each)) == (name == "cut") == await each.catalog.unread(APP)


async def test_children_of_an_index_keep_their_layers(store: Store) -> None:
    """The manifests of an index are read as what they are, whatever their descriptors say."""
    odd = odd_images()
    good = index(*(odd[name] for name in ("negative", "artifact", "schema-1", "no-media-type")))
    document = json.loads(good.content)
    del document["manifests"][3]["mediaType"]
    listing = Image(json.dumps(document).encode(), good.media_type, (), good.children)
    cut = Image(index(odd["latin1"]).content[:-1], good.media_type, (), (odd["latin1"],))
    layout = store.layout()
    layout.put(listing, cut)
    layout.write(listing.descriptor("good"), cut.descriptor("cut"))
    await store.importer.ensure(APP)
    for child in (*listing.children, *cut.children):
        assert await store.catalog.manifest_content(APP, Digest(child.digest)) == child.content
    assert await store.catalog.unreferenced_blobs(APP, "", 10) == []
    assert await store.catalog.unread(APP)
    await store.delete(cut)
    assert not await store.catalog.unread(APP)


ODD_NAMES = ["1.0+build5", "-rc1", ".hidden", "feature/login", "localhost:5000/alpine", "a@b", "t" * 129, "ünïcode"]


async def test_a_name_that_is_no_tag_stays(store: Store, other: Store) -> None:
    """Its manifest is not untagged: it is kept by the name, which stays in `index.json` through exports."""
    images = {name: image(name) for name in ODD_NAMES}
    layout = store.layout()
    layout.put(*images.values())
    layout.write(*(each.descriptor(name) for name, each in images.items()))
    before, listed = files(store), names(layout)
    for each in (store, other):
        await each.importer.ensure(APP)
        assert set(await each.tags()) <= {"one"}
        await each.collect()
        await each.push(ONE, "one")
        assert await each.exporter.export(APP)
        assert before <= files(each)
        assert names(layout) == sorted([*listed, (ONE.digest, "one")], key=str)
        assert [entry.digest for entry in await each.catalog.carried_as(APP, Tag("1.0+build5"))] == [
            images["1.0+build5"].digest
        ]


async def test_of_two_names_for_one_tag_both_stay(store: Store, other: Store) -> None:
    """The first name that stands for a tag gets it, unless another name is the tag; the others keep their names."""
    layout = store.layout()
    layout.put(ONE, TWO, THREE)
    listed = [
        ONE.descriptor("platform/web:latest"),
        TWO.descriptor("platform/db:latest"),
        ONE.descriptor("docker.io/library/alpine:3.20"),
        TWO.descriptor("quay.io/mysql:8.0"),
        THREE.descriptor("8.0"),
        THREE.descriptor("twice"),
        ONE.descriptor("twice"),
    ]
    layout.write(*listed)
    before = names(layout)
    for each in (store, other):
        await each.importer.ensure(APP)
        assert await each.tags() == {
            "latest": ONE.digest,
            "3.20": ONE.digest,
            "8.0": THREE.digest,
            "twice": THREE.digest,
        }
        await each.catalog.manifests(APP, "", 10)
        await each.collect()
        await each.push(TWO, "new")
        await each.delete_tag("new")
        assert await each.exporter.export(APP)
        assert names(layout) == before
        assert files(each) == {sha256(content)[7:] for i in (ONE, TWO, THREE) for content in (i.content, *i.blobs)}


async def test_what_cannot_be_read_is_carried_as_it_is_written(store: Store, other: Store) -> None:
    """Entries whose digest or manifest cannot be read keep all their fields and annotations, as do the others."""
    layout = store.layout()
    layout.put(ONE, TWO)
    layout.file(TWO.digest).write_bytes(b"damaged")
    odd: list[Any] = [
        {"mediaType": MANIFEST, "digest": f"blake3:{0:064}", "size": 7, "annotations": {REF_NAME: "x"}},
        {"no": "descriptor", "deep": [{"a": None}]},
        None,
        "text",
        {**TWO.descriptor("damaged", platform={"os": "linux"}, annotations={"org.example": "kept"}), "data": "e30="},
        THREE.descriptor("missing", foreign=[1, {"a": 1.50}]),
        THREE.descriptor(),
    ]
    layout.write(ONE.descriptor("one"), *odd)
    layout.put_content(b"loose")
    for each in (store, other):
        await each.importer.ensure(APP)
        await each.collect()
        await each.push(image("new"), "new")
        await each.delete_tag("new")
        assert await each.exporter.export(APP)
        written = [json.loads(line) for line in raw_entries(layout)]
        for entry in odd:
            assert written.count(entry) == 1
        assert len(written) == len(odd) + 2  # one, and the new image, which nothing collects
        assert sha256(b"loose")[7:] in files(each)
        assert layout.file(TWO.digest).read_bytes() == b"damaged"
        # Another program reads it and writes it again.
        layout.write_index(layout.read_index())
        await each.exporter.check(APP)
        assert await each.exporter.export(APP)
        assert len(raw_entries(layout)) == len(odd) + 2


async def test_a_manifest_that_arrives_is_picked_up(store: Store) -> None:
    """Files that a copy brings after `index.json` are imported, with their layers; then collection continues."""
    layout = store.layout()
    layout.put(ONE)
    layout.write(
        ONE.descriptor("one"),
        TWO.descriptor("two"),
        THREE.descriptor("docker.io/app:3"),
        image("damaged").descriptor("damaged"),
    )
    layout.put(image("damaged"))
    layout.file(image("damaged").digest).write_bytes(b"half of it")
    await store.importer.ensure(APP)
    await store.scanner.check_all()
    assert await store.tags() == {"one": ONE.digest}
    layout.put(TWO, THREE)
    await store.scanner.check_all()
    assert await store.tags() == {"one": ONE.digest, "two": TWO.digest, "3": THREE.digest}
    assert await store.catalog.unread(APP)
    layout.file(image("damaged").digest).unlink()
    layout.put(image("damaged"))
    await store.scanner.check_all()
    assert (await store.tags())["damaged"] == image("damaged").digest
    assert await store.catalog.carried(APP, "", 10) == []
    assert not await store.catalog.unread(APP)
    before = files(store)
    await store.collect()
    assert files(store) == before
    assert await store.exporter.export(APP)
    assert {name for _, name in names(layout)} == {"one", "two", "docker.io/app:3", "damaged"}


async def test_a_manifest_beyond_the_limit_is_kept(store: Store) -> None:
    """A manifest above the limit for reading keeps its file and its entry, and stops collection."""
    content = ONE.content[:-1] + b" " * MANIFEST_LIMIT_BYTES + b"}"
    large = Image(content, MANIFEST, ONE.blobs)
    layout = store.layout()
    layout.put(large)
    layout.write(large.descriptor("large"))
    await store.importer.ensure(APP)
    (entry,) = await store.catalog.carried_as(APP, Digest(large.digest))
    assert (entry.name, entry.unread) == ("large", Unread.TOO_LARGE)
    before = files(store)
    await store.collect()
    assert files(store) == before


async def test_a_child_that_cannot_be_read_keeps_the_repository(store: Store) -> None:
    """A damaged child of an index may need anything; a child that is not there need not be there."""
    layout = store.layout()
    listing = index(ONE, TWO)
    layout.put(listing)
    layout.file(TWO.digest).unlink()
    layout.write(listing.descriptor("index"))
    layout.file(ONE.digest).write_bytes(b"damaged")
    await store.importer.ensure(APP)
    assert [entry.digest for entry in await store.catalog.carried(APP, "", 10)] == [ONE.digest]
    assert await store.exporter.export(APP)
    assert names(layout) == [(listing.digest, "index")]
    await store.delete(listing)
    assert not await store.catalog.unread(APP)


async def test_an_external_file_adds_unreadable_entries(store: Store) -> None:
    """Merged, too, entries that cannot be read and names that are no tags are carried along, once."""
    await store.push(ONE, "one", "latest")
    assert await store.exporter.export(APP)
    layout = store.layout()
    added = [
        TWO.descriptor("missing"),
        THREE.descriptor("1.0+build5"),
        THREE.descriptor("localhost/other:latest"),
        {"digest": "md5:0"},
    ]
    layout.put(THREE)
    document = layout.read_index()
    document["manifests"] += added
    for _ in range(3):
        layout.write_index(document)
        await store.exporter.check(APP)
        assert await store.exporter.export(APP)
        document = layout.read_index()
    assert await store.tags() == {"one": ONE.digest, "latest": ONE.digest}
    for entry in added:
        assert layout.read_index()["manifests"].count(entry) == 1
    await store.collect()
    assert THREE.digest[7:] in files(store)
    await store.delete_tag("missing")
    await store.delete_tag("1.0+build5")
    assert await store.exporter.export(APP)
    assert {name for _, name in names(layout)} == {"one", "latest", "localhost/other:latest", None}


digests = st.sampled_from([ONE.digest, TWO.digest, THREE.digest, f"sha256:{1:064x}", "md5:0", "nonsense", "", 7, None])
refs = st.sampled_from(["latest", "a/b:latest", "c:latest", "1.0+x", "", "-", "\ud83d", 5, None]) | st.text(max_size=5)
jsons = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
listed = (
    st.fixed_dictionaries(
        {},
        optional={
            "digest": digests,
            "mediaType": st.sampled_from([MANIFEST, "", "x\n", None]),
            "size": st.sampled_from([1, -1, "1", None]),
            "annotations": st.fixed_dictionaries({}, optional={REF_NAME: refs, "other": jsons}) | jsons,
            "platform": jsons,
        },
    )
    | jsons
)
contents = st.sampled_from([ONE.content, TWO.content, THREE.content]) | st.binary(max_size=40)


@given(st.lists(listed, max_size=6), st.lists(contents, max_size=3))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_entry_is_lost(
    tmp_path_factory: pytest.TempPathFactory, pools: ThreadPools, entries: list[Any], stored: list[bytes]
) -> None:
    """After an import and an export each entry of `index.json` is there, whatever the files hold."""
    root = tmp_path_factory.mktemp("store")
    layout = Layout(root / APP)
    layout.write(*entries)
    for content in stored:
        layout.put_content(content)
    held = set(layout.path.rglob("*/sha256/*"))
    before = list(raw_entries(layout))
    readable_digests = {sha256(content) for content in stored}
    for _ in range(2):
        store = Store(root, pools)
        try:
            await store.importer.ensure(APP)
            await store.collect()
            await store.push(image("new"), "new")
            assert await store.exporter.export(APP)
            await store.delete_tag("new")
            await store.delete(image("new"))
            assert await store.exporter.export(APP)
        finally:
            await store.close()
        after = [_meaning(each) for each in raw_entries(layout)]
        # A manifest that can be read and has no name is garbage, as it is everywhere.
        kept = [each for each in before if _meaning(each) not in [(readable, None) for readable in readable_digests]]
        for each in kept:
            assert _meaning(each) in after
        assert {file for file in held if _is_listed(file, kept)} <= {file for file in held if file.exists()}


def _meaning(descriptor: bytes) -> object:
    """Return digest and name of an entry, or all of it if it has no digest that can be read."""
    document = json.loads(descriptor.decode())
    digest = document.get("digest") if isinstance(document, dict) else None
    if not isinstance(digest, str) or not digest.startswith("sha256:"):
        return document
    annotations = document.get("annotations")
    name = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
    return digest, name if isinstance(name, str) else None


def _is_listed(file: Path, descriptors: list[bytes]) -> bool:
    return any(file.name.encode() in each for each in descriptors)


async def test_a_list_of_missing_manifests_takes_time_not_memory(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """A million entries without manifests make one line in the log, and are read piece by piece."""
    count = 5_000
    digest = "sha256:{:064x}"
    layout = store.layout()
    layout.write()
    with (layout.path / "index.json").open("w") as file:
        file.write('{"schemaVersion": 2, "manifests": [')
        for number in range(count):
            entry = {"mediaType": MANIFEST, "digest": digest.format(number), "size": 500}
            entry["annotations"] = {REF_NAME: f"registry.example/app:v{number}"}
            file.write(("," if number else "") + json.dumps(entry))
        file.write("]}")
    reading = ImportOptions(MANIFEST_LIMIT_BYTES, DamageReports(), begun=False, salvaged=False)
    reader = LayoutContents(store.catalog, store.storage, store.files, APP, reading)
    tracemalloc.start()
    try:
        seen = 0
        async for _ in reader.items():
            seen += 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seen == count
    assert peak < 4 * 1024 * 1024
    with caplog.at_level(logging.INFO):
        await store.importer.import_layout(APP)
    assert len(caplog.records) == 2
    assert "5000 because its file is missing" in caplog.text


async def test_layouts_that_cannot_be_repositories_are_logged(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Reserved names are served where they do not collide; layouts that cannot be served are named with the reason."""
    for name in ("team/blobs", "index.json/x", "oci-layout", "cache.db", "app", "/".join(["a" * 200] * 3)):
        layout = Layout(store.root / name)
        layout.put(ONE)
        layout.write(ONE.descriptor("one"))
    for name in ("app/blobs", "Upper", ".hidden", "_trivy"):
        Layout(store.root / name).write(ONE.descriptor("one"))
    served = {"team/blobs", "index.json/x", "oci-layout", "cache.db", "app", "/".join(["a" * 200] * 3)}
    with caplog.at_level(logging.WARNING):
        assert {name async for name in store.files.repositories()} == served
        assert {name async for name in store.files.repositories()} == served
    unserved = {each.path: each.why async for each in store.files.unserved()}
    assert unserved.keys() == {str(store.root / "app/blobs"), str(store.root / "Upper")}
    assert len(caplog.records) == 2
    hidden = parse_repository("app/blobs")
    assert await store.files.existing([parse_repository("team/blobs"), hidden]) == ["team/blobs"]
    await store.scanner.import_all()
    assert await store.tags(parse_repository("team/blobs")) == {"one": ONE.digest}
    for name in ("team", "index.json"):
        assert await store.files.obstacle(parse_repository(name)) in {"team/blobs is a repository", None}
    (store.root / "x" / "index.json").mkdir(parents=True)
    assert "is a directory" in str(await store.files.obstacle(parse_repository("x")))
    assert await store.files.obstacle(parse_repository("new")) is None


async def test_processes_read_the_same_arrival_at_once(make_store: MakeStore) -> None:
    """Concurrent requests in several processes all find a manifest that has just arrived."""
    catalog = MemoryCatalog()
    stores = [make_store(catalog) for _ in range(2)]
    layout = stores[0].layout()
    layout.write(TWO.descriptor("two"))
    await stores[0].importer.ensure(APP)
    (entry,) = await catalog.carried(APP, "", 10)
    layout.put(TWO)
    for store in (*stores, *stores):
        await store.layouts.read_carried(APP, entry)
    assert await stores[1].tags() == {"two": TWO.digest}


async def test_what_another_program_removed_is_not_put_back(store: Store) -> None:
    """An unread entry without a file is dropped when another program removes it, or the directory."""
    layout = store.layout()
    layout.put(ONE, TWO)
    layout.file(TWO.digest).write_bytes(b"damaged")
    layout.write(ONE.descriptor("one"), THREE.descriptor("missing"), TWO.descriptor("damaged"), {"no": "descriptor"})
    await store.importer.ensure(APP)
    await store.push(image("new"), "new")
    assert await store.exporter.export(APP)
    document = layout.read_index()
    document["manifests"] = [each for each in document["manifests"] if each.get("digest") == ONE.digest]
    layout.write_index(document)
    await store.exporter.check(APP)
    assert await store.exporter.export(APP)
    assert {name for _, name in names(layout)} == {"one", "new", "damaged"}
    shutil.rmtree(layout.path)
    await store.exporter.check(APP)
    assert await store.catalog.carried(APP, "", 10) == []


async def test_children_that_arrive_keep_their_layers(store: Store) -> None:
    """Manifests that an index lists and that a copy brings after it are imported before unknown files are removed."""
    listing = index(ONE, TWO)
    layout = store.layout()
    layout.put_content(listing.content)
    layout.write(listing.descriptor("index"))
    await store.importer.ensure(APP)
    layout.put(ONE)
    await store.layouts.read_children(APP)
    assert await store.catalog.manifest_content(APP, Digest(ONE.digest)) == ONE.content
    for blob in ONE.blobs:
        assert await store.catalog.blob(APP, Digest(sha256(blob))) is not None
    assert await store.catalog.resolve(APP, Digest(TWO.digest)) is None
    before = files(store)
    await store.collect()
    assert files(store) == before
