"""The files of layouts on a file system."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from layout.images import Layout, image, sha256
from layout.store import APP, Store
from storage.failing_disk import FailingDisk, NthFails, ObservedDisk
from zot.catalog.rows import Unread
from zot.layout.filesystem import FilesystemLayouts
from zot.layout.index_json import InvalidLayoutError
from zot.layout.interface import IndexVersion
from zot.layout.layout_directories import LayoutDirectories
from zot.oci.digest import Digest
from zot.oci.names import Repository, parse_repository
from zot.storage.disk import DiskOperation
from zot.storage.interface import StorageError
from zot.storage.threads import ThreadPools

ONE = image("one")


async def pieces(*contents: bytes) -> AsyncIterator[bytes]:
    """Give the contents."""
    for content in contents:
        yield content


async def ready(_: Repository) -> None:
    """Be the right store."""


async def names(files: FilesystemLayouts) -> set[str]:
    """Return all names."""
    return {name async for name in files.repositories()}


async def test_all_layouts_are_found_and_nothing_else(store: Store) -> None:
    """Nested repositories are found; other directories, and zot's own files and directories, are skipped."""
    found = {"app", "team/app", "team/app/nested", "a/b/c/d"}
    for name in found:
        store.layout(parse_repository(name)).write()
    for path in (
        "_trivy/db",
        ".zot/exports",
        "app/blobs/sha256",
        "app/.uploads/x",
        "app/.sync/u/other",
        "Upper",
        "e f",
    ):
        Layout(store.root / path).write()
    for path, missing in (("no-index", "index.json"), ("no-marker", "oci-layout")):
        Layout(store.root / path).write()
        (store.root / path / missing).unlink()
    (store.root / "cache.db").write_bytes(b"")
    (store.root / "link").symlink_to(store.root / "app")
    (store.root / "loop").symlink_to(store.root)
    assert await names(store.files) == found
    assert await store.files.existing([APP, parse_repository("no-index"), parse_repository("x/y")]) == [APP]


