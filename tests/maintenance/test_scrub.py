"""Scrub: damaged content is found, no longer served, and healed where possible."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from maintenance.harness import APP, OTHER, Seconds, Site, drain
from zot.catalog.blob_commands import DoomBlob, ForgetBlob
from zot.catalog.layout_commands import FinishExport
from zot.catalog.manifest_commands import MendManifest
from zot.catalog.memory.driver import MemoryCatalog
from zot.maintenance.gc import CollectedLayouts
from zot.maintenance.scrub import Scrubber, ScrubResult, table
from zot.oci.digest import Digest, digest_of, hex_of
from zot.oci.names import Repository, Tag
from zot.registry import blobs
from zot.registry.damage import BAD_DIGEST, NOT_FOUND
from zot.registry.errors import BlobUnknown
from zot.registry.request import PullBlob
from zot.storage.filesystem import FilesystemStorage
from zot.storage.layout_paths import LayoutPaths
from zot.storage.threads import ThreadPools


@pytest.fixture
def pools() -> Iterator[ThreadPools]:
    """The thread pools of one test."""
    pools = ThreadPools()
    yield pools
    pools.close()


class Disk(Site):
    """A registry on a directory."""

    def __init__(self, root: Path, pools: ThreadPools) -> None:
        self.paths = LayoutPaths(str(root))
        self.pools = pools
        self.found: list[str] = []
        storage = FilesystemStorage(str(root), pools, min_free_percent=0, min_free_bytes=0)
        super().__init__(MemoryCatalog(), storage, Seconds(), Seconds())
        self.registry.damage.observe(self.found.append)

    def file(self, digest: Digest, repository: Repository = APP) -> Path:
        """Return the path of content."""
        return Path(self.paths.content(repository, digest))

    def flip(self, digest: Digest, bit: int, repository: Repository = APP) -> None:
        """Flip one bit of content."""
        path = self.file(digest, repository)
        content = bytearray(path.read_bytes())
        content[bit // 8 % len(content)] ^= 1 << bit % 8
        path.write_bytes(content)

    async def scrub(self) -> list[ScrubResult]:
        """Verify all content and return the results."""

        async def ready(_: Repository) -> None:
            return

        async def never(_: Repository) -> bool:
            return False

        found: list[ScrubResult] = []
        scrubber = Scrubber(self.registry, CollectedLayouts(ready, never), self.pools.hash, rate_bytes_s=1e12)
        await drain(scrubber.verify(lambda _: None, found.append))
        return found


@pytest.fixture
def disk(tmp_path: Path, pools: ThreadPools) -> Disk:
    """An empty registry on a directory."""
    return Disk(tmp_path / "root", pools)


async def test_intact_images_are_ok(disk: Disk) -> None:
    """Every tag is reported, and an untagged manifest by its digest."""
    await disk.image("v1", "v2", name="a")
    untagged = await disk.image(name="b")
    assert sorted(table(await disk.scrub())) == sorted((APP, tag, "ok", "", "") for tag in ("v1", "v2", untagged))


async def test_all_of_a_hundred_bit_flips_are_found(disk: Disk) -> None:
    """Each flipped bit is found, each such blob is set aside, and none of them can be read any more."""
    chance = random.Random(7)
    for number in range(100):
        await disk.image(f"v{number}", name=f"image {number}")
    everything = [digest for digest, _ in await disk.catalog.blobs(APP, "", 1000)]
    damaged = chance.sample(everything, 100)
    for digest in damaged:
        disk.flip(digest, chance.randrange(1 << 20))
    report = await disk.scrub()
    assert disk.found == ["scrub"] * 100
    whole = {digest for digest, _ in await disk.catalog.blobs(APP, "", 1000)}
    assert whole == set(everything) - set(damaged)
    for digest in damaged:
        assert not disk.file(digest).exists()
        assert await disk.catalog.blob(APP, digest) is None
    affected = {each.affected for each in report if not each.ok}
    assert affected <= {hex_of(digest) for digest in damaged}
    assert all(BAD_DIGEST in each.error for each in report if not each.ok)
    assert all(each.error == NOT_FOUND for each in await disk.scrub() if not each.ok)


async def test_another_copy_heals(disk: Disk) -> None:
    """An intact copy in a separate file heals the damaged copy of another repository."""
    await disk.image("v1")
    await disk.image("v1", repository=OTHER)
    layer = digest_of(b"layer of image")
    disk.flip(layer, 5)
    report = await disk.scrub()
    assert [(each.repository, each.ok, each.healed) for each in report] == [(OTHER, True, False), (APP, True, True)]
    assert disk.file(layer).read_bytes() == b"layer of image"
    assert await disk.catalog.blob(APP, layer)
    assert all(each.ok and not each.healed for each in await disk.scrub())


async def test_shared_bytes_are_damaged_everywhere(disk: Disk) -> None:
    """A hard link is no other copy: both repositories lack the blob, and neither is served from it."""
    await disk.image("v1")
    await disk.image("v1", repository=OTHER)
    layer = digest_of(b"layer of image")
    disk.file(layer, OTHER).unlink()
    disk.file(layer, OTHER).hardlink_to(disk.file(layer))
    disk.flip(layer, 5)
    report = await disk.scrub()
    assert [each.ok for each in report] == [False, False]
    assert await disk.catalog.repositories_with(layer, "", 10) == []


async def test_a_later_copy_heals(disk: Disk) -> None:
    """A quarantined blob is healed once another repository has it; one that never existed here is not."""
    await disk.image("v1")
    await disk.image("v1", repository=OTHER)
    layer, config = digest_of(b"layer of image"), digest_of(b"config of image")
    for repository in (APP, OTHER):
        disk.flip(layer, 5, repository)
    assert [each.ok for each in await disk.scrub()] == [False, False]
    assert await disk.blob(b"layer of image", OTHER) == layer
    assert [(each.repository, each.ok, each.healed) for each in await disk.scrub()] == [
        (OTHER, True, False),
        (APP, True, True),
    ]
    assert disk.file(layer).read_bytes() == b"layer of image"
    assert all(each.ok and not each.healed for each in await disk.scrub())
    token = "t"
    await disk.catalog.do(DoomBlob(repository=APP, digest=config, token=token, damaged=True, owner=disk.catalog.owner))
    await disk.storage.remove(APP, config)
    await disk.catalog.do(ForgetBlob(repository=APP, digest=config, token=token))
    assert [(each.repository, each.ok) for each in await disk.scrub()] == [(OTHER, True), (APP, False)]
    assert not disk.file(config).exists()


async def test_a_missing_file_is_healed_like_a_damaged_one(disk: Disk) -> None:
    """A blob without its file becomes missing in the catalog, too; pushed again it is there for every tag."""
    await disk.image("v1")
    layer = digest_of(b"layer of image")
    disk.file(layer).unlink()
    (found,) = await disk.scrub()
    assert (found.ok, found.affected, found.error) == (False, hex_of(layer), NOT_FOUND)
    assert await disk.blob(b"layer of image") == layer
    assert [each.ok for each in await disk.scrub()] == [True]
    assert await disk.catalog.unreferenced_blobs(APP, "", 10) == []


async def test_what_a_pull_found_missing_is_shown_and_healed(disk: Disk) -> None:
    """It is in the report until another repository's copy, or a file that an operator puts back, is there."""
    await disk.image("v1")
    layer = digest_of(b"layer of image")
    kept = disk.file(layer).read_bytes()
    request = PullBlob(repository=APP, digest=layer)
    for heal in ("file", "copy"):
        disk.file(layer).unlink()
        with pytest.raises(BlobUnknown):
            await blobs.check_content(disk.registry, request, await blobs.pull(disk.registry, request))
        assert disk.found[-1] == "pull"
        (found,) = await disk.scrub()
        assert (found.ok, found.affected, found.error) == (False, hex_of(layer), NOT_FOUND)
        if heal == "copy":
            await disk.blob(kept, OTHER)
        else:
            disk.file(layer).write_bytes(kept[::-1])
            assert [each.ok for each in await disk.scrub()] == [False]
            disk.file(layer).write_bytes(kept)
        assert [(each.ok, each.healed) for each in await disk.scrub()] == [(True, True)]
        assert disk.file(layer).read_bytes() == kept
        assert [(each.ok, each.healed) for each in await disk.scrub()] == [(True, False)]


