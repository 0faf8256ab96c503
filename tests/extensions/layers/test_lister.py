"""Lists are made once, by another process, of whatever storage has the layer; what goes wrong passes or is said."""

from __future__ import annotations

import asyncio
import io
import sqlite3
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from extensions.layers.archives import archive, compressed, entry, files
from zot.catalog.memory.driver import MemoryCatalog
from zot.extensions.layers import database, list_process, lister
from zot.extensions.layers.database import ListsDatabase
from zot.extensions.layers.file_content import open_layer
from zot.extensions.layers.files import ListedLayerFiles
from zot.extensions.layers.interface import (
    LayerContentError,
    LayerFile,
    LayerFileKind,
    LayerList,
    LayersUnavailableError,
    ListStatus,
)
from zot.extensions.layers.list_frames import FilesListed, ListEnded, decode_frame
from zot.extensions.layers.lister import LayerLister
from zot.oci.digest import Digest, digest_of
from zot.oci.names import Repository
from zot.registry.damage import FoundBy
from zot.registry.held_blobs import put_blob
from zot.registry.registry import Registry
from zot.storage.interface import Content, StorageError
from zot.storage.memory import MemoryStorage

NAME = Repository("team/app")
LIMIT_BYTES = 512 << 20


def memory_registry() -> Registry:
    """A registry whose storage has neither files nor descriptors, as an object store."""
    return Registry(MemoryCatalog(owner="boot"), MemoryStorage())


async def pushed(registry: Registry, *layers: bytes) -> list[Digest]:
    """Push layers and return their digests."""
    for each in layers:
        await put_blob(registry, NAME, digest_of(each), each, FoundBy.PULL)
    return [digest_of(each) for each in layers]


@asynccontextmanager
async def listing(
    registry: Registry, path: Path, limit_bytes: int = LIMIT_BYTES, list_limit_s: float = 60.0
) -> AsyncIterator[ListedLayerFiles]:
    """Make lists during the block; yield what asks for them."""
    made = LayerLister(path, registry, limit_bytes, list_limit_s=list_limit_s)
    task = asyncio.create_task(made.run())
    try:
        yield ListedLayerFiles(path, registry)
    finally:
        task.cancel()
        await asyncio.wait([task])


async def made(asking: ListedLayerFiles, layers: Sequence[Digest]) -> list[LayerList]:
    """Return lists once none is waited for."""
    async with asyncio.timeout(60):
        while True:
            found = await asking.lists(NAME, layers)
            if all(each.status is not ListStatus.WAITING for each in found):
                return found
            await asyncio.sleep(0.02)


async def read(asking: ListedLayerFiles, layer: Digest, file: LayerFile) -> bytes:
    """Return the bytes of a file."""
    async with asking.open(NAME, layer, file) as pieces:
        return b"".join([each async for each in pieces])


async def test_a_layer_in_any_storage_is_listed_and_read(tmp_path: Path) -> None:
    registry = memory_registry()
    layers = [compressed(files(etc_hosts="one", a="2"), how) for how in ("none", "gzip", "zstd")]
    digests = await pushed(registry, *layers)
    async with listing(registry, tmp_path / "layers.db") as asking:
        found = await made(asking, digests)
        assert [(each.status, each.compression, each.files) for each in found] == [
            (ListStatus.MADE, how, 3) for how in ("none", "gzip", "zstd")
        ]
        for digest in digests:
            file = await asking.file(NAME, [digest], b"etc/hosts")
            assert file is not None
            assert await read(asking, digest, file.file) == b"one"


async def test_a_layer_that_is_not_here_is_missing_until_it_is_pushed(tmp_path: Path) -> None:
    registry, layer = memory_registry(), files(a="1")
    async with listing(registry, tmp_path / "layers.db") as asking:
        (found,) = await asking.lists(NAME, [digest_of(layer)])
        assert found.status is ListStatus.MISSING
        await pushed(registry, layer)
        (found,) = await made(asking, [digest_of(layer)])
        assert found.status is ListStatus.MADE


async def test_a_file_other_than_its_list_says_is_an_error(tmp_path: Path) -> None:
    registry = memory_registry()
    layer = compressed(files(a="1"), "gzip")
    (digest,) = await pushed(registry, layer)
    asking = ListedLayerFiles(tmp_path / "layers.db", registry)
    for file in (
        LayerFile(b"a", LayerFileKind.FILE, size=10**9, offset=512),
        LayerFile(b"a", LayerFileKind.FILE, size=1, offset=10**9),
        LayerFile(b"a", LayerFileKind.FILE, size=1),
    ):
        with pytest.raises(LayerContentError):
            await read(asking, digest, file)


async def test_a_list_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    registry = memory_registry()
    digests = await pushed(registry, files(a="1"))
    async with listing(registry, tmp_path / "layers.db", list_limit_s=0.0) as asking:
        (found,) = await made(asking, digests)
    assert (found.status, found.note) == (ListStatus.FAILED, "No list can be made: it took too much time or memory.")


