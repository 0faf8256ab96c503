"""Layouts that are not imported yet, as requests see them, and how they are found."""

from __future__ import annotations

import asyncio
import errno
import logging

import pytest

from layout.conftest import MakeStore
from layout.images import image, index
from layout.store import APP, Store, eventually
from storage.failing_disk import FailingDisk
from zot.catalog.layout_commands import ImportLayout
from zot.catalog.memory.driver import MemoryCatalog
from zot.layout.unimported_names import UnimportedNames
from zot.oci.digest import Digest
from zot.oci.names import parse_repository, parse_tag
from zot.registry import manifests, repositories, tags
from zot.registry.errors import ManifestUnknown, NameUnknown, Unavailable
from zot.registry.registry import Registry
from zot.registry.request import ListRepositories, ListTags, PullManifest

ONE, TWO = image("one"), image("two")
BOTH = index(ONE, TWO)
LATEST = parse_tag("latest")


def write(store: Store, *names: str) -> None:
    """Write layouts of these names."""
    for name in names:
        layout = store.layout(parse_repository(name))
        layout.put(BOTH)
        layout.write(BOTH.descriptor("latest"))


def registry(store: Store) -> Registry:
    """Return the registry that asks."""
    return Registry(store.catalog, store.storage, store.layouts)


async def test_a_pull_works_at_once(store: Store) -> None:
    """A tag or a listed digest is answered from index.json, byte for byte, while the repository is imported."""
    write(store, APP)
    for reference in (LATEST, Digest(BOTH.digest)):
        pulled = await manifests.pull(registry(store), PullManifest(APP, reference))
        assert pulled[:3] == (BOTH.digest, BOTH.media_type, BOTH.content)
    await store.importer.ensure(APP)
    assert await store.tags() == {"latest": BOTH.digest}


async def test_a_child_of_an_index_is_served(store: Store) -> None:
    """A manifest that only an index lists is known after the import, for which a pull waits."""
    write(store, APP)
    pulled = await manifests.pull(registry(store), PullManifest(APP, Digest(ONE.digest)))
    assert pulled.content == ONE.content


@pytest.mark.parametrize("reference", [parse_tag("other"), Digest(f"sha256:{1:064}")])
async def test_what_no_layout_has_is_unknown(store: Store, reference: Digest) -> None:
    """A reference that a layout lacks is an unknown manifest; a repository that is nowhere is not made by asking."""
    write(store, APP)
    with pytest.raises(ManifestUnknown):
        await manifests.pull(registry(store), PullManifest(APP, reference))
    with pytest.raises(NameUnknown):
        await manifests.pull(registry(store), PullManifest(parse_repository("nowhere"), reference))
    assert await store.catalog.repositories("", 10) == [APP]


async def test_damaged_content_is_not_served(store: Store) -> None:
    """Bytes with another digest than the requested one are never served."""
    write(store, APP)
    store.layout().file(BOTH.digest).write_bytes(b"damaged")
    with pytest.raises(ManifestUnknown):
        await manifests.pull(registry(store), PullManifest(APP, LATEST))


async def test_a_list_of_tags_waits_for_the_import(store: Store) -> None:
    """Tags are listed from the catalog, so all of them have to be in it."""
    write(store, APP)
    assert (await tags.page(registry(store), ListTags(APP))).rows == ["latest"]


async def test_the_list_of_repositories_is_never_short(store: Store) -> None:
    """Hazard C4: layouts are listed in order and once, before, during and after their import."""
    expected = sorted(f"{team}/app{number}" for team in ("a", "b-c", "b") for number in range(5))
    write(store, *expected)
    await store.push(ONE, "x", repository=parse_repository("aa"))
    expected = sorted([*expected, "aa"])
    for name in [None, *expected[::3]]:
        if name is not None:
            await store.importer.ensure(parse_repository(name))
        found: list[str] = []
        last: str | None = ""
        while last is not None:
            page = await repositories.page(registry(store), ListRepositories(limit=4, last=last), lambda _: True)
            found += page.rows
            last = page.last
        assert found == expected


