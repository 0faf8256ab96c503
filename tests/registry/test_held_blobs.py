"""Small blobs whose bytes the catalog holds: pushed, read, mounted, deleted, damaged and placed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import cast

import pytest

from registry.test_blobs import APP, CONTENT, DIGEST, OTHER, push
from registry.test_damage import GET, ROTTEN, SHORT, damage, get, head
from zot.catalog.blob_commands import DoomBlob, DoomOutcome, ForgetBlob, PutBlob
from zot.catalog.memory.driver import MemoryCatalog
from zot.catalog.upload_commands import CreateUploadRow, LeaseUpload
from zot.oci.digest import Digest, digest_of
from zot.oci.names import Repository
from zot.registry import blobs, held_blobs
from zot.registry.damage import FoundBy
from zot.registry.errors import BlobUnknown, QuotaExceeded, Unavailable
from zot.registry.held_blobs import place_held
from zot.registry.quota import ByteQuota, Quotas
from zot.registry.registry import Registry
from zot.storage.interface import Storage, StorageBusyError, StorageError
from zot.storage.memory import MemoryStorage


async def hold(registry: Registry, repository: Repository = APP) -> None:
    """Push the blob with its bytes."""
    await held_blobs.put_blob(registry, repository, DIGEST, CONTENT, FoundBy.PUSH)


async def hold_damaged(registry: Registry) -> None:
    """Have the catalog hold other bytes, as a disk that changed a bit does."""
    await registry.catalog.do(PutBlob(repository=APP, digest=DIGEST, content=ROTTEN))


async def is_held(registry: Registry, repository: Repository = APP, digest: Digest = DIGEST) -> bool:
    """Tell whether the catalog holds a blob, which is present, and has no file then."""
    row = await registry.catalog.blob(repository, digest)
    assert row is not None
    assert row.held == (await registry.catalog.held_content(repository, digest) is not None)
    return row.held


async def place(registry: Registry, repository: Repository = APP) -> None:
    """Place what is held, as an export does."""
    async for release in place_held(registry.catalog, registry.storage, registry.damage, repository):
        await registry.catalog.do(release)


async def test_a_push_touches_no_storage(registry: Registry) -> None:
    """All that a push of a small blob needs is the catalog's commit; GET and HEAD need no file either."""
    alone = replace(registry, storage=cast("Storage", None))
    await hold(alone)
    assert await is_held(alone)
    assert (await get(alone), await head(alone)) == (CONTENT, len(CONTENT))
    assert [file async for file in registry.storage.walk(APP)] == []


async def test_ranges_are_read_from_the_bytes(registry: Registry) -> None:
    """An open held blob is content like any other, also while it is deleted."""
    await hold(registry)
    content, row = await blobs.open_content(registry, GET, await blobs.pull(registry, GET))
    await blobs.delete(registry, APP, DIGEST)
    assert await content.read(3, 4) == CONTENT[3:7]
    assert await content.read(8, 9) == CONTENT[8:]
    assert content.size == row.size == len(CONTENT)
    with pytest.raises(BlobUnknown):
        await get(registry)


async def test_placing_gives_it_a_file(registry: Registry) -> None:
    """From then on it is a file, and reads give the same; placing again does nothing."""
    await hold(registry)
    for _ in range(2):
        await place(registry)
        assert not await is_held(registry)
        assert await registry.storage.stat(APP, DIGEST) == len(CONTENT)
        assert (await get(registry), await head(registry)) == (CONTENT, len(CONTENT))


async def test_many_are_placed(registry: Registry) -> None:
    """Also more than one step takes."""
    contents = {digest_of(content): content for content in (str(number).encode() for number in range(150))}
    for digest, content in contents.items():
        await held_blobs.put_blob(registry, APP, digest, content, FoundBy.PUSH)
    await place(registry)
    assert await registry.catalog.held_blobs(APP, "", 1000) == []
    assert {file.digest async for file in registry.storage.walk(APP)} == set(contents)


