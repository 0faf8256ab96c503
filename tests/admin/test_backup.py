"""A backup during pushes and deletes is complete: it has all content of its catalog."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from maintenance.harness import APP, Seconds, Site, drain
from zot.admin.backup import BackupSource, back_up
from zot.admin.backup_files import BackupDirectory
from zot.admin.restore import restore
from zot.catalog.layout_commands import FinishExport, ImportLayout
from zot.catalog.manifest_commands import DeleteTag
from zot.catalog.sqlite.directory import DATABASE
from zot.catalog.sqlite.engine import SqliteCatalogEngine
from zot.catalog.sqlite.snapshot import open_snapshot
from zot.config.state_directory import StateDirectory
from zot.config.storage import StorageConfig
from zot.maintenance.stores import MaintainedStores
from zot.oci.digest import digest_of
from zot.oci.names import Repository, Tag
from zot.registry.held_blobs import place_held
from zot.storage.disk import Disk as FileSystem
from zot.storage.filesystem import FilesystemStorage
from zot.storage.identity import StoreIdentity
from zot.storage.interface import StorageError
from zot.storage.layout_paths import LayoutPaths
from zot.storage.threads import ThreadPools


@pytest.fixture
def pools() -> Iterator[ThreadPools]:
    """The thread pools of one test."""
    pools = ThreadPools()
    yield pools
    pools.close()


def engine_of(root: Path) -> SqliteCatalogEngine:
    """Return the engine of the catalog below a root."""
    return SqliteCatalogEngine(StateDirectory.of(StorageConfig(root_directory=str(root))))


class NothingToImport:
    """All layouts are in the catalog (an `Imports`)."""

    async def pending(self) -> list[Repository]:
        """Return none."""
        return []

    async def run(self, repository: Repository) -> str:
        """Refuse: it is never called."""
        raise AssertionError(repository)


class Disk(Site):
    """A registry on a directory, with the embedded catalog."""

    def __init__(self, root: Path, pools: ThreadPools) -> None:
        self.root, self.pools = root, pools
        (root / ".zot").mkdir(parents=True)
        self.identity = StoreIdentity(FileSystem(), str(root), None).establish()
        storage = FilesystemStorage(str(root), pools, min_free_percent=0, min_free_bytes=0)
        self.engine = engine_of(root)
        super().__init__(self.engine.open("boot"), storage, Seconds(), Seconds())

    async def back_up(self, target: Path) -> str:
        """Back up; return the result."""
        source = BackupSource(
            roots=[str(self.root)],
            root_of=lambda _: str(self.root),
            stores={str(self.root): self.identity},
            state=str(self.root / ".zot"),
            save=self.engine.save,
            open_saved=self.engine.open_saved,
            imports=NothingToImport(),
        )
        lines = [each async for each in back_up(source, self.catalog, str(target), self.pools.durable)]
        return str(lines[-1])


@pytest.fixture
def disk(tmp_path: Path, pools: ThreadPools) -> Disk:
    """An empty registry on a directory."""
    return Disk(tmp_path / "root", pools)


async def whole(directory: Path, root: Path) -> int:
    """Check that each blob of a copied catalog is below the root with its bytes; return their number."""
    catalog, paths, count = open_snapshot(directory / DATABASE), LayoutPaths(str(root)), 0
    for repository in await catalog.repositories("", 1000):
        for digest, _ in await catalog.blobs(repository, "", 1000):
            content = await catalog.held_content(repository, digest)
            if content is None:
                content = Path(paths.content(repository, digest)).read_bytes()
            assert digest_of(content) == digest
            count += 1
        for row in await catalog.tags(repository, "", 1000):
            assert await catalog.manifest_content(repository, row.digest)
    await catalog.close()
    return count


async def test_a_backup_under_load_is_complete(disk: Disk, tmp_path: Path) -> None:
    """The backup's catalog and content match, whatever is pushed, deleted and collected concurrently."""
    disk.configure(gcDelay="0s", retention={"delay": "0s"})
    chance = random.Random(3)
    for number in range(20):
        await disk.image(f"v{number}", name=f"first {number}", repository=Repository(f"team/app{number % 3}"))
    stop = asyncio.Event()

    async def load() -> int:
        count = 0
        while not stop.is_set():
            repository = Repository(f"team/app{count % 3}")
            if count % 2:  # the catalog holds its config, until an export comes by
                await disk.hold(f"config of load {count}".encode(), repository)
            await disk.image(f"w{count}", name=f"load {count}", repository=repository)
            if count % 3 == 0:
                async for release in place_held(disk.catalog, disk.storage, disk.registry.damage, repository):
                    await disk.catalog.do(release)
            tag = Tag(f"w{chance.randrange(count + 1)}")
            await disk.catalog.do(DeleteTag(repository=repository, tag=tag))
            if count % 5 == 0:
                await drain(disk.collector.sweep(MaintainedStores(disk.config).all[0], lambda _: None))
            count += 1
        return count

    running = asyncio.create_task(load())
    for number in range(5):
        await disk.back_up(tmp_path / f"backup {number % 2}")
    stop.set()
    assert await running > 5
    await disk.catalog.close()
    for number in range(2):
        target = tmp_path / f"backup {number}"
        snapshot_path = target / BackupDirectory(str(target)).manifest().snapshot
        assert await whole(snapshot_path, target / "content" / disk.identity) >= 40
        restored = tmp_path / f"restored {number}"
        assert list(restore(str(target), [str(restored)], str(restored / ".zot"), engine_of(restored).mark_restored))
        assert await whole(restored / ".zot", restored) >= 40


