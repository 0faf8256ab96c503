"""Bodies that are received in memory and written once all of their bytes are here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from storage.pushing import body
from zot.catalog.blob_commands import DoomBlob, DoomOutcome
from zot.catalog.command import Command
from zot.catalog.interface import Outcome
from zot.oci.digest import digest_of
from zot.oci.names import Repository, parse_repository
from zot.registry import blobs, uploads
from zot.registry.errors import BlobUnknown, DigestInvalid
from zot.registry.quota import ByteQuota, Quotas
from zot.registry.registry import Registry
from zot.registry.request import AppendUpload, FinishUpload, PullBlob
from zot.registry.small_bodies import SmallBodies
from zot.registry.upload_session import LeaseLostError
from zot.storage.interface import StorageError

APP, OTHER = parse_repository("app"), parse_repository("other")
CONTENT = b"0123456789"
DIGEST = digest_of(CONTENT)
BY = "alice"


@pytest.fixture(name="registry")
def in_memory(registry: Registry) -> Registry:
    """A registry whose catalog holds no bytes of blobs."""
    return replace(registry, small_bodies=SmallBodies(held_bytes=0))


async def push(registry: Registry, repository: Repository = APP, content: bytes = CONTENT) -> str:
    """Push the content as the blob of DIGEST, and return the session."""
    session = await uploads.begin(registry, repository, BY)
    await finish(registry, session, repository, content)
    return session


async def finish(registry: Registry, session: str, repository: Repository = APP, content: bytes = CONTENT) -> None:
    """Send all of the content in one request, as the blob of DIGEST."""
    request = FinishUpload(repository=repository, session=session, digest=DIGEST)
    await uploads.finish(registry, request, BY, body(content[:4], content[4:]), None, announced=len(content))


async def pulled(registry: Registry, repository: Repository = APP) -> bytes:
    """Return the bytes of the blob."""
    request = PullBlob(repository=repository, digest=DIGEST)
    content, _ = await blobs.open_content(registry, request, await blobs.pull(registry, request))
    try:
        return await content.read(0, content.size)
    finally:
        content.close()


async def doomed(registry: Registry, repository: Repository = APP) -> DoomOutcome:
    """Try to delete the blob, whether or not its row is there."""
    owner = registry.catalog.owner
    return await registry.catalog.do(
        DoomBlob(repository=repository, digest=DIGEST, token="d", owner=owner, orphan=True)
    )


async def test_nothing_is_staged(registry: Registry) -> None:
    """The blob is there, its session is finished for a repetition, and no staged bytes are left."""
    session = await push(registry)
    await finish(registry, session)
    assert await pulled(registry) == CONTENT
    assert await registry.storage.staged(APP) == []


async def test_other_bytes_than_the_digest_are_refused(registry: Registry) -> None:
    """The session is gone, no blob is made, and no claim keeps the digest from being deleted."""
    session = await uploads.begin(registry, APP, BY)
    with pytest.raises(DigestInvalid):
        await finish(registry, session, content=b"other bytes")
    with pytest.raises(BlobUnknown):
        await pulled(registry)
    assert await registry.catalog.upload(session) is None
    assert await doomed(registry) is DoomOutcome.DOOMED


async def test_other_bytes_are_refused_though_the_blob_is_there(registry: Registry) -> None:
    """A success would tell the client that its bytes are stored."""
    await push(registry)
    with pytest.raises(DigestInvalid):
        await push(registry, content=b"other bytes")
    assert await pulled(registry) == CONTENT


@pytest.mark.parametrize("stored", [None, b"damaged bytes", b"9876543210"])
async def test_a_push_replaces_damaged_content(registry: Registry, stored: bytes | None) -> None:
    """Content of a present blob is compared with the bytes of another push."""
    await push(registry)
    await registry.storage.remove(APP, DIGEST)
    if stored is not None:
        await registry.storage.put(APP, DIGEST, stored)
    await push(registry)
    assert await pulled(registry) == CONTENT


async def test_a_damaged_blob_of_another_repository_is_not_shared(registry: Registry) -> None:
    """It becomes absent there, and the push stores its own bytes."""
    await push(registry, OTHER)
    await registry.storage.put(OTHER, DIGEST, b"9876543210")
    await push(registry)
    assert await pulled(registry) == CONTENT
    with pytest.raises(BlobUnknown):
        await pulled(registry, OTHER)


async def test_a_failed_push_leaves_no_claim(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest can be deleted once the request has failed."""

    async def fails(*_: object) -> None:
        raise StorageError("the disk")

    monkeypatch.setattr(registry.storage, "put_verified", fails)
    with pytest.raises(StorageError):
        await push(registry)
    assert await doomed(registry) is DoomOutcome.DOOMED


async def test_a_newer_request_fences_it(registry: Registry) -> None:
    """Bytes that arrive after another request changed the session are no blob."""
    session = await uploads.begin(registry, APP, BY)
    begun, released = asyncio.Event(), asyncio.Event()

    async def stalls() -> AsyncIterator[bytes]:
        yield CONTENT[:4]
        begun.set()
        await released.wait()
        yield CONTENT[4:]

    request = FinishUpload(repository=APP, session=session, digest=DIGEST)
    older = asyncio.create_task(uploads.finish(registry, request, BY, stalls(), None, announced=len(CONTENT)))
    await begun.wait()
    await uploads.append(registry, AppendUpload(repository=APP, session=session), BY, body(b"ab"), None)
    released.set()
    with pytest.raises(LeaseLostError):
        await older
    with pytest.raises(BlobUnknown):
        await pulled(registry)


async def test_bodies_beyond_the_budget_are_staged(registry: Registry) -> None:
    """Then a push takes the other way, and succeeds as well."""
    full = replace(registry, small_bodies=SmallBodies(limit_bytes=len(CONTENT) - 1, held_bytes=0))
    await push(full)
    assert await pulled(full) == CONTENT


@pytest.mark.parametrize("held_bytes", [0, len(CONTENT)])
async def test_the_budget_counts_pushes_that_wait_for_something_else(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, held_bytes: int
) -> None:
    """All of them may be asked for their bodies at once afterwards: those beyond the budget are staged."""
    bodies = SmallBodies(limit_bytes=len(CONTENT), held_bytes=held_bytes)
    bounded = replace(registry, small_bodies=bodies, quotas=Quotas([ByteQuota(("**",), 1 << 20)]))
    begun, released = asyncio.Semaphore(0), asyncio.Event()
    do = registry.catalog.do

    async def do_later(command: Command[Outcome]) -> Outcome:
        await asyncio.sleep(0)
        return await do(command)

    monkeypatch.setattr(registry.catalog, "do", do_later)
    monkeypatch.setattr(registry.storage, "ensure_space", lambda *_: asyncio.sleep(0))

    async def stalls() -> AsyncIterator[bytes]:
        yield CONTENT[:4]
        begun.release()
        await released.wait()
        yield CONTENT[4:]

    pushing = [asyncio.create_task(uploads.whole(bounded, APP, BY, DIGEST, stalls(), len(CONTENT))) for _ in range(3)]
    for _ in pushing:
        await begun.acquire()
    staged = await bounded.storage.staged(APP)
    released.set()
    await asyncio.gather(*pushing)
    assert len(staged) == 2
    assert await pulled(registry) == CONTENT
