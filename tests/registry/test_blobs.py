"""How bytes become blobs, when others are about to do the same, or to remove them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import uuid4

import pytest

from storage.pushing import body, ignore
from zot.catalog.blob_commands import ClaimBlob, DoomBlob, DoomOutcome, ForgetBlob
from zot.catalog.memory.driver import MemoryCatalog
from zot.catalog.rows import BlobRow
from zot.catalog.upload_commands import CreateUploadRow
from zot.oci.digest import Digest, digest_of
from zot.oci.names import Repository, parse_repository
from zot.registry import blob_commit, blobs
from zot.registry.errors import BlobUnknown, Unavailable
from zot.registry.quota import ByteQuota, Quotas
from zot.registry.registry import Registry
from zot.registry.request import PullBlob
from zot.storage.interface import Progress, StorageError, UploadKey
from zot.storage.memory import MemoryStorage

APP, OTHER = parse_repository("app"), parse_repository("other")
CONTENT = b"0123456789"
DIGEST = digest_of(CONTENT)


async def staged(registry: Registry, content: bytes = CONTENT, repository: Repository = APP) -> UploadKey:
    """Upload content, up to where it is to be published."""
    key = UploadKey(repository, str(uuid4()))
    begin = CreateUploadRow(repository=repository, session=key.session, principal="", algorithm="sha256", limit=99)
    await registry.catalog.do(begin)
    await registry.storage.append(key, Progress(0), body(content), ignore)
    return key


async def push(registry: Registry, content: bytes = CONTENT, repository: Repository = APP) -> None:
    """Push content."""
    key = await staged(registry, content, repository)
    claim = blob_commit.BlobClaim(registry, repository, digest_of(content))
    await blob_commit.commit_upload(registry, key, Progress(len(content)), claim)


async def is_there(registry: Registry, digest: Digest = DIGEST, repository: Repository = APP) -> bool:
    """Whether the catalog says that there is a blob; its bytes are there then, and else are not."""
    row = await registry.catalog.blob(repository, digest)
    assert (row is not None) == (await registry.storage.stat(repository, digest) is not None)
    return row is not None


class Pausing(MemoryStorage):
    """A storage that does something first."""

    def __init__(self) -> None:
        """Do nothing so far."""
        super().__init__()
        self.before: Callable[[], object] = lambda: None

    async def place(self, upload: UploadKey, staged: Progress, digest: Digest, twin: Repository | None) -> None:
        """Publish after what comes before."""
        waiting = self.before()
        if asyncio.iscoroutine(waiting):
            await waiting
        await super().place(upload, staged, digest, twin)


@pytest.fixture
def storage() -> Pausing:
    """Where the bytes are."""
    return Pausing()


async def test_of_two_that_do_not_fit_together_one_is_refused(registry: Registry, storage: Pausing) -> None:
    """Both had room when they began; one is committed, the other's bytes are taken back."""
    registry = replace(registry, quotas=Quotas([ByteQuota(("**",), 15)]))
    both = asyncio.Barrier(2)
    storage.before = both.wait
    one, two = CONTENT, CONTENT[::-1]
    results = await asyncio.gather(push(registry, one), push(registry, two), return_exceptions=True)
    assert sorted(type(each).__name__ for each in results) == ["NoneType", "QuotaExceeded"]
    assert await is_there(registry, digest_of(one)) != await is_there(registry, digest_of(two))


async def test_a_push_waits_for_a_removal(registry: Registry) -> None:
    """A blob that is being removed comes back after it is gone, never under the hands of who unlinks it."""
    await push(registry)
    assert (
        await registry.catalog.do(DoomBlob(repository=APP, digest=DIGEST, token="t", owner=registry.catalog.owner))
        is DoomOutcome.DOOMED
    )
    pushing = asyncio.create_task(push(registry))
    await asyncio.sleep(0.05)
    assert not pushing.done()
    await registry.storage.remove(APP, DIGEST)
    await registry.catalog.do(ForgetBlob(repository=APP, digest=DIGEST, token="t"))
    await pushing
    assert await is_there(registry)