@pytest.mark.parametrize("content", [None, b"", b"{}"])
async def test_a_manifests_file_is_written_again(disk: Disk, content: bytes | None) -> None:
    """A missing or damaged file of an exported manifest is written again from the catalog, and reported."""
    digest = await disk.image("v1")
    assert [each.healed for each in await disk.scrub()] == [False]
    assert not disk.file(digest).exists()
    row = await disk.catalog.repository(APP)
    assert row is not None
    await disk.catalog.do(FinishExport(repository=APP, revision=row.revision, digest="", signature=""))
    if content is not None:
        disk.file(digest).write_bytes(content)
    (found,) = await disk.scrub()
    assert (found.ok, found.healed, found.affected) == (True, True, hex_of(digest))
    assert disk.file(digest).read_bytes() == await disk.catalog.manifest_content(APP, digest)
    assert disk.found == ["scrub"]
    assert [each.healed for each in await disk.scrub()] == [False]


async def test_an_index_is_as_intact_as_its_images(disk: Disk) -> None:
    """Damage of a child's layer is reported for the index's tag; a child that is elsewhere is not missed."""
    child = await disk.image(name="child")
    await disk.index(child, digest_of(b"elsewhere"), tags=("multi",))
    layer = digest_of(b"layer of child")
    disk.flip(layer, 0)
    report = {each.tag: each for each in await disk.scrub()}
    assert report["multi"].affected == hex_of(layer)


