"""The index keeps in sync with the catalog, whatever happens to either of them."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from extensions.search.rig import Registry, dump, image, in_sync, index_of, indexing
from zot.catalog.blob_commands import PutBlob
from zot.catalog.change_log import TrimChanges
from zot.catalog.manifest_commands import DeleteTag
from zot.extensions.search.index.database import Filling, IndexWriter, damage_marker
from zot.extensions.search.index.search import IndexSearch
from zot.extensions.search.index.source import CatalogSource
from zot.extensions.search.interface import ImageQuery, SearchUnavailableError, Visible
from zot.oci.digest import Digest, digest_of
from zot.oci.names import Repository, Tag
from zot.storage.interface import Content, StorageError
from zot.storage.memory import MemoryStorage

A = Repository("a")
ALL: Visible = None


async def tags(search: IndexSearch) -> list[str | None]:
    """Return the tags that are found, in order; none while the index cannot be read."""
    try:
        return [each.tag for each in (await search.images(ALL, ImageQuery())).rows]
    except SearchUnavailableError:
        return []


async def eventually(search: IndexSearch, expected: list[str]) -> None:
    """Wait until these are the tags that are found."""
    while await tags(search) != expected:  # noqa: ASYNC110 (the index has no event)
        await asyncio.sleep(0.005)


async def test_what_was_acknowledged_is_found(tmp_path: Path) -> None:
    """A query that waits for the index finds what was pushed before, and not what was deleted before."""
    registry, path = Registry(), tmp_path / "search.db"
    async with indexing(registry, path):
        await in_sync(registry, path)
        search = IndexSearch(path, registry.catalog)
        for number in range(20):
            await registry.push("a", f"{number:02}", config={"n": number})
            if number:
                await registry.catalog.do(DeleteTag(repository=A, tag=Tag(f"{number - 1:02}")))
            assert await search.caught_up()
            assert await tags(search) == [f"{number:02}"]


async def test_a_query_does_not_wait_for_ever(tmp_path: Path) -> None:
    """Without a consumer the wait ends, and tells that the index is behind."""
    registry, path = Registry(), tmp_path / "search.db"
    async with indexing(registry, path):
        await in_sync(registry, path)
    await registry.push("a", "1")
    search = IndexSearch(path, registry.catalog)
    assert not await search.caught_up()
    status = await search.status()
    assert (status.complete, status.behind > 0, status.images) == (True, True, 0)


async def test_an_index_behind_a_trimmed_log_is_compared(tmp_path: Path) -> None:
    """If the log lacks what followed the cursor, the index becomes what one from scratch is."""
    registry, path = Registry(), tmp_path / "search.db"
    for number in range(5):
        await registry.push(f"r{number}", "1", "2", config={"n": number})
    async with indexing(registry, path):
        await in_sync(registry, path)
    await registry.catalog.do(DeleteTag(repository=Repository("r1"), tag=Tag("1")))
    await registry.push("r2", "2", "3", config={"n": 7})
    await registry.push("new", "1")
    await registry.catalog.do(TrimChanges(older_than_s=0, keep=1))
    async with indexing(registry, path):
        await in_sync(registry, path)
    assert dump(path) == await index_of(registry, tmp_path / "other.db")


async def test_an_index_of_another_catalog_is_compared(tmp_path: Path) -> None:
    """After a backup is restored, or with another catalog, nothing of the former one is left."""
    path, one, two = tmp_path / "search.db", Registry(), Registry()
    for number in range(3):
        await one.push(f"one{number}", "1", config={"n": number})
    await two.push("two", "1")
    async with indexing(one, path):
        await in_sync(one, path)
    async with indexing(two, path):
        await eventually(IndexSearch(path, two.catalog), ["1"])
        await in_sync(two, path)
    assert dump(path) == await index_of(two, tmp_path / "other.db")


@pytest.mark.parametrize("harm", ["missing", "no database", "another version", "marked", "damaged pages"])
async def test_an_index_that_cannot_be_used_is_made_again_while_serving(tmp_path: Path, harm: str) -> None:
    """A file that is missing, damaged or of another version is replaced; queries find everything again."""
    registry, path = Registry(), tmp_path / "search.db"
    for number in range(30):
        await registry.push("a", f"{number:02}", config={"n": number})
    everything = [f"{number:02}" for number in range(30)]
    if harm in {"missing", "marked"}:
        async with indexing(registry, path):
            await in_sync(registry, path)
            search = IndexSearch(path, registry.catalog)
            await eventually(search, everything)
            before = path.stat().st_ino
            if harm == "missing":
                path.unlink()
            else:
                damage_marker(path).touch()
            while not path.exists() or path.stat().st_ino == before:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            await eventually(search, everything)
        return
    async with indexing(registry, path):
        await in_sync(registry, path)
    if harm == "no database":
        path.write_bytes(b"not a database" * 1000)
    elif harm == "another version":
        with closing(apsw.Connection(str(path))) as connection:
            connection.pragma("user_version", 10_000)
    else:
        content = bytearray(path.read_bytes())
        content[4096:] = b"\xff" * (len(content) - 4096)
        path.write_bytes(content)
    async with indexing(registry, path):
        await eventually(IndexSearch(path, registry.catalog), everything)


async def test_a_reader_reports_damage(tmp_path: Path) -> None:
    """A query that meets a damaged page is refused, and the writer makes the index again."""
    registry, path = Registry(), tmp_path / "search.db"
    await registry.push("a", "1")
    async with indexing(registry, path):
        await in_sync(registry, path)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    search = IndexSearch(path, registry.catalog)
    with pytest.raises(SearchUnavailableError):
        await search.images(ALL, ImageQuery())
    assert damage_marker(path).exists()
    async with indexing(registry, path):
        await eventually(search, ["1"])
    assert not damage_marker(path).exists()


async def test_filling_continues_where_a_start_was_ended(tmp_path: Path) -> None:
    """A start that ends while the lists are read leaves its place; the next one ends with the whole index."""
    registry, path = Registry(), tmp_path / "search.db"
    for number in range(9):
        await registry.push(f"r{number}", "1", config={"n": number})
    writer = IndexWriter(path)
    writer.open()
    writer.begin_filling((await registry.catalog.changes(None, 1)).cursor, 9)
    writer.filled("r4", 5, 9)
    assert writer.open().filling is Filling.RUNNING
    writer.close()
    search = IndexSearch(path, registry.catalog)
    status = await search.status()
    assert (status.complete, status.done, status.total) == (False, 5, 9)
    async with indexing(registry, path):
        await in_sync(registry, path)
        assert await search.names() == {f"r{number}" for number in range(5, 9)}


CONFIGS: dict[str, bytes] = {
    "empty": b"",
    "not json": b"\xff\xfe{",
    "a list": b"[]",
    "null": b"null",
    "other types": json.dumps(
        {"os": 1, "architecture": ["x"], "created": {}, "author": None, "history": {"a": 1}, "config": {"Labels": [1]}}
    ).encode(),
    "bad history": json.dumps({"history": [1, None, {"created": 5, "created_by": [], "empty_layer": "yes"}]}).encode(),
    "deep": b"[" * 50_000,
    "many lists": b"[" + b"[]," * 150_000 + b"[]]",
    "far times": json.dumps({"created": "9999-12-31T23:59:59Z"}).encode(),
    "no such day": json.dumps({"created": "2026-02-31T00:00:00Z"}).encode(),
    "too large": b'{"os": "' + b"x" * (4 << 20) + b'"}',
    "long texts": json.dumps(
        {"author": "a" * 10**5, "config": {"Labels": {f"k{n}": "v" * 10_000 for n in range(100)}}, "os": "o" * 1000}
    ).encode(),
    "surrogates": b'{"os": "\\ud800", "author": "\\u0000"}',
}


@pytest.mark.parametrize("name", CONFIGS)
async def test_a_hostile_config_is_unknown(tmp_path: Path, name: str) -> None:
    """Whatever a config is, its image is found, and what is kept of it is bounded."""
    registry, path = Registry(), tmp_path / "search.db"
    await registry.push("a", "1", config=CONFIGS[name], layers=["x"])
    await registry.push("a", "2", config={"os": "linux"})
    async with indexing(registry, path):
        await in_sync(registry, path)
        search = IndexSearch(path, registry.catalog)
        one, two = (await search.images(ALL, ImageQuery())).rows
        assert two.manifests[0].platform.os == "linux"
        (manifest,) = one.manifests
        assert manifest.platform.os in {"", "o" * 255}
        assert manifest.created_ns is None
        assert sum(len(key) + len(value) for key, value in manifest.labels.items()) <= 64 * 1024
        assert len(manifest.layers) == 1


async def test_a_config_that_the_catalog_holds_is_read(tmp_path: Path) -> None:
    """A small config whose bytes are in the catalog, and not yet in a file, is known at once."""
    registry, path = Registry(), tmp_path / "search.db"
    config = json.dumps({"os": "linux"}).encode()
    await registry.catalog.do(PutBlob(repository=A, digest=digest_of(config), content=config))
    await registry.put("a", image(config), "1")
    async with indexing(registry, path):
        await in_sync(registry, path)
        found = await IndexSearch(path, registry.catalog).image(ALL, A, Tag("1"))
    assert found is not None
    assert found.manifests[0].platform.os == "linux"


async def test_a_config_that_arrives_later_is_read(tmp_path: Path) -> None:
    """A missing config leaves its image unknown until it is there."""
    registry, path = Registry(), tmp_path / "search.db"
    config = json.dumps({"os": "linux"}).encode()
    await registry.put("a", image(config), "1")
    async with indexing(registry, path):
        await in_sync(registry, path)
        search = IndexSearch(path, registry.catalog)
        found = await search.image(ALL, A, Tag("1"))
        assert found is not None
        assert found.manifests[0].platform.os == ""
    await registry.storage.put(A, digest_of(config), config)
    async with indexing(registry, path):
        while found is None or found.manifests[0].platform.os != "linux":
            await asyncio.sleep(0.005)
            found = await search.image(ALL, A, Tag("1"))
    assert dump(path) == await index_of(registry, tmp_path / "other.db")


async def test_a_config_of_several_images_is_read_where_it_is(tmp_path: Path) -> None:
    """Images share a config, which one repository has in a file, one in the catalog, and one not at all."""
    registry, path = Registry(), tmp_path / "search.db"
    config = json.dumps({"os": "linux"}).encode()
    async with indexing(registry, path, delay_s=3600.0):
        search = IndexSearch(path, registry.catalog)
        while not await search.caught_up():
            pass
        for number in range(3):
            await registry.put("missing", image(config, layers=[f"{number}"]), f"{number}")
        await registry.push("file", "1", config=config, layers=["file"])
        await registry.catalog.do(PutBlob(repository=A, digest=digest_of(config), content=config))
        await registry.put("a", image(config, layers=["held"]), "1")
        assert await search.caught_up()
        rows = (await search.images(ALL, ImageQuery())).rows
    assert [each.manifests[0].platform.os for each in rows] == ["linux"] * 5


async def test_without_a_pipe_a_search_finds_what_was_pushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system has no pipes, the log is read so often that a search need not ask."""

    def refused(*_: object) -> None:
        raise PermissionError("no pipes")

    monkeypatch.setattr("os.mkfifo", refused)
    registry, path = Registry(), tmp_path / "search.db"
    async with indexing(registry, path, delay_s=3600.0):
        await in_sync(registry, path)
        await registry.push("a", "1")
        search = IndexSearch(path, registry.catalog)
        while not await search.caught_up():
            pass
        assert await tags(search) == ["1"]


