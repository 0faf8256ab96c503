"""Repositories and the storages they belong to."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.pushing import push
from zot.oci.digest import digest_of, hex_of
from zot.oci.names import parse_repository
from zot.storage.filesystem import FilesystemStorage
from zot.storage.interface import StorageError
from zot.storage.memory import MemoryStorage
from zot.storage.per_store import PerStoreStorage
from zot.storage.threads import ThreadPools

APP = parse_repository("team/app")
INFRA = parse_repository("infra/app")
ALONE = parse_repository("infra")


@pytest.mark.parametrize(
    ("name", "routed"),
    [("infra/app", True), ("infra/a/b", True), ("infra", False), ("infrared/app", False), ("team/infra", False)],
)
def test_the_first_component_decides(name: str, routed: bool) -> None:
    """A route serves the names below it; a name of one component is always in the default storage."""
    default, infra = MemoryStorage(), MemoryStorage()
    storage = PerStoreStorage(default, {"/infra": infra})
    assert storage.of(parse_repository(name)) is (infra if routed else default)


def on(tmp_path: Path, pools: ThreadPools) -> PerStoreStorage:
    """Return a storage with two roots, `a` and, for `infra/`, `b`."""
    a, b = (FilesystemStorage(str(tmp_path / name), pools, min_free_percent=0, min_free_bytes=0) for name in ("a", "b"))
    return PerStoreStorage(a, {"/infra": b})


async def test_names_are_kept_whole(tmp_path: Path, pools: ThreadPools) -> None:
    """Below a route's root the repository has its full name."""
    storage = on(tmp_path, pools)
    digest = await push(storage, INFRA, b"content")
    await push(storage, ALONE, b"content")
    assert (tmp_path / "b" / "infra" / "app" / "blobs" / "sha256" / hex_of(digest)).is_file()
    assert (tmp_path / "a" / "infra" / "blobs" / "sha256" / hex_of(digest)).is_file()


async def test_content_is_shared_within_a_root_and_copied_between(tmp_path: Path, pools: ThreadPools) -> None:
    """A link within a root is one inode; to another root the content is copied, and a twin there is ignored."""
    storage = on(tmp_path, pools)
    digest = await push(storage, APP, b"content")
    other, below = parse_repository("team/other"), parse_repository("infra/other")
    await storage.link(APP, other, digest, 7)
    await storage.link(APP, INFRA, digest, 7)
    await push(storage, below, b"content", twin=APP)
    links = [
        (tmp_path / root / repository / "blobs" / "sha256" / hex_of(digest)).stat().st_nlink
        for root, repository in [("a", APP), ("a", other), ("b", INFRA), ("b", below)]
    ]
    assert links == [2, 2, 1, 1]
    assert storage.same_root(APP, other)
    assert not storage.same_root(APP, INFRA)


async def test_a_twin_elsewhere_is_not_looked_for_here(tmp_path: Path, pools: ThreadPools) -> None:
    """A file under the twin's name in a root that is not the twin's is not shared."""
    storage = on(tmp_path, pools)
    content = b"content"
    digest = await push(storage, APP, content)
    left_over = FilesystemStorage(str(tmp_path / "b"), pools, min_free_percent=0, min_free_bytes=0)
    await left_over.put(APP, digest, b"damaged")
    await push(storage, INFRA, content, twin=APP)
    assert (tmp_path / "b" / INFRA / "blobs" / "sha256" / hex_of(digest)).read_bytes() == content


async def test_small_contents_of_several_storages(tmp_path: Path, pools: ThreadPools) -> None:
    """Each is stored where its repository is."""
    storage = on(tmp_path, pools)
    one, two = b"one", b"two"
    contents = {digest_of(one): one, digest_of(two): two}
    await storage.put_all({APP: contents, INFRA: {digest_of(two): two}})
    assert {digest: await storage.stat(APP, digest) for digest in contents} == dict.fromkeys(contents, 3)
    assert await storage.stat(INFRA, digest_of(one)) is None
    assert (tmp_path / "b" / INFRA / "blobs" / "sha256" / hex_of(digest_of(two))).read_bytes() == two
    assert not (tmp_path / "a" / INFRA).exists()


async def test_all_storages_must_be_ready(tmp_path: Path, pools: ThreadPools) -> None:
    """If one root is not the expected store, the whole storage is not ready."""
    lost = FilesystemStorage(str(tmp_path / "lost"), pools, expected="another")
    storage = PerStoreStorage(MemoryStorage(), {"/infra": lost})
    with pytest.raises(StorageError):
        await storage.ready()
