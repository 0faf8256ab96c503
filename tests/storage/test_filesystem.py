"""The file system driver: layout, order of operations, hard links, free space, memory."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import stat
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.failing_disk import FailingDisk, ObservedDisk
from storage.pushing import begin, body, ignore, push
from zot.oci.digest import Digest, digest_of, hex_of
from zot.oci.names import Repository, parse_repository
from zot.storage.disk import CHANGES, Disk, DiskOperation
from zot.storage.filesystem import FilesystemStorage
from zot.storage.interface import (
    ContentMissingError,
    Progress,
    StorageError,
    StorageFullError,
    UploadKey,
    UploadMissingError,
)
from zot.storage.threads import ThreadPools

APP = parse_repository("team/app")
OTHER = parse_repository("team/other")
CONTENT = b"content " * 500
MIB = 1024 * 1024


def on(root: Path, pools: ThreadPools, disk: Disk | None = None, *, durable: bool = True) -> FilesystemStorage:
    """Return a storage without a reserve."""
    return FilesystemStorage(str(root), pools, disk=disk, durable=durable, min_free_percent=0, min_free_bytes=0)


def file_of(root: Path, repository: Repository, digest: Digest) -> Path:
    """Return the path of content by the specification of the image layout."""
    return root / repository / "blobs" / "sha256" / hex_of(digest)


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("kind", ["pipe", "outside", "twin"])
async def test_what_is_no_regular_file_is_no_content(
    tmp_path: Path, pools: ThreadPools, kind: str, *, durable: bool
) -> None:
    """A pipe or a symbolic link under a digest's name is not served, not linked, and replaced by a push."""
    storage = on(tmp_path / "root", pools, durable=durable)
    outside = tmp_path / "outside"
    outside.write_bytes(CONTENT)
    digest = await push(storage, APP, CONTENT)
    planted = file_of(tmp_path / "root", OTHER, digest)
    planted.parent.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(planted)
    else:
        planted.symlink_to(outside if kind == "outside" else file_of(tmp_path / "root", APP, digest))
    assert await storage.stat(OTHER, digest) is None
    with pytest.raises(ContentMissingError):
        await storage.open(OTHER, digest)
    with pytest.raises(ContentMissingError):
        await storage.link(OTHER, parse_repository("team/third"), digest, len(CONTENT))
    assert [found async for found in storage.walk(OTHER)] == []
    await push(storage, OTHER, CONTENT)
    assert stat.S_ISREG(planted.lstat().st_mode)
    assert await storage.stat(OTHER, digest) == len(CONTENT)
    planted.unlink()
    planted.symlink_to(outside)
    await storage.link(APP, OTHER, digest, len(CONTENT))
    assert planted.samefile(file_of(tmp_path / "root", APP, digest))
    assert not planted.is_symlink()
    assert outside.read_bytes() == CONTENT


async def test_content_is_missing_again_after_a_pipe_was_quarantined(tmp_path: Path, pools: ThreadPools) -> None:
    """A file of any kind in the quarantine does not prevent recording that the same content is lost again."""
    storage = on(tmp_path / "root", pools, durable=False)
    digest = await push(storage, APP, CONTENT)
    file = file_of(tmp_path / "root", APP, digest)
    file.unlink()
    os.mkfifo(file)
    assert await storage.quarantine(APP, digest)
    assert not await storage.quarantine(APP, digest)
    assert await storage.is_quarantined(APP, digest)
    assert await push(storage, APP, CONTENT) == digest
    assert await storage.is_whole(APP, digest)


async def test_each_repository_has_its_content_as_an_image_layout(tmp_path: Path, pools: ThreadPools) -> None:
    """A repository that was pushed to has content and no other files; the export writes what makes it a layout."""
    storage = on(tmp_path, pools)
    digest = await push(storage, APP, CONTENT)
    layout = tmp_path / "team" / "app"
    assert sorted(entry.name for entry in layout.iterdir()) == [".uploads", "blobs"]
    assert file_of(tmp_path, APP, digest).read_bytes() == CONTENT


