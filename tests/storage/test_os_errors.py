"""Each disk operation fails once, in each way of failing: the storage raises its error and keeps working."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from storage.failing_disk import NthFails
from storage.pushing import body, ignore
from zot.oci.digest import digest_of
from zot.oci.names import parse_repository
from zot.storage.disk import Disk, File
from zot.storage.filesystem import FilesystemStorage
from zot.storage.interface import Progress, StorageError, StorageFullError, UploadKey, UploadMissingError
from zot.storage.os_errors import as_storage_error
from zot.storage.threads import ThreadPools

APP = parse_repository("team/app")
OTHER = parse_repository("team/other")
UPLOAD = UploadKey(APP, "the-session")
CONTENT = b"content " * 500
DIGEST = digest_of(CONTENT)

# None is a short write: no failure, but the rest has to be written, too.
WAYS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "EINTR": errno.EINTR, "short write": None}

Act = Callable[[FilesystemStorage], Awaitable[object]]


async def nothing(_: FilesystemStorage) -> None:
    """Do nothing."""


async def begin(storage: FilesystemStorage) -> None:
    """Stage the upload without a byte."""
    await storage.append(UPLOAD, Progress(0), body(), ignore)


async def append(storage: FilesystemStorage) -> None:
    """Append in two requests, cutting something."""
    await storage.append(UPLOAD, Progress(0), body(CONTENT[:1000], b"to be cut"), ignore)
    await storage.append(UPLOAD, Progress(1000), body(CONTENT[1000:]), ignore)


async def verify(storage: FilesystemStorage) -> None:
    """Verify the bytes by reading them."""
    await storage.verify(UPLOAD, Progress(len(CONTENT)), DIGEST)


async def place(storage: FilesystemStorage) -> None:
    """Place the upload."""
    await storage.place(UPLOAD, Progress(len(CONTENT)), DIGEST, None)


async def place_beside_twin(storage: FilesystemStorage) -> None:
    """Place the upload where another repository has the content."""
    await storage.place(UPLOAD, Progress(len(CONTENT)), DIGEST, OTHER)


async def put(storage: FilesystemStorage) -> None:
    """Store small content."""
    await storage.put(APP, DIGEST, CONTENT)


async def link(storage: FilesystemStorage) -> None:
    """Link content of another repository."""
    await storage.link(OTHER, APP, DIGEST, len(CONTENT))


async def read(storage: FilesystemStorage) -> None:
    """Read content and its size, list content and uploads, and check the store."""
    content = await storage.open(APP, DIGEST)
    try:
        assert await content.read(0, content.size) == CONTENT
    finally:
        content.close()
    assert await storage.stat(APP, DIGEST) == len(CONTENT)
    assert [found.digest async for found in storage.walk(APP)] == [DIGEST]
    await storage.staged(APP)
    await storage.free_bytes(APP)
    await storage.ready()


async def remove(storage: FilesystemStorage) -> None:
    """Remove content."""
    await storage.remove(APP, DIGEST)


async def discard(storage: FilesystemStorage) -> None:
    """Discard the upload."""
    await storage.discard(UPLOAD)


async def put_other(storage: FilesystemStorage) -> None:
    """Store the content in the other repository."""
    await storage.put(OTHER, DIGEST, CONTENT)


SCENARIOS: dict[str, tuple[list[Act], Act]] = {
    "begin": ([nothing], begin),
    "append": ([begin], append),
    "verify": ([begin, append], verify),
    "place": ([begin, append], place),
    "place beside a twin": ([put_other, begin, append], place_beside_twin),
    "place onto content": ([put, begin, append], place),
    "place again": ([begin, append, place], place),
    "put": ([nothing], put),
    "link": ([put_other], link),
    "link onto content": ([put_other, put], link),
    "read": ([put], read),
    "remove": ([put], remove),
    "discard": ([begin, append], discard),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_every_operation_fails_once(scenario: str, way: str, tmp_path: Path, pools: ThreadPools) -> None:
    """A failure is a StorageError (StorageFullError on a full disk), leaves no file behind, and a retry works.

    If the disk did not keep the bytes of an upload that was being placed, the upload is lost and a new one works.
    """
    before, act = SCENARIOS[scenario]
    nth = 0
    reached = True
    while reached:
        disk = NthFails(WAYS[way])
        root = tmp_path / f"{nth}"
        storage = FilesystemStorage(str(root), pools, disk=disk, min_free_percent=0, min_free_bytes=0)
        for each in before:
            await each(storage)
        disk.arm(nth)
        failed = await _error_of(act(storage))
        reached = disk.disarm()
        if way == "short write":
            assert failed is None
        elif isinstance(failed, StorageFullError):
            assert way == "ENOSPC"
        elif failed is not None:
            assert way != "ENOSPC" or isinstance(failed, UploadMissingError)
        _assert_nothing_left(root, disk)
        await _assert_works(storage, act)
        nth += 1
    assert nth > 1


async def _error_of(call: Awaitable[object]) -> StorageError | None:
    try:
        await call
    except StorageError as error:
        return error
    return None


def _assert_nothing_left(root: Path, disk: NthFails) -> None:
    """Only the upload itself is staged, unless it was the removal of a file that failed."""
    if disk.failed_verb == "unlink":
        return
    found = {entry for entry in root.rglob("*") if entry.is_file()}
    staged = {entry.name for entry in found if entry.parent.name == ".uploads"}
    assert staged <= {UPLOAD.session}
    assert not [entry for entry in found if entry.parent.name == ".zot" and entry.name != "store.json"]


async def _assert_works(storage: FilesystemStorage, act: Act) -> None:
    try:
        await act(storage)
    except UploadMissingError:
        assert act in {place, place_beside_twin}
    await storage.append(UPLOAD, Progress(0), body(CONTENT), ignore)
    await storage.place(UPLOAD, Progress(len(CONTENT)), DIGEST, None)
    await read(storage)


def test_a_quota_is_a_full_disk() -> None:
    """An exhausted quota of the file system is the same error as a full disk."""
    error = as_storage_error(OSError(errno.EDQUOT, "Disk quota exceeded", "/data/a"), "store something")
    assert isinstance(error, StorageFullError)
    assert str(error) == "cannot store something: Disk quota exceeded: /data/a"


async def test_a_failed_sync_is_not_tried_again(tmp_path: Path, pools: ThreadPools) -> None:
    """After a failed sync the staged file is dropped: a second sync would prove nothing."""
    disk = NthFails(errno.EIO)
    storage = FilesystemStorage(str(tmp_path), pools, disk=disk, min_free_percent=0, min_free_bytes=0)
    await begin(storage)
    await append(storage)
    await storage.put(APP, digest_of(b"first"), b"first")
    disk.arm_verb("sync")
    with pytest.raises(StorageError):
        await place(storage)
    disk.disarm()
    with pytest.raises(UploadMissingError):
        await place(storage)
    assert await storage.stat(APP, DIGEST) is None


async def test_a_failed_sync_during_an_append_ends_it(tmp_path: Path, pools: ThreadPools) -> None:
    """Long uploads are synced while they arrive; if that fails the append raises, and the upload is gone."""
    disk = NthFails(errno.EIO)
    storage = FilesystemStorage(str(tmp_path), pools, disk=disk, min_free_percent=0, min_free_bytes=0)
    await begin(storage)
    disk.arm_verb("sync")
    with pytest.raises(StorageError):
        await storage.append(UPLOAD, Progress(0), body(*[bytes(1024 * 1024)] * 40), ignore)
    disk.disarm()
    assert await storage.staged(APP) == []


@pytest.mark.parametrize("fails", [False, True])
async def test_a_cancellation_outweighs_a_failed_sync(tmp_path: Path, pools: ThreadPools, fails: bool) -> None:
    """An append cancelled during a sync waits for the sync, and is cancelled whether or not the sync fails."""
    disk = HeldSync(errno.EIO if fails else 0)
    storage = FilesystemStorage(str(tmp_path), pools, disk=disk, min_free_percent=0, min_free_bytes=0)
    await begin(storage)
    given = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        for _ in range(33):
            yield bytes(1024 * 1024)
        given.set()
        await asyncio.Event().wait()

    appending = asyncio.create_task(storage.append(UPLOAD, Progress(0), stalling(), ignore))
    await given.wait()
    appending.cancel()
    await asyncio.sleep(0)
    assert not appending.done()
    disk.release.set()
    with pytest.raises(asyncio.CancelledError):
        await appending
    assert [session for session, _ in await storage.staged(APP)] == ([] if fails else [UPLOAD.session])


class HeldSync(Disk):
    """A disk whose syncs of files wait for `release`, and may fail."""

    def __init__(self, error: int) -> None:
        """Let them fail with that errno, unless it is 0."""
        self.release = threading.Event()
        self._error = error

    def sync(self, file: File) -> None:
        """Wait, then sync or fail."""
        if file.path.endswith(UPLOAD.session):
            self.release.wait()
            if self._error:
                raise OSError(self._error, os.strerror(self._error), file.path)
        super().sync(file)


async def test_bytes_before_a_failed_write_are_recorded(tmp_path: Path, pools: ThreadPools) -> None:
    """When the disk fills up during an append, the complete writes are recorded and the upload can be continued."""
    disk = NthFails(errno.ENOSPC)
    storage = FilesystemStorage(str(tmp_path), pools, disk=disk, min_free_percent=0, min_free_bytes=0)
    await begin(storage)
    seen: list[Progress] = []

    async def remember(progress: Progress) -> None:
        seen.append(progress)

    piece = os.urandom(1024 * 1024)
    disk.arm_verb("write", 2)
    with pytest.raises(StorageFullError):
        await storage.append(UPLOAD, Progress(0), body(*[piece] * 5), remember)
    disk.disarm()
    assert seen[-1] == Progress(2 * len(piece), "sha256", digest_of(piece * 2))
    progress = await storage.append(UPLOAD, seen[-1], body(*[piece] * 3), remember)
    assert progress.prefix == digest_of(piece * 5)
    await storage.verify(UPLOAD, Progress(progress.offset), digest_of(piece * 5))


async def test_the_failure_names_what_and_where(tmp_path: Path, pools: ThreadPools) -> None:
    """The error on a missing permission names the operation and the path."""
    disk = NthFails(errno.EACCES)
    storage = FilesystemStorage(str(tmp_path), pools, disk=disk, min_free_percent=0, min_free_bytes=0)
    await storage.identity()
    disk.arm_verb("create")
    with pytest.raises(StorageError, match=rf"begin an upload to team/app: Permission denied: {tmp_path}"):
        await begin(storage)
