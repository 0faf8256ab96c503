"""A blob of an upstream is received once, read by all while it comes, and stored only if its digest is right."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from layout.images import image, sha256
from layout.store import APP, Store, eventually
from zot.oci.digest import Digest
from zot.oci.names import Reference, Repository, Tag
from zot.registry import blobs
from zot.registry.blob_fetch import RECENT_BYTES, FetchedContent
from zot.registry.errors import BlobUnknown, NameUnknown, QuotaExceeded, Unavailable
from zot.registry.quota import ByteQuota, Quotas
from zot.registry.registry import Registry
from zot.registry.request import PullBlob
from zot.registry.sources import SourcedBlob, SourcedManifest
from zot.storage.threads import ThreadPools

KIB, MIB = 1024, 1024 * 1024
BLOB = bytes(range(256)) * (16 * MIB // 256)
DIGEST = Digest(sha256(BLOB))
REQUEST = PullBlob(APP, DIGEST)


class Sending:
    """An upstream that sends one blob, as much of it as the test has allowed so far."""

    def __init__(self, content: bytes = BLOB, digest: Digest = DIGEST) -> None:
        """Send nothing yet."""
        self._content = content
        self._digest = digest
        self._allowed = 0
        self._more = asyncio.Event()
        self.opened: list[int] = []
        """Where it was opened, each time."""
        self.breaks = False

    def allow(self, length: int | None = None) -> None:
        """Send up to `length` bytes, all of them without one."""
        self._allowed = len(self._content) if length is None else length
        self._more.set()

    @asynccontextmanager
    async def blob(
        self,
        repository: Repository,  # noqa: ARG002
        digest: Digest,
        start: int = 0,
    ) -> AsyncIterator[SourcedBlob | None]:
        """Open the blob."""
        self.opened.append(start)
        yield SourcedBlob(len(self._content), self._chunks(start)) if digest == self._digest else None

    async def _chunks(self, offset: int) -> AsyncIterator[bytes]:
        while offset < len(self._content):
            while self._allowed <= offset:
                if self.breaks:
                    raise Unavailable("the connection broke")
                self._more.clear()
                await self._more.wait()
            chunk = self._content[offset : min(offset + 64 * KIB, self._allowed)]
            offset += len(chunk)
            yield chunk

    async def referrers(self, repository: Repository, subject: Digest) -> Sequence[Digest]:  # noqa: ARG002
        """Return none."""
        return ()

    async def blob_size(self, repository: Repository, digest: Digest) -> int | None:  # noqa: ARG002
        """Return the size."""
        return len(self._content) if digest == self._digest else None

    async def manifest(self, repository: Repository, reference: Reference) -> SourcedManifest | None:  # noqa: ARG002
        """Return none."""
        return None

    async def resolve(self, repository: Repository, tag: Tag) -> Digest | None:  # noqa: ARG002
        """Return none."""
        return None

    def is_due(self, repository: Repository, tag: Tag) -> bool:  # noqa: ARG002
        """Return False: there are no tags."""
        return False

    def checked(self, repository: Repository, tag: Tag, *, told: bool) -> None:
        """Do nothing: there are no tags."""

    async def names(self, after: str, limit: int) -> Sequence[Repository]:  # noqa: ARG002
        """Return none."""
        return []


@pytest.fixture(scope="module")
def pools() -> Iterator[ThreadPools]:
    """The threads of the stores."""
    pools = ThreadPools()
    yield pools
    pools.close()


@pytest.fixture
async def store(tmp_path: Path, pools: ThreadPools) -> AsyncIterator[Store]:
    """A store on the disk, with the repository."""
    store = Store(tmp_path / "root", pools)
    await store.push(image("one"))
    yield store
    await store.close()


async def opened(registry: Registry, request: PullBlob = REQUEST) -> FetchedContent:
    """Return the blob while it is on its way."""
    found = await blobs.pull_or_follow(registry, request)
    assert isinstance(found, FetchedContent)
    return found


async def whole(content: FetchedContent) -> bytes:
    """Read all of it, some at a time."""
    found = b""
    while len(found) < content.size:
        found += await content.read(len(found), await content.available(len(found), MIB))
    content.close()
    return found


def mirror(store: Store, *upstreams: Sending, quotas: Quotas | None = None) -> Registry:
    """Return the registry of a process that mirrors the upstreams."""
    return Registry(store.catalog, store.storage, store.layouts, upstreams=upstreams, quotas=quotas or Quotas())


async def test_bytes_are_read_when_they_have_come(store: Store) -> None:
    """A reader gets each byte while the upstream still sends, but the last one only once the blob is stored."""
    upstream = Sending()
    content = await opened(mirror(store, upstream))
    assert content.size == len(BLOB)
    upstream.allow(100 * KIB)
    assert await content.read(0, 100 * KIB) == BLOB[: 100 * KIB]
    upstream.allow(len(BLOB))
    assert await content.available(len(BLOB) - 2, 2) == 1 or await store.catalog.blob(APP, DIGEST) is not None
    assert await content.read(len(BLOB) - 1, 1) == BLOB[-1:]
    assert await store.catalog.blob(APP, DIGEST) is not None
    # What came long ago is read from the store.
    assert await content.read(0, MIB) == BLOB[:MIB]
    content.close()
    assert [row.finished for row in await store.catalog.uploads(0, "", 10)] == [DIGEST]


async def test_all_readers_share_one_fetch(store: Store) -> None:
    """Upstream is asked once, one reader that goes away ends nothing, and a late one reads the staged bytes."""
    upstream = Sending()
    registry = mirror(store, upstream)
    readers = [asyncio.create_task(whole(await opened(registry))) for _ in range(3)]
    upstream.allow(RECENT_BYTES + 3 * MIB)
    readers[0].cancel()
    early = await opened(registry)
    assert await early.read(RECENT_BYTES + MIB, 10) == BLOB[RECENT_BYTES + MIB :][:10]
    assert await early.read(0, 10) == BLOB[:10]
    early.close()
    upstream.allow()
    assert [await reader for reader in readers[1:]] == [BLOB, BLOB]
    assert upstream.opened == [0]


async def test_processes_share_one_fetch(store: Store, pools: ThreadPools) -> None:
    """Another process reads what the first one stages, while it does, and upstream is asked once."""
    other = Store(store.root, pools, store.catalog)
    upstream = Sending()
    first, second = mirror(store, upstream), mirror(other, upstream)
    one = asyncio.create_task(whole(await opened(first)))
    upstream.allow(8 * MIB)
    two = await opened(second)
    assert await two.read(0, MIB) == BLOB[:MIB]
    upstream.allow()
    assert await whole(two) == await one == BLOB
    assert upstream.opened == [0]
    await second.fetches.close()
    await other.close()


async def test_another_process_takes_the_place_of_one_that_died(store: Store, pools: ThreadPools) -> None:
    """It goes on after the bytes that are staged, and its readers notice nothing."""
    other = Store(store.root, pools, store.catalog)
    upstream = Sending()
    first, second = mirror(store, upstream), mirror(other, upstream)
    content = await opened(first)
    upstream.allow(8 * MIB)
    two = await opened(second)
    await two.read(0, 4 * MIB)
    await first.fetches.close()
    upstream.allow()
    assert await whole(two) == BLOB
    assert upstream.opened[0] == 0
    assert upstream.opened[1] >= 4 * MIB
    content.close()
    await second.fetches.close()
    await other.close()


async def test_the_next_upstream_continues(store: Store) -> None:
    """What one upstream began another one completes."""
    breaking, working = Sending(), Sending()
    registry = mirror(store, breaking, working)
    content = await opened(registry)
    breaking.allow(5 * MIB)
    await content.read(0, 5 * MIB)
    breaking.breaks = True
    breaking.allow(5 * MIB)
    working.allow()
    assert await whole(content) == BLOB
    assert (breaking.opened, working.opened) == ([0], [5 * MIB])


async def test_another_digest_ends_readers_short(store: Store) -> None:
    """They get all but the last byte, and nothing is stored."""
    lie = Digest(sha256(b"other"))
    upstream = Sending(digest=lie)
    registry = mirror(store, upstream)
    content = await opened(registry, PullBlob(APP, lie))
    upstream.allow()
    with pytest.raises(ConnectionAbortedError):
        await whole(content)
    with pytest.raises(ConnectionAbortedError):
        await content.read(len(BLOB) - 1, 1)
    assert await store.catalog.blob(APP, lie) is None
    assert await store.catalog.uploads(0, "", 10) == []
    assert await store.storage.staged(APP) == []
    with pytest.raises(Unavailable, match="other content"):
        await blobs.pull(registry, PullBlob(APP, lie))
    assert upstream.opened == [0]


async def test_a_broken_fetch_is_continued_by_the_next(store: Store) -> None:
    """Its bytes stay staged, and the next request goes on after them."""
    upstream = Sending()
    upstream.breaks = True
    upstream.allow(5 * MIB)
    with pytest.raises(ConnectionAbortedError):
        await whole(await opened(mirror(store, upstream)))
    upstream.breaks = False
    upstream.allow()
    assert await whole(await opened(mirror(store, upstream))) == BLOB
    assert upstream.opened == [0, 5 * MIB]


async def test_a_blob_that_was_deleted_is_fetched_again(store: Store) -> None:
    """The finished session of the earlier fetch is in no way."""
    upstream = Sending()
    upstream.allow()
    registry = mirror(store, upstream)
    for _ in range(2):
        assert await whole(await opened(registry)) == BLOB
        await blobs.delete(registry, APP, DIGEST)
    assert upstream.opened == [0, 0]


async def test_what_no_upstream_has_leaves_nothing_behind(store: Store) -> None:
    """No upload, no repository."""
    registry = mirror(store, Sending(digest=Digest(sha256(b"other"))))
    with pytest.raises(BlobUnknown):
        await blobs.pull_or_follow(registry, REQUEST)
    with pytest.raises(NameUnknown):
        await blobs.pull_or_follow(registry, PullBlob(Repository("nowhere"), DIGEST))
    assert await store.catalog.uploads(0, "", 10) == []
    assert await store.catalog.repository(Repository("nowhere")) is None


async def test_a_full_mirror_receives_nothing(store: Store) -> None:
    """The quota refuses a blob by its announced size."""
    upstream = Sending()
    registry = mirror(store, upstream, quotas=Quotas([ByteQuota(("**",), MIB, each=True)]))
    with pytest.raises(QuotaExceeded):
        await blobs.pull_or_follow(registry, REQUEST)
    assert await store.catalog.uploads(0, "", 10) == []


async def test_a_stopping_process_leaves_what_a_later_one_may_continue(store: Store) -> None:
    """Readers end short, and what was staged is an upload as any other."""
    upstream = Sending()
    registry = mirror(store, upstream)
    content = await opened(registry)
    upstream.allow(5 * MIB)
    await content.read(0, 5 * MIB)
    await registry.fetches.close()
    with pytest.raises(ConnectionAbortedError):
        await content.read(5 * MIB, 1)

    async def is_staged() -> bool:
        rows = await store.catalog.uploads(0, "", 10)
        return [row.offset for row in rows] == [5 * MIB]

    await eventually(is_staged)
