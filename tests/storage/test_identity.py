"""The identity of a store, kept in its root."""

from __future__ import annotations

import errno
import json
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from storage.failing_disk import FailingDisk
from storage.pushing import begin, push
from zot.oci.names import parse_repository
from zot.storage.disk import Disk
from zot.storage.filesystem import FilesystemStorage
from zot.storage.identity import StoreIdentity
from zot.storage.interface import StorageError, UploadKey
from zot.storage.threads import ThreadPools

APP = parse_repository("team/app")


def at(root: Path, pools: ThreadPools, expected: str | None = None) -> FilesystemStorage:
    """Return a storage without a reserve."""
    return FilesystemStorage(str(root), pools, expected=expected, min_free_percent=0, min_free_bytes=0)


async def test_an_identity_is_made_once(tmp_path: Path, pools: ThreadPools) -> None:
    """A new root gets an identity, which it keeps, and under which it can be opened."""
    made = await at(tmp_path / "root", pools).identity()
    assert str(UUID(made)) == made
    assert json.loads((tmp_path / "root" / ".zot" / "store.json").read_bytes()) == {"store": made}
    again = at(tmp_path / "root", pools, expected=made)
    await again.ready()
    assert await again.identity() == made


def test_threads_that_begin_together_agree(tmp_path: Path) -> None:
    """Of two first requests to a new root, one that looked before the other made the identity finds it, too."""

    class Overtaken(Disk):
        other: Future[str] | None = None

        def read_file(self, path: str, limit_bytes: int) -> bytes:
            try:
                return super().read_file(path, limit_bytes)
            except FileNotFoundError:
                if self.other is None:
                    self.other = pool.submit(identity.establish)
                    # It may have to wait for this thread: then it goes on afterwards.
                    wait([self.other], 0.2)
                raise

    disk = Overtaken()
    identity = StoreIdentity(disk, str(tmp_path / "root"), None)
    with ThreadPoolExecutor(1) as pool:
        made = identity.establish()
        assert disk.other is not None
        assert disk.other.result() == made


async def test_a_foreign_store_gets_an_identity(tmp_path: Path, pools: ThreadPools) -> None:
    """A directory that another program filled gets an identity."""
    (tmp_path / "app" / "blobs").mkdir(parents=True)
    made = await at(tmp_path, pools).identity()
    assert str(UUID(made)) == made


@pytest.mark.parametrize("missing", [False, True])
async def test_an_empty_root_is_not_the_store(tmp_path: Path, pools: ThreadPools, missing: bool) -> None:
    """Where a certain store is expected, an empty or missing root is an error, and nothing is created in it."""
    root = tmp_path / "root"
    if not missing:
        root.mkdir()
    storage = at(root, pools, expected=str(uuid4()))
    with pytest.raises(StorageError, match="is its disk mounted"):
        await storage.ready()
    with pytest.raises(StorageError, match="is its disk mounted"):
        await begin(storage, UploadKey(APP, "session"))
    assert not missing or not root.exists()
    assert missing or not list(root.iterdir())


async def test_another_store_is_refused(tmp_path: Path, pools: ThreadPools) -> None:
    """A root with another identity than expected is an error that names both."""
    made = await at(tmp_path, pools).identity()
    expected = str(uuid4())
    with pytest.raises(StorageError, match=rf"is store {made}, but store {expected} is expected"):
        await at(tmp_path, pools, expected=expected).identity()


async def test_a_root_that_vanishes_is_noticed(tmp_path: Path, pools: ThreadPools) -> None:
    """With its disk unmounted a server is not ready and begins no upload, until the disk is mounted again."""
    root, aside = tmp_path / "root", tmp_path / "aside"
    storage = at(root, pools)
    digest = await push(storage, APP, b"content")
    root.rename(aside)
    root.mkdir()
    with pytest.raises(StorageError, match="is its disk mounted"):
        await begin(storage, UploadKey(APP, "session"))
    with pytest.raises(StorageError, match="is its disk mounted"):
        await storage.ready()
    assert list(root.iterdir()) == []
    root.rmdir()
    aside.rename(root)
    await storage.ready()
    await begin(storage, UploadKey(APP, "session"))
    assert await storage.stat(APP, digest) == 7


@pytest.mark.parametrize("content", [None, "", '{"store": "another"}'])
async def test_a_lost_identity_is_noticed_while_serving(
    tmp_path: Path, pools: ThreadPools, content: str | None
) -> None:
    """An identity that is removed, emptied or replaced stops new uploads at once, until it is restored."""
    storage = at(tmp_path, pools)
    await push(storage, APP, b"content")
    file = tmp_path / ".zot" / "store.json"
    kept = file.read_text()
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(StorageError):
        await begin(storage, UploadKey(APP, "session"))
    file.write_text(kept)
    await begin(storage, UploadKey(APP, "session"))


async def test_a_damaged_identity_is_an_error(tmp_path: Path, pools: ThreadPools) -> None:
    """A store.json that cannot be parsed is an error that names the file."""
    await at(tmp_path, pools).identity()
    (tmp_path / ".zot" / "store.json").write_text("[]")
    with pytest.raises(StorageError, match=r"store\.json is damaged"):
        await at(tmp_path, pools).ready()


@pytest.mark.parametrize("links", [True, False])
def test_processes_that_start_together_agree(tmp_path: Path, links: bool) -> None:
    """All processes return the identity that the first one created; it works without hard links, too."""
    disk = Disk() if links else FailingDisk(lambda each: errno.EPERM if each.verb == "link" else 0)
    with ThreadPoolExecutor(8) as threads:
        made = list(
            threads.map(lambda _: StoreIdentity(disk, str(tmp_path), None).establish(), range(8 if links else 1))
        )
    assert len(set(made)) == 1
    assert [entry.name for entry in (tmp_path / ".zot").iterdir()] == ["store.json"]


class ReadOnlyDisk(Disk):
    """A disk that reports itself as read-only, since a test that runs as root may write to any real one."""

    def writable(self, path: str) -> bool:
        """Return False."""
        del path
        return False


async def test_a_read_only_root_is_not_ready(tmp_path: Path, pools: ThreadPools) -> None:
    """A root that cannot be written to is reported as such; its content can be read."""
    storage = at(tmp_path, pools)
    digest = await push(storage, APP, b"content")
    read_only = FilesystemStorage(str(tmp_path), pools, disk=ReadOnlyDisk())
    with pytest.raises(StorageError, match=f"cannot write to {tmp_path}"):
        await read_only.ready()
    assert await read_only.stat(APP, digest) == 7


async def test_a_relative_root_stays_where_it_is(
    tmp_path: Path, pools: ThreadPools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative root is resolved once: changing the working directory does not move it."""
    monkeypatch.chdir(tmp_path)
    storage = at(Path("data"), pools)
    digest = await push(storage, APP, b"content")
    monkeypatch.chdir("/")
    assert await storage.stat(APP, digest) == 7
