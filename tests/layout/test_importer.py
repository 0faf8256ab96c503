"""Adoption of layouts that other programs wrote."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import pytest

from layout.conftest import MakeStore
from layout.images import DOCKER_MANIFEST, MANIFEST, image, index, sha256
from layout.store import APP, Store
from zot.catalog.change_log import ChangeCursor, ChangeKind
from zot.catalog.command import ChangeSource
from zot.catalog.layout_commands import ImportLayout, LayoutManifest, LayoutTag
from zot.catalog.memory.driver import MemoryCatalog
from zot.catalog.rows import Unread
from zot.layout.importer import LayoutImporter
from zot.layout.manifest_files import MANIFEST_LIMIT_BYTES, read_manifests
from zot.oci.digest import Digest
from zot.oci.media_types import OCTET_STREAM
from zot.oci.names import parse_repository, parse_tag
from zot.registry.damage import DamageReports
from zot.registry.errors import Unavailable
from zot.storage.disk import Disk, DiskOperation
from zot.storage.interface import StorageError

P = ParamSpec("P")
T = TypeVar("T")

ONE, TWO, THREE, FOUR = image("one"), image("two"), image("three", DOCKER_MANIFEST), image("four")
NESTED = index(index(ONE, THREE), TWO)


class VerbsDisk(Disk):
    """A disk that counts its operations by their verbs."""

    def __init__(self) -> None:
        """Begin with none."""
        self.verbs: Counter[str] = Counter()

    def perform(self, operation: DiskOperation, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Count an operation on content: the identity of the store is read in any case."""
        if "/.zot" not in operation.path:
            self.verbs[operation.verb] += 1
        return super().perform(operation, call, *args, **kwargs)


def write_like_zot(store: Store) -> None:
    """Write a layout with tags, an untagged manifest, a nested index, a docker image and a referrer."""
    layout = store.layout()
    layout.put(NESTED, FOUR, image("signature", subject=ONE))
    layout.write(
        ONE.descriptor("1.0"),
        NESTED.descriptor("latest"),
        THREE.descriptor("docker"),
        FOUR.descriptor(),
        image("signature", subject=ONE).descriptor(),
    )


async def test_all_of_a_layout_is_imported(store: Store) -> None:
    """Tags, untagged manifests, children of indexes, referrers and blobs are in the catalog afterwards."""
    write_like_zot(store)
    await store.importer.ensure(APP)
    assert await store.tags() == {"1.0": ONE.digest, "docker": THREE.digest, "latest": NESTED.digest}
    row = await store.catalog.repository(APP)
    assert row is not None
    assert row.imported
    manifests = {each.digest: each for each in await store.catalog.manifests(APP, "", 1000)}
    assert manifests.keys() == {
        each.digest for each in (ONE, TWO, THREE, FOUR, NESTED, NESTED.children[0], image("signature", subject=ONE))
    }
    assert manifests[Digest(THREE.digest)].media_type == DOCKER_MANIFEST
    assert len(await store.catalog.referrers(APP, Digest(ONE.digest), (), "", 10)) == 1
    blobs = await store.catalog.blobs(APP, "", 1000)
    assert len(blobs) == 10
    assert not manifests.keys() & {digest for digest, _ in blobs}
    modified_ns = store.layout().file(ONE.digest).stat().st_mtime_ns
    assert manifests[Digest(ONE.digest)].pushed_ns == modified_ns


async def test_an_import_does_not_write_to_the_layout(store: Store) -> None:
    """After an import no export is due, and the file does not pass for an external edit."""
    write_like_zot(store)
    before = (store.layout().path / "index.json").read_bytes()
    await store.importer.ensure(APP)
    assert not await store.is_due()
    await store.exporter.check(APP)
    assert not await store.is_due()
    assert (store.layout().path / "index.json").read_bytes() == before


async def test_a_push_into_a_layout_that_is_not_imported_loses_nothing(store: Store) -> None:
    """Hazard A4: the export after the first push shows the pushed tag and the 500 that were there."""
    layout = store.layout()
    layout.put(ONE)
    layout.write(*(ONE.descriptor(f"v{number}") for number in range(500)))
    await store.push(TWO, "new")
    assert await store.exporter.export(APP)
    assert layout.tags() == {**{f"v{number}": ONE.digest for number in range(500)}, "new": TWO.digest}


async def test_it_may_be_done_again(store: Store) -> None:
    """Adopting twice changes nothing."""
    write_like_zot(store)
    await store.importer.ensure(APP)
    before = await store.tags()
    row = await store.catalog.repository(APP)
    await store.importer.ensure(APP)
    assert await store.tags() == before
    assert await store.catalog.repository(APP) == row