async def test_it_does_not_wait_for_ever(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A removal that nobody finishes is told as something that passes."""
    monkeypatch.setattr(blob_commit, "_DOOMED_WAIT_S", 0.02)
    await push(registry)
    await registry.catalog.do(DoomBlob(repository=APP, digest=DIGEST, token="t", owner=registry.catalog.owner))
    with pytest.raises(Unavailable, match="is being removed"):
        await push(registry)


async def test_what_is_being_pushed_is_not_removed(registry: Registry, storage: Pausing) -> None:
    """Between claim and commit a delete finds nothing to delete, and takes no bytes."""
    outcomes = []

    async def meanwhile() -> None:
        outcomes.append(
            await registry.catalog.do(
                DoomBlob(repository=APP, digest=DIGEST, token="t", orphan=True, owner=registry.catalog.owner)
            )
        )

    storage.before = meanwhile
    await push(registry)
    assert outcomes == [DoomOutcome.CLAIMED]
    assert await is_there(registry)
    await registry.catalog.do(
        ClaimBlob(repository=APP, digest=DIGEST, token="another push", owner=registry.catalog.owner)
    )
    await blobs.delete(registry, APP, DIGEST)
    assert not await is_there(registry)


async def test_a_push_that_fails_claims_nothing(registry: Registry, storage: Pausing) -> None:
    """When the storage fails, the claim is dropped, so that nothing is kept from being removed by it."""

    async def fail() -> None:
        raise StorageError("the disk is gone")

    storage.before = fail
    with pytest.raises(StorageError):
        await push(registry)
    await registry.storage.put(APP, DIGEST, CONTENT)
    doom = DoomBlob(repository=APP, digest=DIGEST, token="t", orphan=True, owner=registry.catalog.owner)
    assert await registry.catalog.do(doom) is DoomOutcome.DOOMED


async def test_a_source_that_is_collected_meanwhile_gives_nothing(registry: Registry, storage: Pausing) -> None:
    """A mount whose bytes went away between looking and linking is none, and leaves nothing."""
    await push(registry, repository=OTHER)
    await registry.storage.remove(OTHER, DIGEST)
    assert not await blobs.mount(registry, APP, DIGEST, OTHER, lambda _: True)
    assert not await is_there(registry)


class Busy(MemoryCatalog):
    """A catalog in which others do something as soon as somebody looked at a blob."""

    def __init__(self) -> None:
        """Leave it alone so far."""
        super().__init__()
        self.after: Callable[[], Awaitable[object]] | None = None

    async def blob(self, repository: Repository, digest: Digest) -> BlobRow | None:
        """Return a present blob."""
        row = await super().blob(repository, digest)
        after, self.after = self.after, None
        if after is not None:
            await after()
        return row


async def test_a_blob_that_goes_meanwhile_is_not_mounted_from_itself(storage: Pausing) -> None:
    """Deleted between looking and claiming, it is gone: no row without bytes comes of mounting it where it was."""
    catalog = Busy()
    registry = Registry(catalog=catalog, storage=storage)
    for source in (APP, None):
        await push(registry)
        catalog.after = lambda: blobs.delete(registry, APP, DIGEST)
        assert not await blobs.mount(registry, APP, DIGEST, source, lambda _: True)
        assert not await is_there(registry)


async def test_a_blob_that_goes_meanwhile_is_unknown(storage: Pausing) -> None:
    """Deleted between looking and opening, it is as if it had been deleted before."""
    catalog = Busy()
    registry = Registry(catalog=catalog, storage=storage)
    await push(registry)
    request = PullBlob(repository=APP, digest=DIGEST)
    catalog.after = lambda: blobs.delete(registry, APP, DIGEST)
    row = await blobs.pull(registry, request)
    with pytest.raises(BlobUnknown):
        await blobs.open_content(registry, request, row)


async def test_a_mount_takes_the_first_source_that_may_be_read(registry: Registry) -> None:
    """Without a named source, those that may not be read are passed over."""
    for name in ("a", "b", "c"):
        await push(registry, repository=parse_repository(name))
    asked: list[Repository] = []

    def readable(repository: Repository) -> bool:
        asked.append(repository)
        return repository == "b"

    assert await blobs.mount(registry, APP, DIGEST, None, readable)
    assert asked == ["a", "b"]
    assert not await blobs.mount(registry, APP, digest_of(b"other"), None, readable)
