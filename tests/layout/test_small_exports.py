"""Small repositories that are exported together have the layouts that exports alone would write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest

from layout.conftest import MakeStore
from layout.images import image, index
from layout.store import APP, Store
from storage.failing_disk import ObservedDisk
from zot.catalog.blob_commands import PutBlob
from zot.catalog.command import Command
from zot.catalog.interface import Outcome
from zot.catalog.layout_commands import BeginExport, FinishExport
from zot.catalog.memory.driver import MemoryCatalog
from zot.layout.interface import IndexVersion, Placed, Replacement
from zot.oci.digest import Digest, digest_of
from zot.oci.names import Repository, parse_repository

ONE, TWO, THREE = image("one"), image("two"), image("three")
BOTH = index(ONE, TWO)
NAMES = [parse_repository(f"team/app-{number}") for number in range(3)]


async def hold(store: Store, repository: Repository, content: bytes) -> Digest:
    """Push a small blob."""
    await store.importer.ensure(repository)
    digest = digest_of(content)
    await store.catalog.do(PutBlob(repository=repository, digest=digest, content=content))
    return digest


async def fill(store: Store, repository: Repository) -> None:
    """Export what another program has added to, then push, move and delete tags and manifests."""
    await store.push(BOTH, "both", "1.0", repository=repository)
    await store.push(THREE, repository=repository)
    await store.exporter.export(repository)
    layout = store.layout(repository)
    document = layout.read_index()
    for each in document["manifests"]:
        each["platform"] = {"os": "linux", "architecture": "arm64"}
    layout.write(*document["manifests"], BOTH.descriptor("not+a+tag"), annotations={"org.example": "kept"})
    await store.exporter.export(repository)
    await store.exporter.check(repository)
    await store.exporter.export(repository)
    await store.push(image("four"), "4", "1.0", repository=repository)
    await store.delete_tag("both", repository)
    await store.delete(THREE, repository)
    await hold(store, repository, b"held")


def layout_files(root: Path) -> dict[str, bytes]:
    """Return the files of a layout, by their paths in it."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("fresh", [True, False])
async def test_a_turn_writes_what_exports_alone_write(store: Store, *, fresh: bool) -> None:
    """Tags, manifests without one, carried entries, other programs' fields, held blobs: the same files."""
    for repository in NAMES:
        if fresh:
            await store.push(BOTH, "both", "1.0", repository=repository)
            await store.push(THREE, repository=repository)
            await hold(store, repository, b"held")
        else:
            await fill(store, repository)
    together, alone = NAMES[:2], NAMES[2]
    assert await store.exporter.export_together(together) == set(together)
    assert await store.exporter.export(alone)
    expected = layout_files(store.root / alone)
    shown = [store.layout(name).read_index()["annotations"].pop("dev.zotregistry.layout.shown") for name in NAMES]
    for repository, shown_ns in zip(together, shown, strict=False):
        found = layout_files(store.root / repository)
        found["index.json"] = found["index.json"].replace(shown_ns.encode(), shown[2].encode())
        assert found == expected
    assert not await store.catalog.exports_due(10)
    for repository in NAMES:
        assert not await store.catalog.held_blobs(repository, "", 9)


async def test_a_turn_of_layouts_in_sync_writes_nothing(store: Store) -> None:
    """What is exported is recognised by the next export, and not written again."""
    await store.push(ONE, "one")
    assert await store.exporter.export_together([APP]) == {APP}
    before = (store.layout().path / "index.json").stat()
    assert await store.exporter.export_together([APP]) == {APP}
    assert await store.exporter.export(APP)
    assert (store.layout().path / "index.json").stat() == before


async def test_all_files_are_synced_before_any_index_is_placed(make_store: MakeStore) -> None:
    """Content has its synced names, and each index.json its synced bytes and its record, before the first rename."""
    disk = ObservedDisk()
    store = make_store(disk=disk)
    for repository in NAMES:
        await store.push(ONE, "one", repository=repository)
    disk.operations.clear()
    begun_after: list[int] = []
    do = store.catalog.do

    async def observe(command: Command[Outcome]) -> Outcome:
        if isinstance(command, BeginExport):
            begun_after.append(len(disk.operations))
        return await do(command)

    store.catalog.do = observe  # type: ignore[method-assign] # to see when it is asked
    assert await store.exporter.export_together(NAMES) == set(NAMES)
    done = [(each.verb, Path(each.path).name, Path(each.target).name) for each in disk.operations]
    placed = [number for number, each in enumerate(done) if each == ("rename", ".index.json.staged", "index.json")]
    named = [number for number, each in enumerate(done) if each[0] == "rename" and each[2] == ONE.digest[7:]]
    assert len(placed) == len(named) == len(begun_after) == len(NAMES)
    assert max(begun_after) <= placed[0]
    for verb, name, after in (("sync directory", "sha256", max(named)), ("sync", ".index.json.staged", -1)):
        synced = [number for number, each in enumerate(done) if each[:2] == (verb, name)]
        assert len(synced) == len(NAMES)
        assert after < min(synced)
        assert max(synced) < min(begun_after)
    assert [each[:2] for each in done[placed[-1] + 1 :] if each[0] == "sync directory"] == [
        ("sync directory", name.rpartition("/")[2]) for name in NAMES
    ]


