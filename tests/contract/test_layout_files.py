"""The contract of `zot.layout.interface.LayoutFiles`, tested with every driver."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import pytest

from layout.images import image, sha256
from zot.catalog.rows import Unread
from zot.config.driver_options import S3, driver_options
from zot.layout.filesystem import FilesystemLayouts
from zot.layout.index_json import InvalidLayoutError
from zot.layout.interface import FoundIndex, IndexSignatures, IndexVersion, LayoutFiles, Replacement
from zot.layout.object_store.layouts import ObjectStoreLayouts
from zot.layout.per_store import PerStoreLayouts
from zot.oci.digest import Digest
from zot.oci.names import Repository, parse_repository
from zot.storage.interface import StorageError
from zot.storage.object_store.interface import ObjectMissingError
from zot.storage.object_store.local_locks import LocalLocks
from zot.storage.object_store.s3 import S3Objects
from zot.storage.threads import ThreadPools

APP = parse_repository("team/app")
NESTED = parse_repository("team/app/nested")
OTHER = parse_repository("team/app2")
OCI_LAYOUT = b'{"imageLayoutVersion": "1.0.0"}'
EMPTY_INDEX = b'{"schemaVersion":2,"manifests":[]}'


class Place(Protocol):
    """Where a driver keeps layouts, as another program reads and writes it."""

    files: LayoutFiles
    other: LayoutFiles
    """The driver of another process."""
    drivers: list[LayoutFiles]
    """All that are behind them."""

    async def write(self, path: str, content: bytes) -> None:
        """Write a file or object, or replace it as a whole."""

    async def read(self, path: str) -> bytes | None:
        """Return all bytes, None if it is missing."""

    async def remove(self, path: str) -> None:
        """Remove it."""


async def ready(_: Repository) -> None:
    """Be the right store."""


class Directories:
    """Roots on a file system (`Place`)."""

    def __init__(self, roots: Mapping[str, Path], pools: ThreadPools) -> None:
        """Use a directory for all names, or one for the names below `team` and another for the others."""
        self._roots = roots
        self._pools = pools
        self.drivers: list[LayoutFiles] = []
        self.files = self._layouts()
        self.other = self._layouts()
        for each in roots.values():
            each.mkdir()

    def _layouts(self) -> LayoutFiles:
        stores = {
            root: FilesystemLayouts([str(root)], lambda name: str(self._root_of(name)), ready, self._pools)
            for root in self._roots.values()
        }
        self.drivers += stores.values()
        if len(stores) == 1:
            return self.drivers[-1]
        return PerStoreLayouts(list(stores.values()), lambda name: stores[self._root_of(name)])

    def _root_of(self, path: str) -> Path:
        return self._roots.get(path.partition("/")[0], self._roots[""])

    async def write(self, path: str, content: bytes) -> None:
        """Write a file, replacing one by its name."""
        file = self._root_of(path) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_name(f"{file.name}.new")
        new.write_bytes(content)
        new.rename(file)
        self._wait_for_a_tick(file.parent)

    def _wait_for_a_tick(self, changed: Path) -> None:
        """Wait until the clock of file times goes on: changes in one of its ticks have the same time."""
        clock = self._roots[""].with_name("clock")
        while not clock.exists() or clock.stat().st_mtime_ns <= changed.stat().st_mtime_ns:
            clock.touch()

    async def read(self, path: str) -> bytes | None:
        """Read a file."""
        with suppress(FileNotFoundError):
            return (self._root_of(path) / path).read_bytes()
        return None

    async def remove(self, path: str) -> None:
        """Remove a file."""
        file = self._root_of(path) / path
        file.unlink()
        self._wait_for_a_tick(file.parent)


class Bucket:
    """A bucket (`Place`)."""

    def __init__(self, objects: S3Objects, locks: Path, pools: ThreadPools) -> None:
        """Use an empty bucket."""
        self._objects = objects
        self.files: LayoutFiles = ObjectStoreLayouts(objects, ready, pools, LocalLocks(str(locks), pools.read))
        self.other: LayoutFiles = ObjectStoreLayouts(objects, ready, pools, LocalLocks(str(locks), pools.read))
        self.drivers: list[LayoutFiles] = [self.files, self.other]

    async def write(self, path: str, content: bytes) -> None:
        """Write an object."""
        await self._objects.write(path, [content])

    async def read(self, path: str) -> bytes | None:
        """Read an object."""
        with suppress(ObjectMissingError):
            return (await self._objects.open(path, 1 << 28))[1]
        return None

    async def remove(self, path: str) -> None:
        """Remove an object."""
        await self._objects.remove(path)


@pytest.fixture(scope="module")
def pools() -> Iterator[ThreadPools]:
    """The threads that all tests share."""
    pools = ThreadPools()
    yield pools
    pools.close()


@pytest.fixture(params=["filesystem", "sub-path", pytest.param("object store", marks=pytest.mark.needs("versitygw"))])
async def place(request: pytest.FixtureRequest, tmp_path: Path, pools: ThreadPools) -> AsyncIterator[Place]:
    """An empty place of each kind."""
    roots = {"": tmp_path / "root"}
    if request.param == "sub-path":
        roots["team"] = tmp_path / "team"
    if request.param != "object store":
        yield Directories(roots, pools)
        return
    parameters = request.getfixturevalue("s3_server").make_bucket()
    objects = S3Objects(driver_options(parameters, S3, "storageDriver"), "zot")
    yield Bucket(objects, tmp_path / "locks", pools)
    await objects.close()


async def write_layout(place: Place, path: str, index: bytes = EMPTY_INDEX) -> None:
    """Write a layout as another program does."""
    await place.write(f"{path}/index.json", index)
    await place.write(f"{path}/oci-layout", OCI_LAYOUT)


async def names(files: LayoutFiles) -> list[Repository]:
    """Return all names, sorted."""
    return sorted([name async for name in files.repositories()])


async def pieces(*contents: bytes) -> AsyncIterator[bytes]:
    """Give the contents."""
    for content in contents:
        yield content


def index_of(number: int) -> bytes:
    """Return an index of that many tags."""
    one = image("one")
    return json.dumps({"schemaVersion": 2, "manifests": [one.descriptor(f"t{n}") for n in range(number)]}).encode()


async def test_all_layouts_are_found_and_nothing_else(place: Place) -> None:
    """Nested repositories are found; what is no layout, and what programs keep for themselves, is skipped."""
    found = ["a/b/c/d", "app", "app-2", "app2", "team/app", "team/app/nested", "team/app/z"]
    for path in (*found, "_trivy/db", ".zot/exports", "app/.uploads/x", "app/.sync/u/other"):
        await write_layout(place, path)
        await place.write(f"{path}/blobs/sha256/{'0' * 64}", b"x")
    await place.write("no-marker/index.json", EMPTY_INDEX)
    await place.write("no-index/oci-layout", OCI_LAYOUT)
    await place.write("no-layout/blobs/sha256/0", b"x")
    await place.write("cache.db", b"")
    assert await names(place.files) == found
    wanted = [APP, parse_repository("no-index"), parse_repository("no-marker"), parse_repository("x/y")]
    assert await place.files.existing(wanted) == [APP]
    assert [each async for each in place.files.unserved()] == []


async def test_a_layout_without_a_name_of_its_own_is_told(place: Place) -> None:
    """A layout that no repository can have, or that lies within another one, is named with the reason."""
    for path in ("app", "app/blobs", "Upper", "free/blobs", "free/blobs/x/index.json/y", "e f/below"):
        await write_layout(place, path)
    assert await names(place.files) == ["app", "free/blobs", "free/blobs/x/index.json/y"]
    unserved = [each async for each in place.files.unserved()]
    assert {each.path.rpartition("/")[2]: each.why for each in unserved} == {
        "blobs": "it lies within the layout app",
        "Upper": "'Upper' is not a repository name",
    }
    free = parse_repository("free/blobs")
    assert await place.files.existing([parse_repository("app/blobs"), free]) == [free]


async def test_a_new_layout_is_placed(place: Place) -> None:
    """The first `index.json` comes with `oci-layout`; before it is placed nothing is read."""
    staged = await place.files.stage(APP, pieces(b'{"schemaVersion":2,', b'"manifests":[', b"]}"))
    assert staged.digest == sha256(EMPTY_INDEX).removeprefix("sha256:")
    assert await place.files.signature(APP) is None
    assert await names(place.files) == []
    placed = await place.files.place(APP, staged, None)
    assert placed is not None
    assert not placed.over_another
    assert await place.files.signatures(APP) == IndexSignatures(placed.signature, None)
    assert await place.read("team/app/index.json") == EMPTY_INDEX
    assert json.loads(await place.read("team/app/oci-layout") or b"") == {"imageLayoutVersion": "1.0.0"}
    assert await names(place.other) == [APP]


async def test_only_what_was_seen_is_replaced(place: Place) -> None:
    """An `index.json` that another program wrote since it was seen, or where none was seen, stays as it is."""
    await write_layout(place, APP)
    seen = await place.files.signature(APP)
    staged = await place.files.stage(APP, pieces(b"new"))
    assert await place.files.place(APP, staged, None) is None
    theirs = index_of(1)
    await place.write("team/app/index.json", theirs)
    assert await place.files.place(APP, staged, seen) is None
    assert await place.read("team/app/index.json") == theirs
    staged = await place.files.stage(APP, pieces(b"newer"))
    placed = await place.files.place(APP, staged, await place.files.signature(APP))
    assert placed is not None
    assert placed.signature == await place.other.signature(APP)
    assert await place.read("team/app/index.json") == b"newer"
    assert await place.files.load(APP, IndexVersion.REPLACED) is None
    await place.files.forget_replaced(APP)


async def test_several_are_placed_together(place: Place) -> None:
    """Of several that are placed together each is replaced or left as if it were alone."""
    await write_layout(place, APP)
    await write_layout(place, OTHER)
    found = await place.files.all_signatures([APP, OTHER, NESTED])
    assert found == {name: await place.files.signatures(name) for name in (APP, OTHER, NESTED)}
    assert found[NESTED] == IndexSignatures(None, None)
    await place.write(f"{OTHER}/index.json", index_of(1))
    staged = await place.files.stage_all({name: name.encode() for name in found})
    placed = await place.files.place_all(
        {name: Replacement(staged[name], found[name].current) for name in (APP, OTHER, NESTED)}
    )
    assert placed.keys() == {APP, NESTED}
    assert await place.read(f"{APP}/index.json") == APP.encode()
    assert await place.read(f"{NESTED}/index.json") == NESTED.encode()
    assert await place.read(f"{OTHER}/index.json") == index_of(1)
    assert {name: each.current for name, each in (await place.files.all_signatures(list(placed))).items()} == {
        name: each.signature for name, each in placed.items()
    }


@pytest.mark.parametrize("tags", [0, 3, 10_000])
async def test_an_index_is_read_in_each_way(place: Place, tags: int) -> None:
    """An `index.json` of any size is the same whole, in pieces, and descriptor by descriptor."""
    content = index_of(tags)
    await write_layout(place, APP, content)
    file = await place.files.load(APP)
    assert file is not None
    assert len(file.parsed.entries) == tags
    assert f"sha256:{file.digest}" == sha256(content)
    assert file.signature == await place.files.signature(APP)
    assert b"".join([piece async for piece in place.files.read(APP)]) == content
    async with place.files.scan(APP) as scan:
        assert scan is not None
        read = [descriptor async for batch in scan.descriptors() for descriptor in batch]
        assert (scan.signature, scan.digest) == (file.signature, file.digest)
    assert len(read) == tags


async def test_a_missing_index_is_none(place: Place) -> None:
    """What is missing is missing in each way of reading."""
    assert await place.files.load(APP) is None
    assert [piece async for piece in place.files.read(APP)] == []
    async with place.files.scan(APP) as scan:
        assert scan is None


@pytest.mark.parametrize("content", [b"", b'{"schemaVersion":2,"manifests":[', b"[]"])
async def test_a_broken_index_is_told(place: Place, content: bytes) -> None:
    """One that is torn, or no index, is an error of the layout, and none of the storage."""
    await write_layout(place, APP, content)
    with pytest.raises(InvalidLayoutError):
        await place.files.load(APP)
    async with place.files.scan(APP) as scan:
        assert scan is not None
        with pytest.raises(InvalidLayoutError):
            _ = [each async for each in scan.descriptors()]


async def test_only_sound_small_content_is_read(place: Place) -> None:
    """Content that is missing, too large or damaged is told as that, in its place."""
    contents = [b"sound", b"damaged", b"much too large", b"missing", b""]
    for content in contents:
        written = {b"damaged": b"DAMAGED"}.get(content, content)
        if content != b"missing":
            await place.write(f"{APP}/blobs/{sha256(content).replace(':', '/')}", written)
    found = await place.files.contents(APP, [Digest(sha256(content)) for content in contents], 10)
    assert [each if isinstance(each, Unread) else each.content for each in found] == [
        b"sound",
        Unread.DAMAGED,
        Unread.TOO_LARGE,
        Unread.MISSING,
        b"",
    ]
    assert all(isinstance(each, Unread) or each.modified_ns > 0 for each in found)


async def test_few_large_contents_are_read_at_once(place: Place) -> None:
    """Large content is read a part at a time: at least one, and never all of many."""
    contents = [bytes([number]) * (3 << 20) for number in range(4)]
    for content in contents:
        await place.write(f"{APP}/blobs/{sha256(content).replace(':', '/')}", content)
    digests = [Digest(sha256(content)) for content in contents]
    found = await place.files.contents(APP, digests, 4 << 20)
    assert 1 <= len(found) < len(contents)
    assert [not isinstance(each, Unread) and each.content for each in found] == contents[: len(found)]


async def test_changed_content_is_noticed(place: Place) -> None:
    """Adding and removing content is noticed, that of a nested repository is not."""
    seen = [await place.files.content_changed(APP)]
    path = f"{APP}/blobs/sha256/{'0' * 64}"
    await place.write(path, b"x")
    seen.append(await place.files.content_changed(APP))
    await place.write(f"{path[:-1]}1", b"y")
    seen.append(await place.files.content_changed(APP))
    await place.remove(path)
    seen.append(await place.files.content_changed(APP))
    assert len(set(seen)) == len(seen)
    await write_layout(place, NESTED)
    await place.write(f"{NESTED}/blobs/sha256/{'0' * 64}", b"x")
    assert await place.files.content_changed(APP) == seen[-1]


async def test_a_layout_is_locked_by_one_at_a_time(place: Place) -> None:
    """The lock is exclusive among processes and ends with its block; other layouts are not locked by it."""
    await write_layout(place, APP)
    await write_layout(place, OTHER)
    async with place.files.lock(APP) as alone, place.other.lock(APP) as also, place.other.lock(OTHER) as another:
        assert (alone, also, another) == (True, False, True)
    async with place.other.lock(APP) as alone:
        assert alone


async def test_small_layouts_are_locked_together(place: Place) -> None:
    """Found are small and missing layouts that no other process has; they are locked during the block."""
    locked, large = parse_repository("locked"), parse_repository("large")
    await write_layout(place, APP)
    await write_layout(place, locked)
    await write_layout(place, large, index_of(3))
    async with place.other.lock(locked), place.files.lock_small([APP, locked, large, NESTED], 100) as found:
        assert found == {
            APP: FoundIndex(IndexSignatures(await place.files.signature(APP), None), EMPTY_INDEX),
            NESTED: FoundIndex(IndexSignatures(None, None), b""),
        }
        async with place.other.lock(APP) as also:
            assert not also
    async with place.other.lock(APP) as alone:
        assert alone


async def test_removing_leaves_what_is_not_the_layouts_own(place: Place) -> None:
    """Removing a layout leaves content, nested repositories and neighbours, and is idempotent."""
    content = f"{APP}/blobs/sha256/{'0' * 64}"
    await place.write(content, b"x")
    for name in (APP, NESTED, OTHER):
        await write_layout(place, name)
    await place.files.remove(APP)
    await place.files.remove(APP)
    assert await names(place.files) == [NESTED, OTHER]
    assert await place.read(content) == b"x"
    assert await place.read(f"{APP}/index.json") is None
    assert await place.read(f"{APP}/oci-layout") is None


async def test_a_removed_repository_has_nothing(place: Place) -> None:
    """A repository with any part of its own is not removed; a neighbour whose name begins alike is no part of it."""
    await write_layout(place, OTHER)
    assert await place.files.is_removed(APP)
    await place.files.ready(APP)
    for path in ("index.json", "oci-layout", f"blobs/sha256/{'0' * 64}"):
        name = parse_repository(f"other/{path[0]}")
        await place.write(f"{name}/{path}", b"x")
        assert not await place.files.is_removed(name)


async def test_an_obstacle_is_named(place: Place) -> None:
    """What is where a new layout would have its files is named; a layout, and a free name, have no obstacle."""
    await write_layout(place, APP)
    await write_layout(place, "one/blobs")
    await write_layout(place, "two/blobs/sha256")
    await place.write("three/index.json/x", b"")
    await place.write("four/oci-layout/x", b"")
    assert await place.files.obstacle(APP) is None
    assert await place.files.obstacle(NESTED) is None
    assert await place.files.obstacle(parse_repository("one")) == "one/blobs is a repository"
    assert await place.files.obstacle(parse_repository("two")) == "two/blobs/sha256 is a repository"
    for name in ("three", "four"):
        assert await place.files.obstacle(parse_repository(name))


async def test_what_is_not_ready_is_not_read_as_empty(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a store that is another one than expected nothing is taken for missing or removed."""

    async def another(_: Repository) -> None:
        raise StorageError("it is another store")

    for files in place.drivers:
        monkeypatch.setattr(files, "_ready", another)
    with pytest.raises(StorageError):
        await place.files.ready(APP)
    assert await place.files.all_signatures([APP]) == {}
    with pytest.raises(StorageError):
        async with place.files.lock_small([APP], 10):
            pass