async def test_a_storage_that_is_down_makes_nothing_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the storage fails the index waits; what was pushed is found with its config once it is back."""

    class Failing(MemoryStorage):
        fails = True

        async def open(self, repository: Repository, digest: Digest) -> Content:
            if self.fails:
                raise StorageError("down")
            return await super().open(repository, digest)

    monkeypatch.setattr("zot.extensions.search.index.consumer._RETRY_S", 0.005)
    storage = Failing()
    registry, path = Registry(storage=storage), tmp_path / "search.db"
    await registry.push("a", "1", config={"os": "linux"})
    async with indexing(registry, path):
        search = IndexSearch(path, registry.catalog)
        await asyncio.sleep(0.05)
        assert await tags(search) == []
        storage.fails = False
        await eventually(search, ["1"])
        found = await search.image(ALL, A, Tag("1"))
        assert found is not None
        assert found.manifests[0].platform.os == "linux"


async def test_unexpected_errors_do_not_end_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that was not foreseen is logged, and the consumer tries again."""
    monkeypatch.setattr("zot.extensions.search.index.consumer._RETRY_S", 0.005)
    original, calls = CatalogSource.all_of, 0

    def broken(self: CatalogSource, repository: Repository) -> Any:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise ValueError("unforeseen")
        return original(self, repository)

    monkeypatch.setattr(CatalogSource, "all_of", broken)
    registry, path = Registry(), tmp_path / "search.db"
    await registry.push("a", "1")
    async with indexing(registry, path):
        await eventually(IndexSearch(path, registry.catalog), ["1"])