async def test_a_file_that_is_not_written_stays_held(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes leave the catalog only after the file is there."""
    await hold(registry)

    async def fail(*_: object) -> None:
        raise StorageError("no space left")

    monkeypatch.setattr(MemoryStorage, "put_all", fail)
    with pytest.raises(StorageError):
        await place(registry)
    assert await is_held(registry)


async def test_a_push_that_is_repeated_changes_nothing(registry: Registry) -> None:
    """While it is held, and once it has a file."""
    await hold(registry)
    before = await registry.catalog.blob(APP, DIGEST)
    await hold(registry)
    await push(registry)
    assert await registry.catalog.blob(APP, DIGEST) == before
    await place(registry)
    await hold(registry)
    assert not await is_held(registry)


@pytest.mark.parametrize("content", [None, b"", SHORT, ROTTEN])
async def test_a_push_replaces_a_damaged_file(registry: Registry, content: bytes | None) -> None:
    """The damage is reported and its file quarantined; what was pushed is read from then on."""
    found: list[str] = []
    registry.damage.observe(found.append)
    await push(registry)
    await damage(registry, content)
    await hold(registry)
    assert found == ["push"]
    assert await registry.storage.is_quarantined(APP, DIGEST)
    assert await get(registry) == CONTENT
    await place(registry)
    assert await get(registry) == CONTENT


async def test_a_push_waits_for_a_damaged_one_that_is_being_pushed(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not acknowledged while damaged content stays: 503."""
    monkeypatch.setattr(held_blobs, "_WAIT_S", 0.0)

    async def keep(*_: object) -> bool:
        return False

    await push(registry)
    await damage(registry, SHORT)
    monkeypatch.setattr(held_blobs, "quarantine_damaged", keep)
    with pytest.raises(Unavailable):
        await hold(registry)


async def test_a_busy_disk_is_no_damage(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be compared now stays, and the push may be repeated."""
    await push(registry)

    async def busy(*_: object) -> None:
        raise StorageBusyError("too many operations")

    monkeypatch.setattr(MemoryStorage, "open", busy)
    with pytest.raises(StorageBusyError):
        await hold(registry)
    monkeypatch.undo()
    assert await get(registry) == CONTENT


async def test_a_push_waits_for_a_removal(registry: Registry) -> None:
    """A doomed blob is stored once it is forgotten."""
    await hold(registry)
    doom = DoomBlob(repository=APP, digest=DIGEST, token="t", owner=registry.catalog.owner)
    assert await registry.catalog.do(doom) is DoomOutcome.DOOMED
    pushing = asyncio.create_task(hold(registry))
    await asyncio.sleep(0.02)
    assert not pushing.done()
    await registry.catalog.do(ForgetBlob(repository=APP, digest=DIGEST, token="t"))
    await pushing
    assert await is_held(registry)


async def test_a_removal_that_does_not_end_is_an_error(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A push does not wait longer than a client would."""
    monkeypatch.setattr(held_blobs, "_WAIT_S", 0.0)
    await hold(registry)
    await registry.catalog.do(DoomBlob(repository=APP, digest=DIGEST, token="t", owner=registry.catalog.owner))
    with pytest.raises(Unavailable):
        await hold(registry)


async def test_a_lost_upload_stores_nothing(registry: Registry) -> None:
    """A newer request has the session: the older one's bytes do not count."""
    await registry.catalog.do(CreateUploadRow(repository=APP, session="s", principal="p"))
    row = await registry.catalog.upload("s")
    await registry.catalog.do(LeaseUpload(repository=APP, session="s", principal="p", owner=registry.catalog.owner))
    assert not await held_blobs.put_blob(registry, APP, DIGEST, CONTENT, FoundBy.PUSH, upload=row)
    assert await registry.catalog.blob(APP, DIGEST) is None


async def test_a_quota_refuses_it(storage: MemoryStorage) -> None:
    """Without space nothing is stored."""
    registry = Registry(catalog=MemoryCatalog(), storage=storage, quotas=Quotas([ByteQuota(("**",), 9)]))
    with pytest.raises(QuotaExceeded):
        await hold(registry)
    assert await registry.catalog.blob(APP, DIGEST) is None


@pytest.mark.parametrize("ask", [get, None])
async def test_held_bytes_that_are_damaged_are_never_served(registry: Registry, ask: object) -> None:
    """A read makes the blob absent, an export leaves it alone; both report it, and a push heals it."""
    found: list[str] = []
    registry.damage.observe(found.append)
    await hold_damaged(registry)
    if ask is None:
        await place(registry)
        assert await registry.storage.stat(APP, DIGEST) is None
    else:
        with pytest.raises(BlobUnknown):
            await get(registry)
        assert await registry.catalog.blob(APP, DIGEST) is None
    assert len(found) == 1
    await hold(registry)
    assert await get(registry) == CONTENT
    await place(registry)
    assert await get(registry) == CONTENT


async def test_a_push_with_a_file_heals_held_bytes(registry: Registry) -> None:
    """A push in several requests finds the damage, too."""
    await hold_damaged(registry)
    await push(registry)
    assert not await is_held(registry)
    assert await get(registry) == CONTENT


@pytest.mark.parametrize("placed", [False, True])
async def test_it_is_mounted(registry: Registry, placed: bool) -> None:
    """The other repository has it, whatever becomes of the first one."""
    await hold(registry, OTHER)
    if placed:
        await place(registry, OTHER)
    assert await blobs.mount(registry, APP, DIGEST, OTHER, lambda _: True)
    assert await is_held(registry) is not placed
    await blobs.delete(registry, OTHER, DIGEST)
    assert await get(registry) == CONTENT


async def test_a_damaged_one_is_not_mounted(registry: Registry) -> None:
    """It is made absent where it is."""
    await hold_damaged(registry)
    assert not await blobs.mount(registry, OTHER, DIGEST, APP, lambda _: True)
    assert await registry.catalog.blob(APP, DIGEST) is None
    assert await registry.catalog.blob(OTHER, DIGEST) is None


async def test_a_held_blob_is_mounted_over_a_damaged_file(registry: Registry) -> None:
    """The bytes are compared: damaged content of the target is replaced."""
    await push(registry)
    await damage(registry, ROTTEN)
    await hold(registry, OTHER)
    assert await blobs.mount(registry, APP, DIGEST, OTHER, lambda _: True)
    assert await get(registry) == CONTENT


async def test_another_push_takes_no_file_from_it(registry: Registry) -> None:
    """A holder without a file has nothing to share, and is not damaged."""
    found: list[str] = []
    registry.damage.observe(found.append)
    await hold(registry, OTHER)
    await push(registry)
    assert await get(registry) == CONTENT
    assert await is_held(registry, OTHER)
    assert found == []


async def test_a_deletion_leaves_nothing(registry: Registry) -> None:
    """Neither bytes nor a file, placed or not; an export that comes late places nothing that is served."""
    for placed in (False, True):
        await hold(registry)
        if placed:
            await place(registry)
        await blobs.delete(registry, APP, DIGEST)
        assert await registry.catalog.blob(APP, DIGEST) is None
        assert await registry.catalog.held_content(APP, DIGEST) is None
        assert await registry.storage.stat(APP, DIGEST) is None
    await place(registry)
    assert await registry.storage.stat(APP, DIGEST) is None