async def test_a_removed_repository_is_not_listed_again(store: Store) -> None:
    """A name that was found, imported and removed is not listed from a process's memory."""
    write(store, "team/app", "team/other")
    assert await store.layouts.names("", 10) == ["team/app", "team/other"]
    await store.importer.ensure(APP)
    assert await store.layouts.names("", 10) == ["team/other"]
    await store.files.remove(parse_repository("team/other"))
    assert await store.layouts.names("", 10) == []


async def test_until_it_is_known_what_there_is_the_list_is_late(store: Store) -> None:
    """A list that would be incomplete is 503; the scan continues, and starts again if it failed."""
    write(store, APP)
    names = UnimportedNames(store.catalog, store.files, wait_s=0)
    with pytest.raises(Unavailable):
        await names.page("", 10)

    async def known() -> bool:
        try:
            return await names.page("", 10) == [APP]
        except Unavailable:
            return False

    await eventually(known)


async def test_layouts_are_imported_in_the_background(make_store: MakeStore, caplog: pytest.LogCaptureFixture) -> None:
    """Existing and later layouts are imported, and interrupted imports are completed."""
    store = make_store()
    write(store, "one", "team/two", "three")
    (store.layout(parse_repository("three")).path / "index.json").write_text("broken")
    await store.catalog.do(ImportLayout(repository=APP))
    with caplog.at_level(logging.INFO):
        await store.scanner.import_all()
    assert "3 of 4 layouts imported" in caplog.text
    write(store, "three", "late")
    await store.scanner.import_all()
    for name in ("one", "team/two", "three", "late"):
        assert await store.tags(parse_repository(name)) == {"latest": BOTH.digest}
    rows = [await store.catalog.repository(name) for name in await store.catalog.repositories("", 10)]
    assert all(row is not None and row.imported for row in rows)


async def test_the_sweep_finds_what_was_written(store: Store) -> None:
    """Foreign edits of known repositories are found by looking at each of them from time to time."""
    for name in ("one", "two"):
        await store.push(ONE, "x", repository=parse_repository(name))
        await store.exporter.export(parse_repository(name))
    layout = store.layout(parse_repository("two"))
    layout.put(TWO)
    layout.write(TWO.descriptor("y"))
    await store.scanner.check_all()
    assert await store.tags(parse_repository("two")) == {"x": ONE.digest, "y": TWO.digest}


async def test_scanning_continues_after_an_error(make_store: MakeStore, caplog: pytest.LogCaptureFixture) -> None:
    """A layout that cannot be read does not delay the others; it is logged, and retried."""
    failing: list[str] = []
    store = make_store(disk=FailingDisk(lambda each: errno.EIO if each.path in failing else 0))
    names = [parse_repository(name) for name in ("a", "b", "c")]
    write(store, *names)
    await store.importer.ensure(names[0])
    failing += [str(store.layout(name).path / "index.json") for name in names[:2]]
    scanner = store.scanner
    scanner._scans = [scan._replace(interval_s=0) for scan in store.files.scans()]

    async def said() -> bool:
        return "1 layouts cannot be checked" in caplog.text and "b is not imported" in caplog.text

    async def both() -> bool:
        return bool(await store.tags(names[1]) and await store.tags(names[2]))

    with caplog.at_level(logging.WARNING):
        running = asyncio.create_task(scanner.run())
        await eventually(said)
        failing.clear()
        await eventually(both)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_several_processes_see_one_store(make_store: MakeStore) -> None:
    """A worker that scanned before the import lists each repository once, and not after its removal."""
    catalog = MemoryCatalog()
    jobs, worker = make_store(catalog), make_store(catalog)
    write(jobs, "a", "b")
    assert await worker.layouts.names("", 10) == ["a", "b"]
    await jobs.scanner.import_all()
    assert await worker.layouts.names("", 10) == []
    page = await repositories.page(registry(worker), ListRepositories(), lambda _: True)
    assert page.rows == ["a", "b"]