async def test_repositories_behind_links_to_other_disks_are_found(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A linked directory is part of the store, once: never by a second name, in a circle, or above the root."""
    disk = tmp_path / "disk"
    Layout(disk / "team" / "app").write()
    Layout(disk / "one").write()
    Layout(store.root / "plain" / "app").write()
    links: dict[str, Path | str] = {
        "team": disk / "team",
        "plain/one": disk / "one",
        "alias": store.root / "plain",
        "plain/again": disk / "team",
        "plain/deeper": disk / "team" / "app",
        "zz": tmp_path,
        "plain/all": "/",
        "self": "self",
        "dangling": tmp_path / "nowhere",
    }
    for name, target in links.items():
        (store.root / name).symlink_to(target)
    (disk / "team" / "back").symlink_to(disk)
    (disk / "team" / "store").symlink_to(store.root)
    with caplog.at_level(logging.WARNING):
        assert await names(store.files) == {"plain/app", "plain/one", "team/app"}
    assert f"{store.root}/plain/again is a symbolic link to {disk}/team" in caplog.text
    one, alias, other = map(parse_repository, ("plain/one", "alias/app", "zz/root/plain/app"))
    assert await store.files.existing([one, alias, other]) == [one]
    await store.files.ready(one)
    with pytest.raises(StorageError, match="its own name in the store"):
        await store.files.ready(alias)


async def test_empty_parents_go_with_a_repository(store: Store) -> None:
    """The empty parents of a removed repository are removed, up to the root."""
    for name in ("a/b/c", "a/b/d", "x/y"):
        Layout(store.root / name).write()
    await store.files.remove(parse_repository("a/b/c"))
    assert (store.root / "a" / "b" / "d").exists()
    for name in ("a/b/d", "x/y", "x/y"):
        await store.files.remove(parse_repository(name))
    assert list(store.root.iterdir()) == []


async def test_a_sub_path_hides_the_directory_of_its_name(tmp_path: Path, pools: ThreadPools) -> None:
    """A repository is where its route says; one of the same name below another root is not it."""
    roots = [str(tmp_path / name) for name in ("main", "infra")]

    def root_of(repository: Repository) -> str:
        return str(tmp_path / ("infra" if repository.startswith("infra/") else "main"))

    files = FilesystemLayouts(roots, root_of, ready, pools)
    for path in ("main/app", "main/infra/hidden", "infra/infra/app", "infra/stray"):
        Layout(tmp_path / path).write()
    assert await names(files) == {"app", "infra/app"}


async def test_a_directory_that_cannot_be_read_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Layouts in a directory without permission are not served, with a log line; the others are."""

    def fails(operation: DiskOperation) -> int:
        return errno.EACCES if operation.path.endswith("/secret") else 0

    for name in ("secret/app", "app"):
        Layout(tmp_path / name).write()
    with caplog.at_level(logging.WARNING):
        assert [name for name in LayoutDirectories(FailingDisk(fails), str(tmp_path)).walk() if name] == ["app"]
    assert "secret" in caplog.text


async def test_a_new_index_is_beside_the_old_one_until_it_is_placed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Staging changes nothing that is read; placing keeps a replaced file that was not seen until it is forgotten."""
    layout = store.layout()
    layout.write()
    old = (layout.path / "index.json").read_bytes()
    staged = await store.files.stage(APP, pieces(b"new", b" ", b"content"))
    assert (layout.path / "index.json").read_bytes() == old
    assert f"sha256:{staged.digest}" == sha256(b"new content")
    before = await store.files.signature(APP)
    assert await store.files.place(APP, staged, None) is None
    assert (layout.path / "index.json").read_bytes() == old
    files = store.files._files_of(APP)
    forget = files.forget_replaced

    def write(repository: Repository) -> None:
        monkeypatch.undo()
        forget(repository)
        nonlocal old
        old += b" "
        (layout.path / "index.json").write_bytes(old)

    monkeypatch.setattr(files, "forget_replaced", write)  # after the last look at what is replaced
    placed = await store.files.place(APP, staged, before)
    assert placed is not None
    assert placed.over_another
    assert placed.signature == staged.signature
    assert (layout.path / "index.json").read_bytes() == b"new content"
    assert await store.files.signature(APP) == staged.signature
    assert (await store.files.signatures(APP)).current == staged.signature
    file = await store.files.load(APP, IndexVersion.REPLACED)
    assert file is not None
    assert f"sha256:{file.digest}" == sha256(old)
    await store.files.forget_replaced(APP)
    await store.files.forget_replaced(APP)
    assert await store.files.signature(APP, IndexVersion.REPLACED) is None


async def test_placing_makes_a_directory_a_layout(tmp_path: Path, pools: ThreadPools) -> None:
    """The first index comes with `oci-layout`: its bytes are synced before its name, its name before it is told."""
    disk = ObservedDisk()
    store = Store(tmp_path, pools, disk=disk)
    await store.push(ONE, "one")
    disk.operations.clear()
    await store.exporter.export(APP)
    path = store.layout().path
    assert json.loads((path / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    done = [(each.verb, each.target or each.path) for each in disk.operations]
    renamed = done.index(("rename", f"{path}/oci-layout"))
    assert done[renamed - 1] == ("sync", disk.operations[renamed].path)
    assert ("sync directory", str(path)) in done[renamed:]


async def test_a_file_system_without_links_only_lacks_what_was_replaced(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where hard links are refused the file is replaced all the same."""

    def refuse(*_: object) -> None:
        raise OSError(1, os.strerror(1))

    monkeypatch.setattr(os, "link", refuse)
    store.layout().write()
    staged = await store.files.stage(APP, pieces(b"new"))
    await store.files.place(APP, staged, await store.files.signature(APP))
    assert (store.layout().path / "index.json").read_bytes() == b"new"
    assert await store.files.signature(APP, IndexVersion.REPLACED) is None


async def test_what_fails_while_staging_leaves_nothing(store: Store) -> None:
    """Neither a source that breaks off nor a full disk leaves a staged file, or touches the one in place."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise InvalidLayoutError("torn")

    store.layout().write()
    with pytest.raises(InvalidLayoutError):
        await store.files.stage(APP, broken())
    assert list(store.layout().path.glob(".uploads/*")) == []


async def test_every_operation_may_fail(tmp_path: Path, pools: ThreadPools) -> None:
    """Whichever operation of an export fails, index.json stays complete, nothing is lost, and the retry succeeds."""
    for nth in range(1000):
        disk = NthFails(5)
        store = Store(tmp_path / str(nth), pools, disk=disk)
        await store.push(ONE, "one")
        await store.exporter.export(APP)
        await store.push(image("two"), "two")
        disk.arm(nth)
        with suppress(StorageError):
            await store.exporter.export(APP)
        reached = disk.disarm()
        assert store.layout().tags().keys() in ({"one"}, {"one", "two"})
        assert await store.exporter.export(APP)
        assert store.layout().tags().keys() == {"one", "two"}
        assert await store.tags() == store.layout().tags()
        if not reached:
            break
    else:
        pytest.fail("it never ends")
    assert nth > 10


async def test_only_sound_small_files_are_content(store: Store) -> None:
    """A file that is missing, too large, damaged or a directory is reported as that, in its place."""
    layout = store.layout()
    contents = [b"sound", b"damaged", b"much too large", b"missing", b"directory"]
    for content in contents[:3]:
        layout.put_content(content)
    digests = [Digest(sha256(content)) for content in contents]
    layout.file(digests[1]).write_bytes(b"DAMAGED")
    layout.file(digests[4]).mkdir()
    found = await store.files.contents(APP, digests, 10)
    assert [file if isinstance(file, Unread) else file.content for file in found] == [
        b"sound",
        Unread.DAMAGED,
        Unread.TOO_LARGE,
        Unread.MISSING,
        Unread.MISSING,
    ]


async def test_a_layout_is_locked_by_one_at_a_time(store: Store, pools: ThreadPools) -> None:
    """The lock is exclusive among processes, ends with the block, and needs a directory to be one."""
    other = Store(store.root, pools)
    async with store.files.lock(APP) as alone, other.files.lock(APP) as also:
        assert alone
        assert also
    store.layout().write()
    async with store.files.lock(APP) as alone, other.files.lock(APP) as also:
        assert alone
        assert not also
    async with other.files.lock(APP) as alone:
        assert alone


async def test_removing_leaves_what_is_not_ours(store: Store) -> None:
    """Removing a layout leaves nested repositories and other programs' files, and is idempotent."""
    layout, nested = store.layout(), store.layout(parse_repository(f"{APP}/nested"))
    layout.put(ONE)
    layout.write(ONE.descriptor("one"))
    nested.write()
    await store.files.remove(APP)
    await store.files.remove(APP)
    assert await names(store.files) == {f"{APP}/nested"}
    assert layout.file(ONE.digest).is_file()