async def test_files_of_deleted_manifests_are_removed(store: Store) -> None:
    """A manifest that the new file does not list has no file, unless the catalog has its bytes as a blob."""
    await store.push(ONE, "one")
    await store.push(TWO, "two")
    await store.push(THREE, "three")
    await store.exporter.export_together([APP])
    await store.delete(ONE)
    await store.delete(TWO)
    await hold(store, APP, TWO.content)
    assert await store.exporter.export_together([APP]) == {APP}
    assert not store.layout().file(ONE.digest).exists()
    assert store.layout().file(TWO.digest).read_bytes() == TWO.content
    assert store.layout().tags() == {"three": THREE.digest}


async def edited(store: Store) -> None:
    """Let another program write `index.json`."""
    store.layout().put(TWO)
    store.layout().write(*store.layout().read_index()["manifests"], TWO.descriptor("theirs"))


async def removed(store: Store) -> None:
    """Let another program remove `index.json`."""
    (store.layout().path / "index.json").unlink()


async def torn(store: Store) -> None:
    """Let another program be writing."""
    (store.layout().path / "index.json").write_bytes(b'{"manifests":[')


async def replaced(store: Store) -> None:
    """Let a replaced file be left by a server that died."""
    path = store.layout().path
    (path / ".uploads/.index.json.replaced").write_bytes((path / "index.json").read_bytes())


async def many(store: Store) -> None:
    """Push more tags than a turn takes of a repository."""
    await store.push(ONE, *(f"t{number}" for number in range(20)))


@pytest.mark.parametrize("happen", [edited, removed, torn, replaced, many])
async def test_what_is_not_plain_is_left_to_an_export_alone(
    store: Store, happen: Callable[[Store], Awaitable[None]]
) -> None:
    """It is neither written nor recorded; the others of the turn are, and an export alone copes with it."""
    other = NAMES[0]
    await store.push(ONE, "one")
    await store.exporter.export(APP)
    await store.push(THREE, "three")
    await store.push(ONE, "one", repository=other)
    await happen(store)
    before = layout_files(store.root / APP)
    assert await store.exporter.export_together([APP, other]) == {other}
    assert layout_files(store.root / APP) == before
    assert await store.is_due()
    while await store.is_due():
        assert await store.exporter.export(APP)
    assert store.layout().tags()["three"] == THREE.digest
    assert ("theirs" in store.layout().tags()) == (happen is edited)


async def test_damaged_held_bytes_are_left(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn writes no file under a digest that its bytes do not have."""
    await store.push(ONE, "one")
    await hold(store, APP, b"held")
    monkeypatch.setattr("zot.layout.small_exports.has_digest", lambda *_: False)
    assert await store.exporter.export_together([APP]) == set()
    assert await store.is_due()


async def test_a_locked_layout_is_left(make_store: MakeStore) -> None:
    """A layout that another process imports or merges is exported later."""
    catalog = MemoryCatalog()
    store, other = make_store(catalog), make_store(catalog)
    for repository in (APP, NAMES[0]):
        await store.push(ONE, "one", repository=repository)
    async with other.files.lock(APP) as locked:
        assert locked
        assert await store.exporter.export_together([APP, NAMES[0]]) == {NAMES[0]}
    assert await store.exporter.export_together([APP]) == {APP}


async def test_an_edit_at_the_last_moment_is_merged(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that another program writes between the look and the rename is merged, not lost."""
    await store.push(ONE, "one")
    await store.exporter.export(APP)
    await store.push(THREE, "three")
    place_all = store.files.place_all

    async def late(replacements: Mapping[Repository, Replacement]) -> Mapping[Repository, Placed]:
        await edited(store)
        return await place_all(replacements)

    monkeypatch.setattr(store.files, "place_all", late)
    assert await store.exporter.export_together([APP]) == set()
    monkeypatch.undo()
    while await store.is_due():
        await store.exporter.export(APP)
    assert store.layout().tags() == {"one": ONE.digest, "theirs": TWO.digest, "three": THREE.digest}
    assert await store.tags() == store.layout().tags()


async def test_changes_during_a_turn_stay_due(store: Store) -> None:
    """A push between the read and the record is shown by the next export."""
    await store.push(ONE, "one")
    stage_all = store.files.stage_all

    async def push_meanwhile(indexes: Mapping[Repository, bytes]) -> object:
        await store.push(TWO, "two")
        return await stage_all(indexes)

    store.files.stage_all = push_meanwhile  # type: ignore[assignment,method-assign] # once
    await store.exporter.export_together([APP])
    store.files.stage_all = stage_all  # type: ignore[method-assign] # as it was
    assert store.layout().tags() == {"one": ONE.digest}
    assert await store.is_due()
    assert await store.exporter.export_together([APP]) == {APP}
    assert store.layout().tags() == {"one": ONE.digest, "two": TWO.digest}


async def test_a_crash_before_the_record_is_recognised(store: Store) -> None:
    """An index.json that was placed, and not recorded as exported, passes for our own."""
    await store.push(ONE, "one")
    do = store.catalog.do

    async def die(command: Command[Outcome]) -> Outcome:
        if isinstance(command, FinishExport):
            await asyncio.sleep(0)
            raise asyncio.CancelledError
        return await do(command)

    store.catalog.do = die  # type: ignore[method-assign] # the process dies
    with pytest.raises(asyncio.CancelledError):
        await store.exporter.export_together([APP])
    store.catalog.do = do  # type: ignore[method-assign] # it starts again
    await store.delete_tag("one")
    await store.push(TWO, "two")
    assert await store.exporter.export_together([APP]) == set()
    assert await store.exporter.export(APP)
    assert store.layout().tags() == {"two": TWO.digest}
    assert await store.files.signature(APP, IndexVersion.REPLACED) is None