async def test_a_list_during_changes_has_what_is_there_all_the_time(place: Place) -> None:
    """Layouts that come and go during a list are in it or not; all others are in it once."""
    staying = [f"stay/{number:03}" for number in range(40)]
    for name in staying:
        await write_layout(place, name)

    async def change(number: int) -> None:
        name = parse_repository(f"change/{number:03}")
        await write_layout(place, name)
        await place.files.remove(name)

    changing = asyncio.gather(*map(change, range(20)))
    for _ in range(5):
        found = await names(place.other)
        assert [name for name in found if name.startswith("stay/")] == staying
        assert len(set(found)) == len(found)
    await changing
    assert await names(place.files) == staying


async def test_each_repository_is_in_one_scanned_part(place: Place) -> None:
    """The parts that are scanned apart have all layouts between them, each one once."""
    for path in ("app", "team/app", "team/app/nested"):
        await write_layout(place, path)
    parts = place.files.scans()
    found = {name: [name in await names(part.files) for part in parts] for name in await names(place.files)}
    assert found.keys() == {"app", "team/app", "team/app/nested"}
    for name, is_in in found.items():
        assert is_in == [part.has(name) for part in parts]
        assert is_in.count(True) == 1


async def test_restoring_content_changes_no_content(place: Place) -> None:
    """What has its content keeps it, also if that is nothing."""
    contents = [b"x", b""]
    for content in contents:
        await place.write(f"{APP}/blobs/{sha256(content).replace(':', '/')}", content)
    await place.files.restore_content(APP)
    await place.files.restore_content()
    found = await place.files.contents(APP, [Digest(sha256(content)) for content in contents], 10)
    assert [isinstance(each, Unread) or each.content for each in found] == contents