async def test_many_may_do_it_at_once(make_store: MakeStore) -> None:
    """Tasks of one process share the import, several processes wait for each other; all see the complete repository."""
    catalog = MemoryCatalog()
    stores = [make_store(catalog) for _ in range(3)]
    write_like_zot(stores[0])
    await asyncio.gather(*(store.importer.ensure(APP) for store in stores for _ in range(5)))
    assert len(await stores[0].tags()) == 3
    assert len(await catalog.tag_log(APP, None, None, 100)) == 3


async def test_unreadable_entries_are_carried_along_and_logged(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Entries with missing or damaged files are counted in one log line and carried along; the rest is imported."""
    layout = store.layout()
    nonsense = b'{"schemaVersion": 2, "mediaType": "application/json"}'
    layout.put(ONE, TWO)
    layout.put_content(nonsense)
    layout.file(TWO.digest).write_bytes(b"damaged")
    layout.write(
        ONE.descriptor("one"),
        TWO.descriptor("two"),
        FOUR.descriptor("four"),
        {"mediaType": MANIFEST, "digest": f"sha256:{'0' * 63}", "size": 1},
        {**ONE.descriptor("nonsense"), "digest": sha256(nonsense)},
    )
    with caplog.at_level(logging.WARNING):
        await store.importer.ensure(APP)
    assert await store.tags() == {"one": ONE.digest, "nonsense": sha256(nonsense)}
    (line,) = [record.getMessage() for record in caplog.records]
    assert "3 of its manifests cannot be read" in line
    carried = {entry.name: entry.unread for entry in await store.catalog.carried(APP, "", 10)}
    assert carried == {"two": Unread.DAMAGED, "four": Unread.MISSING, None: Unread.DESCRIPTOR}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schemaVersion": 1, "manifests": []}', b"\xff\xfe"])
async def test_a_broken_index_refuses_its_repository_alone(store: Store, content: bytes) -> None:
    """A repository with an invalid index.json answers 503 with the reason, others serve; repaired, it is imported."""
    write_like_zot(store)
    other = parse_repository("team/other")
    broken = store.layout(other)
    broken.write()
    (broken.path / "index.json").write_bytes(content)
    with pytest.raises(Unavailable, match=r"index\.json"):
        await store.importer.ensure(other)
    await store.scanner.import_all()
    assert len(await store.tags()) == 3
    assert (broken.path / "index.json").read_bytes() == content
    broken.write(ONE.descriptor("one"))
    broken.put(ONE)
    await store.importer.ensure(other)
    assert await store.tags(other) == {"one": ONE.digest}


async def test_the_reason_of_a_broken_index_is_logged_once(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Requests for a repository that cannot be read log its reason once, and another reason when there is one."""
    layout = store.layout(APP)
    layout.write()
    for content in (b"{", b"{", b"[]", b"[]"):
        (layout.path / "index.json").write_bytes(content)
        with pytest.raises(Unavailable):
            await store.importer.ensure(APP)
    assert [record.levelname for record in caplog.records if "is not imported" in record.getMessage()] == ["ERROR"] * 2


async def test_a_request_waits_for_a_while_only(make_store: MakeStore) -> None:
    """If the import takes longer than a request should wait the answer is 503, and the import continues."""
    store = make_store(wait_s=0)
    write_like_zot(store)
    with pytest.raises(Unavailable):
        await store.importer.ensure(APP)
    await store.importer.import_layout(APP)
    assert len(await store.tags()) == 3


async def test_a_repository_that_is_nowhere_is_created(store: Store) -> None:
    """A repository without a directory is imported at once, empty, and no layout is created for it."""
    await store.importer.ensure(APP)
    row = await store.catalog.repository(APP)
    assert row is not None
    assert row.imported
    assert not await store.is_due()
    assert not store.layout().path.exists()


async def test_a_new_repository_has_nothing_to_read(make_store: MakeStore) -> None:
    """One whose directory does not exist costs a look for it, and no search for files."""
    disk = VerbsDisk()
    store = make_store(disk=disk)
    await store.files.ready(APP)
    disk.verbs.clear()
    await store.importer.ensure(APP)
    assert not {"read", "list", "create", "mkdir"} & disk.verbs.keys()
    row = await store.catalog.repository(APP)
    assert row is not None
    assert row.imported


async def test_an_unmounted_disk_is_no_empty_repository(store: Store) -> None:
    """Hazard A5: below a root that is not the expected store, nothing is imported."""
    await store.storage.ready()
    store.root.rename(store.root.with_name("elsewhere"))
    store.root.mkdir()
    with pytest.raises(StorageError):
        await store.importer.ensure(APP)
    assert await store.catalog.repository(APP) is None


async def test_one_that_was_broken_off_follows_the_file(store: Store) -> None:
    """When an interrupted import starts again, the file overrides what was imported before."""
    write_like_zot(store)
    listed = {Digest(ONE.digest): MANIFEST}
    manifests = [
        each
        async for each in read_manifests(store.files, APP, listed, MANIFEST_LIMIT_BYTES)
        if isinstance(each, LayoutManifest)
    ]
    tags = (LayoutTag(parse_tag("1.0"), Digest(ONE.digest)), LayoutTag(parse_tag("old"), Digest(ONE.digest)))
    await store.catalog.do(ImportLayout(repository=APP, manifests=tuple(manifests), tags=tags))
    store.layout().write(FOUR.descriptor("1.0"), NESTED.descriptor("latest"))
    await store.importer.ensure(APP)
    assert await store.tags() == {"1.0": FOUR.digest, "latest": NESTED.digest, "old": ONE.digest}
    assert await store.exporter.export(APP)
    assert store.layout().tags() == await store.tags()


@pytest.mark.parametrize("content", [b"", b"short"])
async def test_a_short_or_empty_file_is_not_imported(store: Store, content: bytes) -> None:
    """A file of another size than its descriptors is missing, reported, left where it is, and counted."""
    found: list[str] = []
    damage = DamageReports()
    damage.observe(found.append)
    importer = LayoutImporter(store.catalog, store.storage, store.files, damage)
    layout = store.layout()
    layout.put(ONE, TWO)
    layout.write(ONE.descriptor("1.0"), TWO.descriptor("2.0"))
    digest = Digest(sha256(ONE.blobs[-1]))
    layout.file(digest).write_bytes(content)
    await importer.ensure(APP)
    assert await store.tags() == {"1.0": ONE.digest, "2.0": TWO.digest}
    assert await store.catalog.blob(APP, digest) is None
    for blob in (*ONE.blobs[:-1], *TWO.blobs):
        assert await store.catalog.blob(APP, Digest(sha256(blob))) is not None
    assert layout.file(digest).read_bytes() == content
    assert found == ["import"]


async def test_an_empty_file_that_no_manifest_names_is_not_imported(store: Store) -> None:
    """Nothing has the digest of its name but nothing itself."""
    layout = store.layout()
    layout.put(ONE)
    layout.write(ONE.descriptor("1.0"))
    digests = [Digest(sha256(each)) for each in (b"lost", b"")]
    for digest in digests:
        layout.file(digest).write_bytes(b"")
    await store.importer.ensure(APP)
    assert [await store.catalog.blob(APP, each) is not None for each in digests] == [False, True]


async def test_a_descriptor_that_is_wrong_about_a_size_loses_nothing(store: Store) -> None:
    """The digest decides: content that has it is imported, whatever size a manifest claims."""
    layout = store.layout()
    layer = b"a layer"
    digest = Digest(sha256(layer))
    lying = json.loads(ONE.content)
    lying["layers"] = [{"mediaType": OCTET_STREAM, "digest": digest, "size": len(layer) + 7}]
    content = json.dumps(lying).encode()
    layout.put(ONE)
    layout.file(digest).write_bytes(layer)
    layout.file(sha256(content)).write_bytes(content)
    layout.write({**ONE.descriptor("1.0"), "digest": sha256(content), "size": len(content)})
    await store.importer.ensure(APP)
    blob = await store.catalog.blob(APP, digest)
    assert blob is not None
    assert blob.size == len(layer)


async def test_a_new_repository_is_the_change_of_its_first_client(store: Store) -> None:
    """Where there is nothing to import the change log names the client; a layout is no act of a client."""
    await store.importer.ensure(APP, "alice")
    other = parse_repository("other")
    store.layout(other).write(ONE.descriptor("1.0"))
    await store.importer.ensure(other, "alice")
    created = [
        (each.repository, each.by, each.source)
        for each in (await store.catalog.changes(ChangeCursor(0, 0), 100)).changes
        if each.kind is ChangeKind.REPOSITORY_CREATED
    ]
    assert created == [(APP, "alice", ChangeSource.CLIENT), (other, "", ChangeSource.IMPORT)]