async def test_a_layer_that_cannot_be_read_keeps_no_other_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = memory_registry()
    bad = [files(a=str(each)) for each in range(3)]
    digests = await pushed(registry, *bad, files(b="1"))
    opened = open_layer

    async def content(registry: Registry, repository: Repository, layer: Digest) -> Content | None:
        if layer in digests[:3]:
            raise StorageError("a sector cannot be read")
        return await opened(registry, repository, layer)

    monkeypatch.setattr(lister, "open_layer", content)
    async with listing(registry, tmp_path / "layers.db") as asking:
        await asking.lists(NAME, digests)
        (found,) = await made(asking, digests[3:])
    assert found.status is ListStatus.MADE


async def test_a_process_that_writes_no_list_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def cat() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)

    monkeypatch.setattr(lister, "_start", cat)
    registry = memory_registry()
    digests = await pushed(registry, b"\0\0\0\4none" * 99, b"\xff\xff\xff\xff" * 99)
    async with listing(registry, tmp_path / "layers.db") as asking:
        found = await made(asking, digests)
    assert {each.status for each in found} == {ListStatus.FAILED}


async def test_a_damaged_file_is_made_again(tmp_path: Path) -> None:
    registry, path = memory_registry(), tmp_path / "layers.db"
    digests = await pushed(registry, files(a="1"))
    async with listing(registry, path) as asking:
        await made(asking, digests)
        for damage in ("other bytes", "another version"):
            if damage == "other bytes":
                path.write_bytes(b"nonsense" * 4096)
            else:
                with sqlite3.connect(path) as connection:
                    connection.execute("PRAGMA user_version = 99")
                connection.close()
            async with asyncio.timeout(60):
                while True:
                    try:
                        (found,) = await made(asking, digests)
                    except LayersUnavailableError:
                        await asyncio.sleep(0.02)
                        continue
                    break
            assert found.status is ListStatus.MADE
            assert await asking.file(NAME, digests, b"a") is not None


async def test_a_list_that_was_begun_is_begun_again(tmp_path: Path) -> None:
    registry, path = memory_registry(), tmp_path / "layers.db"
    digests = await pushed(registry, files(a="1"))
    begun = ListsDatabase(path)
    begun.lists(NAME, digests)
    wanted = begun.next_wanted(frozenset())
    assert wanted is not None
    begun.add(wanted, [LayerFile(b"left", LayerFileKind.FILE)])
    async with listing(registry, path) as asking:
        (found,) = await made(asking, digests)
        assert found.files == 1
        assert await asking.file(NAME, digests, b"left") is None


async def test_a_list_of_a_layer_that_was_deleted_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "layers.db"
    asked = ListsDatabase(path)
    asked.lists(NAME, [digest_of(b"gone")])
    async with listing(memory_registry(), path), asyncio.timeout(60):
        while True:
            if asked.next_wanted(frozenset()) is None:
                break
            await asyncio.sleep(0.02)


def test_the_lists_that_were_not_used_for_longest_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_lists = ListsDatabase(tmp_path / "layers.db")
    digests = [digest_of(bytes([each])) for each in range(4)]
    now_s = 1000.0
    monkeypatch.setattr("time.time", lambda: now_s)
    many = [LayerFile(b"%05d" % each, LayerFileKind.FILE) for each in range(2000)]
    for each in digests:
        now_s += 1000
        made_lists.lists(NAME, [each])
        wanted = made_lists.next_wanted(frozenset())
        assert wanted is not None
        made_lists.add(wanted, many)
        made_lists.end(wanted, LayerList(each, ListStatus.MADE))
    now_s += 1000
    made_lists.lists(NAME, digests[:1])
    size = (tmp_path / "layers.db").stat().st_size
    assert made_lists.shrink(size * 2 // 3) == 2
    assert (tmp_path / "layers.db").stat().st_size < size * 3 // 4
    kept = made_lists.lists(NAME, digests)
    assert [each.status for each in kept.values()] == [
        ListStatus.MADE,
        ListStatus.WAITING,
        ListStatus.WAITING,
        ListStatus.MADE,
    ]
    assert made_lists.shrink(1) == 1


def test_lists_wait_in_a_queue_with_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WAITING_LIMIT", 3)
    asked = ListsDatabase(tmp_path / "layers.db")
    digests = [digest_of(bytes([each])) for each in range(4)]
    asked.lists(NAME, digests[:3])
    asked.lists(NAME, digests[:3])
    with pytest.raises(LayersUnavailableError, match="too many"):
        asked.lists(NAME, digests)


def test_the_process_writes_frames_of_its_list() -> None:
    output = io.BytesIO()
    list_process.run(io.BytesIO(archive(*(entry(f"{each}", b"x") for each in range(1200)))), output)
    frames, content = [], output.getvalue()
    while content:
        (length,) = struct.unpack(">I", content[:4])
        frames.append(decode_frame(content[4 : 4 + length]))
        content = content[4 + length :]
    *lists, end = frames
    assert [len(each.files) for each in lists if isinstance(each, FilesListed)] == [500, 500, 200]
    assert isinstance(end, ListEnded)
    assert (end.is_archive, end.compression, end.note) == (True, "none", "")