async def test_shared_bytes_are_read_once(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred hard links to one file cost one reading."""
    await disk.image("v1")
    layer = digest_of(b"layer of image")
    await disk.image("v1", repository=OTHER)
    disk.file(layer, OTHER).unlink()
    disk.file(layer, OTHER).hardlink_to(disk.file(layer))
    said: list[str] = []
    scrubber = Scrubber(disk.registry, CollectedLayouts(_ready, _never), disk.pools.hash)
    await drain(scrubber.run(said.append))
    size = len(b"layer of image") + 2 * len(b"config of image")
    assert said[-1].startswith(f"{size} B of")


async def test_reading_is_paced(disk: Disk) -> None:
    """The pauses between steps add up to the time that the bytes may take."""
    await disk.blob(bytes(10 << 20))
    scrubber = Scrubber(disk.registry, CollectedLayouts(_ready, _never), disk.pools.hash, rate_bytes_s=5 << 20)
    assert sum(await drain(scrubber.run(lambda _: None))) == pytest.approx(2)


async def test_a_read_only_registry_is_only_verified(disk: Disk) -> None:
    """Nothing is set aside where nothing may be changed."""
    await disk.image("v1")
    disk.flip(digest_of(b"layer of image"), 3)
    object.__setattr__(disk.registry, "read_only", True)
    (found,) = await disk.scrub()
    assert not found.ok
    assert await disk.catalog.blob(APP, digest_of(b"layer of image"))
    assert await disk.catalog.resolve(APP, Tag("v1"))


async def _ready(_: Repository) -> None:
    return


async def _never(_: Repository) -> bool:
    return False


@pytest.mark.parametrize("exported", [True, False])
async def test_a_manifest_that_changed_in_the_catalog_is_found(
    tmp_path: Path, pools: ThreadPools, exported: bool
) -> None:
    """Its bytes are compared with its digest, and mended from the file of its layout if that is right."""
    disk = Disk(tmp_path, pools)
    pushed = await disk.image("v1")
    content = await disk.catalog.manifest_content(APP, pushed)
    assert content is not None
    if exported:
        await disk.storage.put(APP, pushed, content)
    await disk.catalog.do(MendManifest(repository=APP, digest=pushed, content=b"x" * len(content)))
    first = ScrubResult(APP, "v1", exported, hex_of(pushed), BAD_DIGEST, exported)
    assert await disk.scrub() == [first]
    assert disk.found == ["scrub"]
    again = ScrubResult(APP, "v1", ok=True) if exported else first
    assert await disk.scrub() == [again]


async def test_held_blobs_are_verified(disk: Disk) -> None:
    """An image whose config has no file yet is intact."""
    await disk.hold(b"config of image")
    await disk.image("v1")
    assert table(await disk.scrub()) == [(APP, "v1", "ok", "", "")]


@pytest.mark.parametrize("copy", ["none", "held", "a file"])
async def test_a_damaged_held_blob_is_found_and_healed(disk: Disk, copy: str) -> None:
    """Bytes that changed in the catalog are served no more; a copy heals them, wherever its bytes are."""
    content = b"config of image"
    config = digest_of(content)
    await disk.hold(content)
    await disk.image("v1")
    if copy == "held":
        await disk.hold(content, OTHER)
    elif copy == "a file":
        await disk.blob(content, OTHER)
    assert isinstance(disk.catalog, MemoryCatalog)
    disk.catalog._state.repositories[APP].blobs[config].held = b"damaged"
    status = "affected" if copy == "none" else "healed"
    assert table(await disk.scrub())[0][:4] == (APP, "v1", status, hex_of(config))
    assert disk.found == ["scrub"]
    row = await disk.catalog.blob(APP, config)
    if copy == "none":
        assert row is None
    else:
        assert row is not None
        assert row.held is (copy == "held")


async def test_a_held_copy_heals_a_file(disk: Disk) -> None:
    """The bytes of another repository's held blob replace a damaged file."""
    await disk.image("v1")
    config = await disk.hold(b"config of image", OTHER)
    disk.flip(config, 3)
    assert table(await disk.scrub())[0][2] == "healed"
    assert await disk.catalog.held_content(APP, config) == b"config of image"