async def test_a_search_that_waits_wakes_the_consumer(tmp_path: Path) -> None:
    """Pushes that no search asks for wait for the next look at the log; the search after them does not."""
    registry, path = Registry(), tmp_path / "search.db"
    async with indexing(registry, path, delay_s=3600.0):
        search = IndexSearch(path, registry.catalog)
        while not await search.caught_up():
            pass
        for number in range(5):
            await registry.push("a", f"{number}")
        assert await tags(search) == []
        assert await search.caught_up()
        assert await tags(search) == [str(number) for number in range(5)]
        await registry.push("a", "5")
        assert len(await tags(search)) == 5
        assert await search.caught_up()
        assert len(await tags(search)) == 6


async def test_an_index_is_complete_once_all_layouts_are_imported(tmp_path: Path) -> None:
    """Until then it tells how much it has; it does not take a later start for another import."""
    registry, path, imported = Registry(), tmp_path / "search.db", False
    async with indexing(registry, path, imported=lambda: imported):
        await in_sync(registry, path)
        search = IndexSearch(path, registry.catalog)
        await registry.push("a", "1")
        assert not await search.caught_up()
        status = await search.status()
        assert (status.complete, status.importing) == (False, True)
        assert await tags(search) == ["1"]
        await registry.push("a", "2")
        imported = True
        while not await search.caught_up():
            pass
        status = await search.status()
        assert (status.complete, status.importing, status.images) == (True, False, 2)
    async with indexing(registry, path, imported=lambda: False):
        assert await search.caught_up()
