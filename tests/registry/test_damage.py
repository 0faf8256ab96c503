"""Content that is missing or damaged: found, told, never taken for whole, and healed by the next push."""

import asyncio
import logging
from dataclasses import replace

import pytest

from registry.test_blobs import APP, CONTENT, DIGEST, OTHER, push, staged
from zot.catalog.blob_commands import ClaimBlob
from zot.catalog.memory.driver import MemoryCatalog
from zot.catalog.rows import BlobRow
from zot.oci.digest import Digest
from zot.oci.media_types import IMAGE_MANIFEST
from zot.oci.names import Repository, Tag
from zot.registry import blob_commit, blob_deletion, blobs, manifests
from zot.registry.damage import FoundBy
from zot.registry.errors import BlobUnknown, ManifestBlobUnknown
from zot.registry.registry import Registry
from zot.registry.request import PullBlob, PushManifest
from zot.storage.interface import Progress, StorageError
from zot.storage.memory import MemoryStorage

MISSING, SHORT, LONG, ROTTEN = None, CONTENT[:4], CONTENT + b"!", CONTENT[::-1]
GET, HEAD = PullBlob(repository=APP, digest=DIGEST), PullBlob(repository=APP, digest=DIGEST, head=True)


async def damage(registry: Registry, content: bytes | None, repository: Repository = APP) -> None:
    """Do to a blob's bytes what a disk, or another program, may."""
    await registry.storage.remove(repository, DIGEST)
    if content is not None:
        await registry.storage.put(repository, DIGEST, content)


async def get(registry: Registry) -> bytes:
    """Pull the blob."""
    content, _ = await blobs.open_content(registry, GET, await blobs.pull(registry, GET))
    return await content.read(0, 100)


async def head(registry: Registry) -> int:
    """Ask for the blob's size."""
    return (await blobs.check_content(registry, HEAD, await blobs.pull(registry, HEAD))).size


