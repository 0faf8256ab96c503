"""Export: a layout shows what the catalog has, and is complete at every moment."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from layout.conftest import MakeStore
from layout.images import REF_NAME, Layout, image, index
from layout.store import APP, Store
from storage.failing_disk import ObservedDisk
from storage.pushing import begin
from zot.catalog.blob_commands import ClaimBlob, DoomBlob, ForgetBlob, PublishBlob
from zot.catalog.command import Command
from zot.catalog.interface import Outcome
from zot.catalog.layout_commands import BeginExport, FinishExport, ImportLayout, LayoutBlob
from zot.catalog.manifest_commands import MendManifest
from zot.catalog.memory.driver import MemoryCatalog
from zot.layout.interface import FileSignature, IndexVersion, Placed, StagedIndex
from zot.oci.digest import Digest
from zot.oci.names import Repository
from zot.storage.interface import StorageError, UploadKey

ONE, TWO, THREE = image("one"), image("two"), image("three")
BOTH = index(ONE, TWO)


def is_whole(layout: Layout) -> bool:
    """Tell whether all that the layout lists is there, with all that it names."""
    return all(layout.file(each["digest"]).is_file() for each in layout.read_index()["manifests"])


async def test_the_layout_shows_tags_and_manifests(store: Store) -> None:
    """Each tag has a descriptor, each manifest without a tag has one; zot's files and modes."""
    await store.push(BOTH, "latest", "1.0")
    await store.push(THREE)
    assert await store.exporter.export(APP)
    layout = store.layout()
    assert layout.tags() == {"1.0": BOTH.digest, "latest": BOTH.digest}
    assert sorted(layout.untagged()) == sorted([ONE.digest, TWO.digest, THREE.digest])
    assert layout.read_index()["schemaVersion"] == 2
    assert is_whole(layout)
    assert json.loads((layout.path / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    assert (layout.path / "index.json").stat().st_mode & 0o777 == 0o600
    assert not await store.is_due()
    assert [path.name for path in (layout.path / ".uploads").iterdir()] == []


async def test_an_export_that_is_not_due_writes_nothing(store: Store) -> None:
    """A layout that is in sync is not written."""
    await store.push(ONE, "one")
    await store.exporter.export(APP)
    before = (store.layout().path / "index.json").stat()
    assert await store.exporter.export(APP)
    assert (store.layout().path / "index.json").stat() == before


async def test_files_come_before_the_index_that_lists_them(make_store: MakeStore) -> None:
    """Manifest files are in place and synced, and the new index.json is synced, before it is renamed into place."""
    disk = ObservedDisk()
    store = make_store(disk=disk)
    await store.push(ONE, "one")
    disk.operations.clear()
    await store.exporter.export(APP)
    done = [(each.verb, Path(each.path).name, Path(each.target).name) for each in disk.operations]
    staged, hexes = ".index.json.staged", ONE.digest.partition(":")[2]
    put = next(number for number, each in enumerate(done) if each[0] == "rename" and each[2] == hexes)
    manifest_synced = done.index(("sync directory", "sha256", ""), put)
    index_synced = done.index(("sync", staged, ""))
    placed = done.index(("rename", staged, "index.json"))
    assert put < manifest_synced < placed
    assert max(number for number, each in enumerate(done) if each[:2] == ("write", staged)) < index_synced < placed
    assert ("sync directory", "app", "") in done[placed:]


async def test_the_files_of_deleted_manifests_are_removed(store: Store) -> None:
    """A deleted manifest's file is removed after an export, so that it does not pass for another program's addition."""
    await store.push(ONE, "one")
    await store.push(TWO)
    await store.push(THREE, "three")
    await store.exporter.export(APP)
    for each in (ONE, TWO):
        await store.delete(each)
    await store.exporter.export(APP)
    layout = store.layout()
    assert not layout.file(ONE.digest).exists()
    assert not layout.file(TWO.digest).exists()
    assert layout.tags() == {"three": THREE.digest}
    assert not layout.untagged()
    assert not await store.catalog.doomed(10)


async def test_a_moved_tag_keeps_its_manifest(store: Store) -> None:
    """A manifest whose tag moved away or was deleted is listed without one, and its file stays."""
    await store.push(ONE, "x")
    await store.push(TWO, "y")
    await store.exporter.export(APP)
    await store.push(THREE, "x")
    await store.delete_tag("y")
    await store.exporter.export(APP)
    layout = store.layout()
    assert layout.tags() == {"x": THREE.digest}
    assert sorted(layout.untagged()) == sorted([ONE.digest, TWO.digest])
    assert is_whole(layout)


async def test_a_file_that_is_a_blob_as_well_stays(store: Store) -> None:
    """A manifest's bytes may have been pushed as a blob: its file stays while there is a row or a claim."""
    for each, token in ((ONE, "published"), (TWO, "claimed")):
        await store.push(each, token)
        digest = Digest(each.digest)
        await store.catalog.do(ClaimBlob(repository=APP, digest=digest, token=token, owner=store.catalog.owner))
    size = len(ONE.content)
    await store.catalog.do(PublishBlob(repository=APP, digest=Digest(ONE.digest), token="published", size=size))
    await store.exporter.export(APP)
    await store.delete(ONE)
    await store.delete(TWO)
    await store.exporter.export(APP)
    assert store.layout().file(ONE.digest).is_file()
    assert store.layout().file(TWO.digest).is_file()


async def test_fields_of_other_programs_are_kept(store: Store) -> None:
    """Platforms, annotations and unknown fields outlive exports for as long as the tag stays where it is."""
    layout = store.layout()
    layout.put(ONE, TWO)
    platform = {"os": "linux", "architecture": "arm64"}
    layout.write(
        ONE.descriptor("one", platform=platform, annotations={"org.example": "kept"}, foreign=[1, {"a": None}]),
        TWO.descriptor(platform=platform),
        annotations={"org.example.index": "kept"},
        foreign=True,
    )
    for number in range(3):
        await store.push(image(f"more {number}"), "more")
        await store.exporter.export(APP)
    document = layout.read_index()
    one = next(each for each in document["manifests"] if each.get("annotations", {}).get(REF_NAME) == "one")
    two = next(each for each in document["manifests"] if each["digest"] == TWO.digest)
    assert one["platform"] == two["platform"] == platform
    assert one["annotations"]["org.example"] == "kept"
    assert one["foreign"] == [1, {"a": None}]
    assert document["annotations"]["org.example.index"] == "kept"
    assert document["foreign"] is True
    await store.push(THREE, "one")
    await store.exporter.export(APP)
    one = next(each for each in layout.read_index()["manifests"] if each["digest"] == THREE.digest)
    assert one == THREE.descriptor("one")


async def test_an_index_that_vanished_is_put_back(store: Store) -> None:
    """A missing index.json deletes nothing: it is written again."""
    await store.push(ONE, "one")
    await store.exporter.export(APP)
    layout = store.layout()
    (layout.path / "index.json").unlink()
    await store.exporter.check(APP)
    assert await store.exporter.export(APP)
    assert layout.tags() == {"one": ONE.digest}
    (layout.path / "index.json").unlink()
    (layout.path / "oci-layout").unlink()
    await store.exporter.check(APP)
    assert await store.exporter.export(APP)
    assert (layout.path / "oci-layout").is_file()


async def test_a_broken_index_is_replaced(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """An index.json that stays unreadable is retried and then replaced, while the catalog serves."""
    await store.push(ONE, "one")
    await store.exporter.export(APP)
    layout = store.layout()
    (layout.path / "index.json").write_text('{"schemaVersion": 2, "manifests": [')
    with caplog.at_level(logging.WARNING):
        await store.exporter.check(APP)
    assert "index.json" in caplog.text
    assert await store.tags() == {"one": ONE.digest}
    assert await store.exporter.export(APP)
    assert layout.tags() == {"one": ONE.digest}


async def test_a_crash_before_the_export_is_recorded_is_no_external_edit(make_store: MakeStore) -> None:
    """Hazard A2: an index.json that we were about to put in place is ours, by its intent, whatever happened since."""
    catalog = ForgetfulCatalog()
    store = make_store(catalog)
    await store.push(ONE, "x")
    await store.push(ONE, "gone")
    assert await store.exporter.export(APP)
    row = await catalog.export(APP)
    assert row is not None
    assert row.intent is not None
    await store.push(TWO, "x")
    await store.delete_tag("gone")
    await store.exporter.check(APP)
    assert await store.tags() == {"x": TWO.digest}
    catalog.forgets = False
    assert await store.is_due()
    assert await store.exporter.export(APP)
    assert store.layout().tags() == {"x": TWO.digest}


class ForgetfulCatalog(MemoryCatalog):
    """A catalog that loses the record of a finished export, which is not durable."""

    forgets = True

    async def do(self, command: Command[Outcome]) -> Outcome:
        """Carry out a change, or lose it."""
        if self.forgets and isinstance(command, FinishExport):
            nothing: Any = None
            return nothing  # type: ignore[no-any-return] # the outcome of Exported
        return await super().do(command)


async def test_a_copied_store_is_still_ours(store: Store) -> None:
    """A file with another inode and time, but the bytes of the last export, is no external edit."""
    await store.push(ONE, "one")
    await store.exporter.export(APP)
    layout = store.layout()
    content = (layout.path / "index.json").read_bytes()
    (layout.path / "index.json").unlink()
    (layout.path / "index.json").write_bytes(content)
    await store.exporter.check(APP)
    assert not await store.is_due()
    row = await store.catalog.export(APP)
    assert row is not None
    signature = await store.files.signature(APP)
    assert signature is not None
    assert (row.signature or "").startswith(":".join(map(str, signature)))


async def test_a_repository_that_is_not_imported_is_not_exported(store: Store) -> None:
    """A repository is exported only after it is completely imported."""
    layout = store.layout()
    layout.write(ONE.descriptor("one"))
    await store.catalog.do(ImportLayout(repository=APP, blobs=(LayoutBlob(Digest(TWO.digest), 1),)))
    await store.exporter.export(APP)
    assert layout.tags() == {"one": ONE.digest}
    assert not await store.catalog.do(BeginExport(repository=APP, digest="0" * 64, owner=store.catalog.owner))


async def test_a_disk_that_is_not_mounted_is_not_written_to(store: Store) -> None:
    """Hazard A5: below another root than before nothing is exported or deleted."""
    await store.push(ONE, "one")
    await store.exporter.export(APP)
    await store.push(TWO, "two")
    store.root.rename(store.root.with_name("elsewhere"))
    store.root.mkdir()
    with pytest.raises(StorageError):
        await store.exporter.export(APP)
    with pytest.raises(StorageError):
        await store.exporter.check(APP)
    assert list(store.root.iterdir()) == []
    assert await store.is_due()


async def test_an_empty_repository_is_removed_with_its_layout(store: Store) -> None:
    """An empty repository is removed from catalog and disk; one that has something stays."""
    await store.push(ONE, "one")
    await store.exporter.export(APP)
    assert not await store.exporter.remove(APP)
    await store.delete(ONE)
    assert not await store.exporter.remove(APP)  # its blobs are still there
    for digest, _ in await store.catalog.blobs(APP, "", 10):
        await store.catalog.do(DoomBlob(repository=APP, digest=digest, token="t", owner=store.catalog.owner))
        await store.storage.remove(APP, digest)
        await store.catalog.do(ForgetBlob(repository=APP, digest=digest, token="t"))
    assert await store.exporter.remove(APP)
    assert await store.catalog.repository(APP) is None
    assert not store.layout().path.exists()
    assert [name async for name in store.files.repositories()] == []


async def test_a_repository_with_unknown_files_is_not_removed(store: Store) -> None:
    """A repository with an orphan file stays, since the walk finds such files by their repositories."""
    await store.push(ONE, "one")
    await store.delete(ONE)
    for digest, _ in await store.catalog.blobs(APP, "", 10):
        await store.catalog.do(DoomBlob(repository=APP, digest=digest, token="t", owner=store.catalog.owner))
        await store.catalog.do(ForgetBlob(repository=APP, digest=digest, token="t"))
    assert not await store.exporter.remove(APP)
    async for file in store.storage.walk(APP):
        await store.storage.remove(APP, file.digest)
    await begin(store.storage, UploadKey(APP, "left"))
    assert not await store.exporter.remove(APP)
    await store.storage.discard(UploadKey(APP, "left"))
    assert await store.exporter.remove(APP)


async def test_a_layout_that_lists_what_is_missing_is_not_removed(store: Store) -> None:
    """Its files may be on their way, or on another disk: it is no empty repository, and stays as it is."""
    store.layout().write(ONE.descriptor("one"))
    await store.importer.ensure(APP)
    await store.exporter.check(APP)
    assert not await store.is_due()
    assert not await store.exporter.remove(APP)
    assert store.layout().tags() == {"one": ONE.digest}
    store.layout().put(ONE)
    store.layout().write(ONE.descriptor("one"), annotations={"completed": "now"})
    await store.exporter.check(APP)
    assert await store.tags() == {"one": ONE.digest}


async def test_what_changes_while_it_is_exported_stays_due(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The revision is read before the state: a change in between is exported later, if not now."""
    await store.push(ONE, "one")
    await store.push(TWO, "two")
    await _concurrently(store, monkeypatch, lambda: store.delete(TWO))
    assert await store.exporter.export(APP)
    assert await store.is_due()
    assert await store.exporter.export(APP)
    assert store.layout().tags() == {"one": ONE.digest}


async def test_a_manifest_is_not_lost_between_two_passes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest whose only tag is deleted while tags are listed is listed without one, not left out."""

    async def change() -> None:
        await store.push(THREE, "a")
        await store.delete_tag("z")

    await store.push(ONE, "a")
    await store.push(TWO, "z")
    await _concurrently(store, monkeypatch, change)
    assert await store.exporter.export(APP)
    layout = store.layout()
    assert {ONE.digest, TWO.digest, THREE.digest} <= {*layout.tags().values(), *layout.untagged()}
    assert is_whole(layout)
    assert await store.files.signature(APP, IndexVersion.REPLACED) is None


async def _concurrently(store: Store, monkeypatch: pytest.MonkeyPatch, change: Callable[[], Awaitable[None]]) -> None:
    """Have something changed when the next export reads its first manifest, in the middle of its list."""
    read = store.catalog.manifest_content

    async def change_and_read(repository: Repository, digest: Digest) -> bytes | None:
        monkeypatch.undo()
        await change()
        return await read(repository, digest)

    monkeypatch.setattr(store.catalog, "manifest_content", change_and_read)


async def test_a_manifest_that_is_pushed_again_has_its_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest that is deleted while its index is placed, and pushed again, has its file."""
    await store.push(ONE, "moving")
    await store.exporter.export(APP)
    await store.push(TWO, "moving")
    place = store.files.place

    async def changing(repository: Repository, staged: StagedIndex, seen: FileSignature | None) -> Placed | None:
        await store.delete(ONE)
        return await place(repository, staged, seen)

    with monkeypatch.context() as patch:
        patch.setattr(store.files, "place", changing)
        await store.exporter.export(APP)
    assert is_whole(store.layout())
    await store.push(ONE)
    await store.exporter.export(APP)
    assert store.layout().untagged() == [ONE.digest]
    assert is_whole(store.layout())
    await store.delete(ONE)
    await store.exporter.export(APP)
    assert not store.layout().file(ONE.digest).exists()


async def test_damaged_bytes_never_replace_a_right_file(store: Store) -> None:
    """Damaged bytes in the catalog's database are restored from the layout's file, and do not overwrite it."""
    await store.push(ONE, "one")
    await store.exporter.export(APP)
    await store.catalog.do(MendManifest(repository=APP, digest=Digest(ONE.digest), content=b"x" * len(ONE.content)))
    # So that every manifest's file is looked at, not only those of new ones.
    (store.layout().path / "index.json").unlink()
    await store.push(TWO, "two")
    assert await store.exporter.export(APP)
    assert store.layout().file(ONE.digest).read_bytes() == ONE.content
    assert await store.catalog.manifest_content(APP, Digest(ONE.digest)) == ONE.content


async def test_damaged_bytes_are_not_exported(store: Store) -> None:
    """Without a right file there is none, rather than a wrong one."""
    await store.push(ONE, "one")
    await store.catalog.do(MendManifest(repository=APP, digest=Digest(ONE.digest), content=b"x" * len(ONE.content)))
    assert await store.exporter.export(APP)
    assert not store.layout().file(ONE.digest).exists()