async def test_every_layout_is_due_after_a_restore(disk: Disk, tmp_path: Path) -> None:
    """A backup has no `index.json`, so a restored repository is exported again, whatever its state was."""
    await disk.image("v1", repository=APP)
    await disk.catalog.do(ImportLayout(repository=APP, complete=True))
    row = await disk.catalog.repository(APP)
    assert row is not None
    await disk.catalog.do(
        FinishExport(repository=APP, revision=row.revision, digest=digest_of(b"index"), signature="1")
    )
    assert await disk.catalog.exports_due(10) == []
    await disk.back_up(tmp_path / "backup")
    await disk.catalog.close()
    restored = tmp_path / "restored"
    assert list(
        restore(str(tmp_path / "backup"), [str(restored)], str(restored / ".zot"), engine_of(restored).mark_restored)
    )
    catalog = open_snapshot(restored / ".zot" / DATABASE)
    assert await catalog.exports_due(10) == [APP]
    export = await catalog.export(APP)
    assert export is not None
    assert export.digest is None
    await catalog.close()


async def test_held_blobs_are_in_the_backup(disk: Disk, tmp_path: Path) -> None:
    """Their bytes come with the catalog, and have no file to be missing; a restored server exports them."""
    config = await disk.hold(b"config of image")
    await disk.image("v1", repository=APP)
    await disk.back_up(tmp_path / "backup")
    await disk.catalog.close()
    root = tmp_path / "restored"
    assert list(restore(str(tmp_path / "backup"), [str(root)], str(root / ".zot"), engine_of(root).mark_restored))
    assert await whole(root / ".zot", root) == 2
    catalog = open_snapshot(root / ".zot" / DATABASE)
    assert await catalog.held_content(APP, config) == b"config of image"
    assert await catalog.exports_due(10) == [APP]
    await catalog.close()


async def test_a_second_backup_copies_what_is_new(disk: Disk, tmp_path: Path) -> None:
    """Content that the directory has is not copied again."""
    await disk.image("v1")
    assert (await disk.back_up(tmp_path / "backup")).endswith("2 new files shared, 1 copied")
    await disk.image("v2", name="second")
    assert (await disk.back_up(tmp_path / "backup")).endswith("2 new files shared, 1 copied")
    await disk.catalog.close()


async def test_a_backup_for_other_roots_is_refused(disk: Disk, tmp_path: Path) -> None:
    """A configuration with more stores than the backup restores nothing."""
    await disk.image("v1", repository=APP)
    await disk.back_up(tmp_path / "backup")
    await disk.catalog.close()
    roots = [str(tmp_path / "a"), str(tmp_path / "b")]
    with pytest.raises(StorageError, match="1 roots"):
        list(restore(str(tmp_path / "backup"), roots, str(tmp_path / "c"), engine_of(tmp_path / "c").mark_restored))
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("inside", ["", "backup", "link/backup"])
async def test_a_backup_within_the_store_is_refused(disk: Disk, inside: str) -> None:
    """It would lie among the repositories, and be lost with them; nothing is made there."""
    await disk.image("v1")
    (disk.root.parent / "link").symlink_to(disk.root)
    target = disk.root.parent / inside if inside.startswith("link") else disk.root / inside
    with pytest.raises(StorageError, match="name another directory"):
        await disk.back_up(target)
    assert not (disk.root / "backup").exists()
    await disk.catalog.close()