async def test_an_upload_alone_makes_no_layout(tmp_path: Path, pools: ThreadPools) -> None:
    """A repository without a finished push is not a layout, since zot would list it."""
    await begin(on(tmp_path, pools), UploadKey(APP, "session"))
    assert [entry.name for entry in (tmp_path / "team" / "app").iterdir()] == [".uploads"]


async def test_an_existing_layout_is_kept(tmp_path: Path, pools: ThreadPools) -> None:
    """Files that other tools wrote into a layout stay as they are."""
    layout = tmp_path / "team" / "app"
    layout.mkdir(parents=True)
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0", "by": "skopeo"}')
    (layout / "index.json").write_text("{}")
    await push(on(tmp_path, pools), APP, CONTENT)
    assert "skopeo" in (layout / "oci-layout").read_text()
    assert (layout / "index.json").read_text() == "{}"


async def test_other_users_cannot_read_it(tmp_path: Path, pools: ThreadPools) -> None:
    """Directories are 0700 and files 0600, as zot makes them."""
    storage = on(tmp_path / "root", pools)
    await push(storage, APP, CONTENT)
    await begin(storage, UploadKey(APP, "session"))
    await storage.put(APP, digest_of(b"{}"), b"{}")
    for path in [tmp_path / "root", *(tmp_path / "root").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


async def test_foreign_files_are_skipped(tmp_path: Path, pools: ThreadPools) -> None:
    """A walk skips files whose names are not digests, and directories."""
    storage = on(tmp_path, pools)
    digest = await push(storage, APP, CONTENT)
    blobs = file_of(tmp_path, APP, digest).parent
    (blobs / "README").write_text("not ours")
    (blobs / ("0" * 64)).mkdir()
    (tmp_path / APP / ".uploads" / ".hidden").write_text("not ours")
    assert [found.digest async for found in storage.walk(APP)] == [digest]
    assert await storage.staged(APP) == []


async def test_a_removed_repository_is_made_again(tmp_path: Path, pools: ThreadPools) -> None:
    """The next push recreates a repository's directories, which collection removes when they are empty."""
    storage = on(tmp_path, pools)
    digest = await push(storage, APP, CONTENT)
    await storage.remove(APP, digest)
    layout = tmp_path / APP
    for directory in ("blobs/sha256", "blobs", ".uploads", "."):
        (layout / directory).rmdir()
    await push(storage, APP, CONTENT)
    assert file_of(tmp_path, APP, digest).read_bytes() == CONTENT


async def test_a_lock_on_placed_bytes_is_not_taken_for_one_on_an_upload(tmp_path: Path, pools: ThreadPools) -> None:
    """A request that opened a staged file before it was placed, and locked it after, does not change it."""
    upload, digest = UploadKey(APP, "session"), digest_of(CONTENT)
    writer = on(tmp_path, pools)
    await writer.append(upload, Progress(0), body(CONTENT), ignore)
    await writer.put(APP, digest_of(b"{}"), b"{}")

    def place_before_the_lock(operation: DiskOperation) -> int:
        if operation.verb == "lock":
            Path(operation.path).rename(file_of(tmp_path, APP, digest))
        return 0

    late = on(tmp_path, pools, FailingDisk(place_before_the_lock))
    with pytest.raises(UploadMissingError):
        await late.append(upload, Progress(0), body(b"!"), ignore)
    assert file_of(tmp_path, APP, digest).read_bytes() == CONTENT


async def test_an_upload_discarded_just_before_its_rename_is_missing(tmp_path: Path, pools: ThreadPools) -> None:
    """A session that another request discards at the last moment is a missing upload, not a disk error."""
    upload = UploadKey(APP, "session")
    await begin(on(tmp_path, pools), upload)

    def discard_first(operation: DiskOperation) -> int:
        if operation.verb == "rename" and operation.path.endswith("/session"):
            Path(operation.path).unlink()
        return 0

    with pytest.raises(UploadMissingError):
        await on(tmp_path, pools, FailingDisk(discard_first)).place(upload, Progress(0), digest_of(b""), None)


# --- durability ---


def changes(disk: ObservedDisk, root: Path) -> list[str]:
    """Return the operations that changed the disk, as `verb name`."""
    return [
        f"{each.verb} {os.path.relpath(each.target or each.path, root)}"
        for each in disk.operations
        if each.verb in CHANGES
    ]


async def test_bytes_are_synced_before_their_name(tmp_path: Path, pools: ThreadPools) -> None:
    """Placing an upload syncs the file, renames it, syncs the directory, and does nothing else."""
    disk = ObservedDisk()
    storage = on(tmp_path, pools, disk)
    await push(storage, APP, b"the first")
    digest = digest_of(CONTENT)
    await storage.append(UploadKey(APP, "session"), Progress(0), body(CONTENT), ignore)
    disk.operations.clear()
    await storage.place(UploadKey(APP, "session"), Progress(len(CONTENT)), digest, None)
    assert changes(disk, tmp_path) == [
        "sync team/app/.uploads/session",
        f"rename team/app/blobs/sha256/{hex_of(digest)}",
        "sync directory team/app/blobs/sha256",
    ]


async def test_every_new_name_is_synced(tmp_path: Path, pools: ThreadPools) -> None:
    """Placing the first content syncs the directory of each name that it depends on, before it returns."""
    disk = ObservedDisk()
    await push(on(tmp_path, pools, disk), APP, CONTENT)
    done = changes(disk, tmp_path)
    for made, holder in [
        ("mkdir team", "."),
        ("mkdir team/app", "team"),
        ("mkdir team/app/blobs", "team/app"),
        ("mkdir team/app/blobs/sha256", "team/app/blobs"),
    ]:
        assert f"sync directory {holder}" in done[done.index(made) :]


async def test_linked_content_is_synced(tmp_path: Path, pools: ThreadPools) -> None:
    """A link syncs the bytes, which another process may have written, and its own name."""
    disk = ObservedDisk()
    storage = on(tmp_path, pools, disk)
    digest = await push(storage, OTHER, CONTENT)
    await push(storage, APP, b"the first")
    disk.operations.clear()
    await storage.link(OTHER, APP, digest, len(CONTENT))
    assert changes(disk, tmp_path) == [
        f"sync team/other/blobs/sha256/{hex_of(digest)}",
        f"link team/app/blobs/sha256/{hex_of(digest)}",
        "sync directory team/app/blobs/sha256",
    ]


async def test_placing_again_after_an_unknown_outcome_syncs(tmp_path: Path, pools: ThreadPools) -> None:
    """Placing existing content again syncs it: the first call may have been interrupted before that."""
    disk = ObservedDisk()
    storage = on(tmp_path, pools, disk)
    digest = await push(storage, APP, CONTENT)
    disk.operations.clear()
    await storage.place(UploadKey(APP, "session"), Progress(len(CONTENT)), digest, None)
    assert changes(disk, tmp_path) == [
        f"sync team/app/blobs/sha256/{hex_of(digest)}",
        "sync directory team/app/blobs/sha256",
    ]


async def test_content_that_is_put_again_is_synced(tmp_path: Path, pools: ThreadPools) -> None:
    """Putting existing content again syncs it, for the same reason; a file with other bytes is replaced."""
    disk = ObservedDisk()
    storage = on(tmp_path, pools, disk)
    digest = digest_of(b"{}")
    await storage.put(APP, digest, b"{}")
    disk.operations.clear()
    await storage.put(APP, digest, b"{}")
    assert changes(disk, tmp_path) == [
        f"sync team/app/blobs/sha256/{hex_of(digest)}",
        "sync directory team/app/blobs/sha256",
    ]
    file_of(tmp_path, APP, digest).write_bytes(b"{} and more")
    await storage.put(APP, digest, b"{}")
    assert file_of(tmp_path, APP, digest).read_bytes() == b"{}"


async def test_a_removal_is_synced(tmp_path: Path, pools: ThreadPools) -> None:
    """A removal is durable, also if the file was gone: the process that removed it may have died before the sync."""
    disk = ObservedDisk()
    storage = on(tmp_path, pools, disk)
    digest = await push(storage, APP, CONTENT)
    disk.operations.clear()
    await storage.remove(APP, digest)
    await storage.remove(OTHER, digest)
    assert changes(disk, tmp_path) == [
        f"unlink team/app/blobs/sha256/{hex_of(digest)}",
        "sync directory team/app/blobs/sha256",
    ]
    await storage.remove(APP, digest)
    assert changes(disk, tmp_path)[2:] == ["sync directory team/app/blobs/sha256"]


async def test_without_durability_nothing_is_synced(tmp_path: Path, pools: ThreadPools) -> None:
    """Without `durable` no operation on content syncs anything."""
    await on(tmp_path, pools).identity()
    disk = ObservedDisk()
    storage = on(tmp_path, pools, disk, durable=False)
    digest = await push(storage, APP, bytes(40 * MIB))
    await storage.link(APP, OTHER, digest, 40 * MIB)
    await storage.put(APP, digest_of(b"{}"), b"{}")
    assert not {"sync", "sync directory"} & set(disk.verbs())


async def test_long_uploads_are_synced_while_they_arrive(tmp_path: Path, pools: ThreadPools) -> None:
    """A long upload is synced while it arrives, so that placing it does not wait for all of its bytes."""
    disk = ObservedDisk()
    storage = on(tmp_path, pools, disk)
    upload = UploadKey(APP, "session")
    await storage.append(upload, Progress(0), body(*[bytes(MIB)] * 70), ignore)
    assert disk.operations.count(DiskOperation("sync", str(tmp_path / APP / ".uploads" / "session"))) == 2


# --- sharing ---


async def test_twins_share_their_bytes(tmp_path: Path, pools: ThreadPools) -> None:
    """Content that another repository has is one inode with two names."""
    storage = on(tmp_path, pools)
    digest = await push(storage, OTHER, CONTENT)
    await push(storage, APP, CONTENT, twin=OTHER)
    assert file_of(tmp_path, APP, digest).samefile(file_of(tmp_path, OTHER, digest))
    assert storage.links_refused == 0


async def test_linked_content_is_shared(tmp_path: Path, pools: ThreadPools) -> None:
    """A mounted blob is one inode with two names, also where the target had its own file."""
    storage = on(tmp_path, pools)
    digest = await push(storage, OTHER, CONTENT)
    await push(storage, APP, CONTENT)
    assert not file_of(tmp_path, APP, digest).samefile(file_of(tmp_path, OTHER, digest))
    await storage.link(OTHER, APP, digest, len(CONTENT))
    assert file_of(tmp_path, APP, digest).samefile(file_of(tmp_path, OTHER, digest))
    assert await storage.staged(APP) == []


@pytest.mark.parametrize("error", [errno.EMLINK, errno.EPERM, errno.EXDEV, errno.ENOTSUP])
async def test_a_refused_link_is_a_separate_file(
    error: int, tmp_path: Path, pools: ThreadPools, caplog: pytest.LogCaptureFixture
) -> None:
    """If a hard link is refused the content gets its own file, with one warning in all; each case is counted."""
    storage = on(tmp_path, pools, FailingDisk(lambda operation: error if _links_content(operation) else 0))
    digest = await push(storage, OTHER, CONTENT)
    await push(storage, APP, CONTENT, twin=OTHER)
    third = parse_repository("team/third")
    await storage.link(OTHER, third, digest, len(CONTENT))
    for repository in (APP, OTHER, third):
        assert file_of(tmp_path, repository, digest).read_bytes() == CONTENT
        assert file_of(tmp_path, repository, digest).stat().st_nlink == 1
    assert storage.links_refused == 2
    assert len(caplog.records) == 1


def _links_content(operation: DiskOperation) -> bool:
    return operation.verb == "link" and "/blobs/" in operation.path


async def test_damaged_content_is_not_copied(tmp_path: Path, pools: ThreadPools) -> None:
    """A copy is verified: damaged content is not copied."""
    storage = on(tmp_path, pools, FailingDisk(lambda each: errno.EMLINK if _links_content(each) else 0))
    digest = digest_of(CONTENT)
    await storage.put(OTHER, digest, bytes(len(CONTENT)))
    with pytest.raises(StorageError, match="damaged"):
        await storage.link(OTHER, APP, digest, len(CONTENT))
    assert await storage.stat(APP, digest) is None
    assert await storage.staged(APP) == []


async def test_a_twin_that_cannot_be_read_is_not_shared(
    tmp_path: Path, pools: ThreadPools, caplog: pytest.LogCaptureFixture
) -> None:
    """A push brings the bytes, so it succeeds even if the twin's file cannot be read."""
    digest = digest_of(CONTENT)
    await on(tmp_path, pools).put(OTHER, digest, CONTENT)
    bad = str(file_of(tmp_path, OTHER, digest))
    disk = FailingDisk(lambda each: errno.EIO if each == DiskOperation("sync", bad) else 0)
    await push(on(tmp_path, pools, disk), APP, CONTENT, twin=OTHER)
    assert file_of(tmp_path, APP, digest).stat().st_nlink == 1
    assert "not shared" in caplog.text


# --- free space ---


async def test_uploads_leave_space_free(tmp_path: Path, pools: ThreadPools) -> None:
    """Below the reserve no upload begins; existing content can be read and removed, and small content stored."""
    roomy = on(tmp_path, pools)
    digest = await push(roomy, APP, CONTENT)
    full = FilesystemStorage(str(tmp_path), pools, min_free_percent=100.0, min_free_bytes=0)
    with pytest.raises(StorageFullError, match="kept for deletes"):
        await begin(full, UploadKey(APP, "session"))
    await full.put(APP, digest_of(b"{}"), b"{}")
    await full.remove(APP, digest)
    assert await full.stat(APP, digest) is None


async def test_a_disk_that_fills_up_ends_the_append(
    tmp_path: Path, pools: ThreadPools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The free space is checked during an upload, too; the written bytes are recorded."""
    disk = ObservedDisk()
    full = FilesystemStorage(str(tmp_path), pools, min_free_percent=0.0, min_free_bytes=1 << 20, disk=disk)
    upload = UploadKey(APP, "session")
    seen = []

    async def remember(progress: Progress) -> None:
        seen.append(progress.offset)

    def free_bytes(_: str) -> tuple[int, int]:
        written = any(each.verb == "write" and each.path.endswith("/session") for each in disk.operations)
        return 0 if written else 1 << 40, 1 << 40

    monkeypatch.setattr(disk, "free_bytes", free_bytes)
    with pytest.raises(StorageFullError):
        await full.append(upload, Progress(0), body(*[bytes(MIB)] * 70), remember)
    assert seen == [63 * MIB]


# --- memory ---


async def test_a_long_upload_takes_little_memory(tmp_path: Path, pools: ThreadPools) -> None:
    """Of 256 MiB that arrive faster than they are written, less than 6 MiB are in memory at any moment."""
    storage = on(tmp_path, pools, durable=False)
    upload = UploadKey(APP, "session")
    seed = os.urandom(64 * 1024)

    async def long_body() -> AsyncIterator[bytes]:
        for _ in range(256 * 16):
            yield bytes(bytearray(seed))

    tracemalloc.start()
    try:
        progress = await storage.append(upload, Progress(0), long_body(), ignore)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert progress.offset == 256 * MIB
    assert peak_bytes < 6 * MIB


def open_files() -> int:
    """Return how many files this process has open."""
    return sum(1 for _ in Path("/dev/fd").iterdir())


async def test_files_are_closed(tmp_path: Path, pools: ThreadPools) -> None:
    """Pushes, reads, failures and cancelled calls leave no file open once the storage is closed."""
    storage = on(tmp_path, pools)
    digest = await push(storage, APP, CONTENT)
    gc.collect()  # else files of earlier tests may be closed meanwhile
    before = open_files()

    async def open_and_close() -> None:
        (await storage.open(APP, digest)).close()

    for steps in range(10):
        tasks = [asyncio.create_task(push(storage, APP, CONTENT)), asyncio.create_task(open_and_close())]
        for _ in range(steps):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await storage.close()
    assert open_files() <= before  # files of earlier tests may still be closed meanwhile
