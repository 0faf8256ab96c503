"""Open contents are shared by the requests of a moment, and only while their files are what they were."""

import asyncio
import os
from contextlib import closing
from pathlib import Path

import pytest

from storage.failing_disk import ObservedDisk
from storage.pushing import push
from zot.oci.digest import Digest, hex_of
from zot.oci.names import parse_repository
from zot.storage.file_content import KEPT_FILES, KEPT_S
from zot.storage.filesystem import FilesystemStorage
from zot.storage.interface import ContentMissingError
from zot.storage.threads import ThreadPools

APP = parse_repository("team/app")
SMALL, LARGE = b"small", b"large " * 50_000


def on(root: Path, pools: ThreadPools, disk: ObservedDisk | None = None) -> FilesystemStorage:
    """Return a storage without a reserve."""
    return FilesystemStorage(str(root), pools, disk=disk, min_free_percent=0, min_free_bytes=0)


def file_of(root: Path, digest: Digest) -> Path:
    """Return the path of content of the repository."""
    return root / APP / "blobs" / "sha256" / hex_of(digest)


def descriptors_of(path: Path) -> int:
    """Return how many descriptors of this process are of a file."""
    return sum(each.exists() and each.samefile(path) for each in Path("/dev/fd").iterdir())


@pytest.mark.parametrize("content", [SMALL, LARGE])
async def test_readers_of_a_moment_share_a_file(tmp_path: Path, pools: ThreadPools, content: bytes) -> None:
    """The second opens nothing, and reads on when the first has closed it; its size is known without a look by name."""
    disk = ObservedDisk()
    storage = on(tmp_path, pools, disk)
    digest = await push(storage, APP, content)
    first = await storage.open(APP, digest)
    disk.operations.clear()
    with closing(await storage.open(APP, digest)) as second:
        first.close()
        first.close()
        assert await second.read(1, 3) == content[1:4]
        assert await storage.stat(APP, digest) == len(content)
    assert "open" not in disk.verbs()
    await storage.close()


@pytest.mark.parametrize("content", [SMALL, LARGE])
async def test_what_other_programs_do_to_a_file_is_seen_at_once(
    tmp_path: Path, pools: ThreadPools, content: bytes
) -> None:
    """A file that was cut, replaced or removed is not taken for what it was, although it is still open."""
    storage = on(tmp_path, pools)
    digest = await push(storage, APP, content)
    path = file_of(tmp_path, digest)
    (await storage.open(APP, digest)).close()
    os.truncate(path, 3)
    assert await storage.stat(APP, digest) == 3
    (await storage.open(APP, digest)).close()
    path.with_name("other").write_bytes(content)
    path.with_name("other").rename(path)
    assert await storage.stat(APP, digest) == len(content)
    (await storage.open(APP, digest)).close()
    path.unlink()
    assert await storage.stat(APP, digest) is None
    with pytest.raises(ContentMissingError):
        await storage.open(APP, digest)


async def test_quarantined_content_is_missed_at_once(tmp_path: Path, pools: ThreadPools) -> None:
    """It keeps its bytes and has as many names as before, but is not the blob any more."""
    storage = on(tmp_path, pools)
    digest = await push(storage, APP, LARGE)
    (await storage.open(APP, digest)).close()
    await storage.quarantine(APP, digest)
    assert await storage.stat(APP, digest) is None
    with pytest.raises(ContentMissingError):
        await storage.open(APP, digest)


async def test_a_name_of_a_file_with_several_is_missed_when_it_is_removed(tmp_path: Path, pools: ThreadPools) -> None:
    """Also where the same bytes in another repository are a link to it."""
    storage = on(tmp_path, pools)
    digest = await push(storage, APP, LARGE)
    await storage.link(APP, parse_repository("team/other"), digest, len(LARGE))
    (await storage.open(APP, digest)).close()
    file_of(tmp_path, digest).unlink()
    assert await storage.stat(APP, digest) is None


async def test_a_file_is_closed_after_its_moment(tmp_path: Path, pools: ThreadPools) -> None:
    """Without further requests too, so that a disk can be unmounted; or with the storage."""
    storage = on(tmp_path, pools)
    digest = await push(storage, APP, LARGE)
    path = file_of(tmp_path, digest)
    (await storage.open(APP, digest)).close()
    assert descriptors_of(path) == 1
    while descriptors_of(path):  # noqa: ASYNC110 (nothing tells of it)
        await asyncio.sleep(KEPT_S / 10)
    (await storage.open(APP, digest)).close()
    await storage.close()
    assert descriptors_of(path) == 0


async def test_few_files_are_kept(tmp_path: Path, pools: ThreadPools) -> None:
    """However many are read in a moment; the oldest are closed."""
    storage = on(tmp_path, pools)
    before = len(list(Path("/dev/fd").iterdir()))
    for number in range(KEPT_FILES + 20):
        (await storage.open(APP, await push(storage, APP, b"%d" % number))).close()
    assert len(list(Path("/dev/fd").iterdir())) == before + KEPT_FILES
    await storage.close()