@pytest.mark.parametrize("ask", [get, head])
@pytest.mark.parametrize("content", [MISSING, b"", SHORT, LONG])
async def test_a_read_makes_damaged_content_absent(
    registry: Registry, content: bytes | None, ask: object, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever read comes first: unknown from then on, in the log and counted, and missing where it is named."""
    found: list[str] = []
    registry.damage.observe(found.append)
    await push(registry)
    await damage(registry, content)
    for again in (ask, get, head):
        with pytest.raises(BlobUnknown):
            await again(registry)  # type: ignore[operator]
    assert await registry.catalog.blob(APP, DIGEST) is None
    assert await registry.storage.is_quarantined(APP, DIGEST)
    assert found == ["pull"]
    (line,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert DIGEST in line.getMessage()
    assert APP in line.getMessage()
    request = PushManifest(repository=APP, reference=Tag("v1"), tags=(Tag("v1"),))
    with pytest.raises(ManifestBlobUnknown):
        await manifests.push(registry, request, manifest_of(DIGEST), IMAGE_MANIFEST, (), "")


def manifest_of(digest: Digest) -> bytes:
    """A manifest that names the blob."""
    return (
        b'{"schemaVersion":2,"mediaType":"%s",'
        b'"config":{"mediaType":"application/vnd.x","digest":"%s","size":%d},"layers":[]}'
        % (IMAGE_MANIFEST.encode(), digest.encode(), len(CONTENT))
    )


@pytest.mark.parametrize("read_before", [False, True])
@pytest.mark.parametrize("content", [MISSING, b"", SHORT, LONG, ROTTEN])
async def test_a_push_puts_verified_bytes_in_the_place_of_damaged_ones(
    registry: Registry, content: bytes | None, read_before: bool
) -> None:
    """Whether a read found it or not: 201 means that GET gives these bytes, and the session is finished by it."""
    await push(registry)
    await damage(registry, content)
    if read_before and content != ROTTEN:
        with pytest.raises(BlobUnknown):
            await head(registry)
    key = await staged(registry)
    await blob_commit.commit_upload(registry, key, Progress(len(CONTENT)), blob_commit.BlobClaim(registry, APP, DIGEST))
    assert (await get(registry), await head(registry)) == (CONTENT, len(CONTENT))
    row = await registry.catalog.upload(key.session)
    assert row is not None
    assert row.finished == DIGEST
    assert await registry.storage.staged(APP) == []


async def test_a_push_of_what_is_whole_changes_nothing(registry: Registry) -> None:
    """The bytes that are there stay, and no damage is told."""
    found: list[str] = []
    registry.damage.observe(found.append)
    await push(registry)
    before = await registry.catalog.blob(APP, DIGEST)
    await push(registry)
    assert await registry.catalog.blob(APP, DIGEST) == before
    assert (found, await registry.storage.staged(APP)) == ([], [])


async def test_a_row_of_another_size_is_replaced(registry: Registry) -> None:
    """A short file that was imported as whole, row and all, is damaged for the push that knows better."""
    await push(registry)
    registry.catalog._state.repositories[APP].blobs[DIGEST].size = len(SHORT)  # type: ignore[attr-defined]
    await damage(registry, SHORT)
    assert await get(registry) == SHORT
    await push(registry)
    assert (await get(registry), await head(registry)) == (CONTENT, len(CONTENT))


async def test_many_pushes_heal_together(registry: Registry) -> None:
    """Each is acknowledged, while others look: the blob is there, whole."""
    await push(registry)
    await damage(registry, SHORT)
    outcomes = await asyncio.gather(
        *(push(registry) for _ in range(5)), *(head(registry) for _ in range(5)), return_exceptions=True
    )
    assert outcomes[:5] == [None] * 5
    assert {type(each) for each in outcomes[5:]} <= {int, BlobUnknown}
    assert (await get(registry), await head(registry)) == (CONTENT, len(CONTENT))


@pytest.mark.parametrize("content", [MISSING, SHORT, ROTTEN])
async def test_verified_bytes_are_never_given_up_for_damaged_ones(registry: Registry, content: bytes | None) -> None:
    """Content is shared with another repository's only if that has the same bytes; its damage is told, and healed."""
    await push(registry, repository=OTHER)
    await damage(registry, content, OTHER)
    await push(registry)
    assert await get(registry) == CONTENT
    assert await registry.catalog.blob(OTHER, DIGEST) is None
    await push(registry, repository=OTHER)
    assert await registry.storage.is_whole(OTHER, DIGEST)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("content", [MISSING, b"", SHORT, LONG])
async def test_a_damaged_blob_is_not_mounted(registry: Registry, content: bytes | None, named: bool) -> None:
    """The client has to send it, and both repositories lack it until then."""
    await push(registry, repository=OTHER)
    await damage(registry, content, OTHER)
    assert not await blobs.mount(registry, APP, DIGEST, OTHER if named else None, lambda _: True)
    for repository in (APP, OTHER):
        assert await registry.catalog.blob(repository, DIGEST) is None
        assert await registry.storage.stat(repository, DIGEST) is None
    assert registry.catalog._state.repositories[APP].claims == {}  # type: ignore[attr-defined]


@pytest.mark.parametrize("content", [MISSING, SHORT])
async def test_a_mount_heals(registry: Registry, content: bytes | None) -> None:
    """A damaged blob is replaced by the source's; mounted from itself it is none."""
    await push(registry)
    await push(registry, repository=OTHER)
    await damage(registry, content)
    assert await blobs.mount(registry, APP, DIGEST, OTHER, lambda _: True)
    assert await get(registry) == CONTENT
    await damage(registry, content)
    assert not await blobs.mount(registry, APP, DIGEST, APP, lambda _: True)
    with pytest.raises(BlobUnknown):
        await get(registry)


async def test_a_late_observation_does_not_take_what_was_healed(registry: Registry) -> None:
    """A request that saw the damage before a push healed it changes nothing afterwards."""
    await push(registry)
    seen = await registry.catalog.blob(APP, DIGEST)
    assert seen is not None
    await damage(registry, MISSING)
    await push(registry)
    assert not await blob_deletion.quarantine_damaged(registry, APP, DIGEST, seen, "blob not found", FoundBy.PULL)
    assert (await blobs.check_content(registry, HEAD, seen)).size == len(CONTENT)
    content, row = await blobs.open_content(registry, GET, BlobRow(99, None, marked=False, placed_ns=seen.placed_ns))
    assert (await content.read(0, 100), row.size) == (CONTENT, len(CONTENT))


async def test_a_push_that_is_under_way_is_not_disturbed(registry: Registry) -> None:
    """While another claim stands the row stays: the push that has it is about to put the bytes there."""
    await registry.catalog.do(ClaimBlob(repository=APP, digest=DIGEST, token="another", owner=registry.catalog.owner))
    await push(registry)
    seen = await registry.catalog.blob(APP, DIGEST)
    assert seen is not None
    await damage(registry, MISSING)
    with pytest.raises(BlobUnknown):
        await get(registry)
    assert await registry.catalog.blob(APP, DIGEST) == seen


async def test_a_read_only_registry_tells_and_changes_nothing(registry: Registry) -> None:
    """It is unknown all the same, each time."""
    await push(registry)
    await damage(registry, SHORT)
    reading = replace(registry, read_only=True)
    for ask in (get, head, get):
        with pytest.raises(BlobUnknown):
            await ask(reading)
    assert await registry.catalog.blob(APP, DIGEST) is not None
    assert await registry.storage.stat(APP, DIGEST) == len(SHORT)


class AwayStorage(MemoryStorage):
    """A storage whose disk is not mounted."""

    async def ready(self, repository: Repository | None = None) -> None:  # noqa: ARG002
        """Tell."""
        raise StorageError("the store is another one")


async def test_what_is_missing_on_a_disk_that_is_away_is_not_made_absent() -> None:
    """Everything is missing there: it is a fault of the storage, and passes."""
    registry = Registry(catalog=MemoryCatalog(), storage=AwayStorage())
    await push(registry)
    await damage(registry, MISSING)
    for ask in (get, head):
        with pytest.raises(StorageError):
            await ask(registry)
    assert await registry.catalog.blob(APP, DIGEST) is not None


async def test_a_manifest_is_a_blob_where_nothing_may_be_changed(registry: Registry) -> None:
    """A read-only registry serves it from its layout's file, and stores nothing."""
    await push(registry)
    request = PushManifest(repository=APP, reference=Tag("v1"), tags=(Tag("v1"),))
    content = manifest_of(DIGEST)
    pushed = await manifests.push(registry, request, content, IMAGE_MANIFEST, (), "")
    await registry.storage.put(APP, pushed.digest, content)
    reading = replace(registry, read_only=True)
    asked = PullBlob(repository=APP, digest=pushed.digest)
    opened, row = await blobs.open_content(reading, asked, await blobs.pull(reading, asked))
    assert (await opened.read(0, 1000), row.size) == (content, len(content))
    assert await registry.catalog.blob(APP, pushed.digest) is None
    await registry.storage.remove(APP, pushed.digest)
    with pytest.raises(BlobUnknown):
        await blobs.open_content(reading, asked, await blobs.pull(reading, asked))


async def test_a_manifests_damaged_file_is_written_again(registry: Registry) -> None:
    """Its bytes are in the catalog: asked for as a blob it is whole, whatever became of the file."""
    await push(registry)
    request = PushManifest(repository=APP, reference=Tag("v1"), tags=(Tag("v1"),))
    content = manifest_of(DIGEST)
    pushed = await manifests.push(registry, request, content, IMAGE_MANIFEST, (), "")
    asked = PullBlob(repository=APP, digest=pushed.digest)
    for damaged in (b"", None):
        await registry.storage.remove(APP, pushed.digest)
        if damaged is not None:
            await registry.storage.put(APP, pushed.digest, damaged)
        for _ in range(2):  # the first finds the damage if the blob was there already
            try:
                opened, _ = await blobs.open_content(registry, asked, await blobs.pull(registry, asked))
            except BlobUnknown:
                continue
        assert await opened.read(0, 1000) == content
        assert await registry.storage.is_whole(APP, pushed.digest)
