"""Upload sessions: who holds one, and what of it counts."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TypeVar

import pytest

from storage.pushing import body
from zot.catalog.blob_commands import CheckQuota, DoomBlob, DoomOutcome, ForgetBlob
from zot.catalog.command import Command
from zot.catalog.memory.driver import MemoryCatalog
from zot.catalog.owner_commands import RenewOwner
from zot.catalog.upload_commands import CancelUploadRow
from zot.oci.digest import digest_of
from zot.oci.names import parse_repository
from zot.oci.ranges import ByteRange
from zot.registry import uploads
from zot.registry.errors import DigestInvalid, QuotaExceeded, RangeInvalid, UploadUnknown
from zot.registry.quota import ByteQuota, Quotas
from zot.registry.registry import Registry
from zot.registry.request import AppendUpload, CancelUpload, FinishUpload, UploadStatus
from zot.registry.small_bodies import SmallBodies
from zot.registry.upload_session import LeaseLostError, UploadSession
from zot.storage.interface import Progress, StorageError
from zot.storage.memory import MemoryStorage

APP, OTHER = parse_repository("app"), parse_repository("other")
CONTENT = b"0123456789"
DIGEST = digest_of(CONTENT)
ALICE, BOB = "alice", "bob"

Outcome = TypeVar("Outcome")


@pytest.fixture
async def session(registry: Registry) -> str:
    """A session of Alice's."""
    return await uploads.begin(registry, APP, ALICE)


def chunk(session: str) -> AppendUpload:
    """The request to append."""
    return AppendUpload(repository=APP, session=session)


def finish(session: str) -> FinishUpload:
    """The request to finish."""
    return FinishUpload(repository=APP, session=session, digest=DIGEST)


async def offset(registry: Registry, session: str) -> int:
    """How far it is."""
    return await uploads.status(registry, UploadStatus(repository=APP, session=session), ALICE)


async def test_a_session_is_its_principals(registry: Registry, session: str) -> None:
    """Somebody else who learned the id finds no such session, whatever they ask of it."""
    await uploads.append(registry, chunk(session), ALICE, body(CONTENT), None)
    with pytest.raises(UploadUnknown):
        await uploads.status(registry, UploadStatus(repository=APP, session=session), BOB)
    with pytest.raises(UploadUnknown):
        await uploads.append(registry, chunk(session), BOB, body(b"x"), None)
    with pytest.raises(UploadUnknown):
        await uploads.finish(registry, finish(session), BOB, None, None)
    with pytest.raises(UploadUnknown):
        await uploads.cancel(registry, CancelUpload(repository=APP, session=session), BOB)
    assert await offset(registry, session) == len(CONTENT)
    await uploads.finish(registry, finish(session), ALICE, None, None)
    with pytest.raises(UploadUnknown):
        await uploads.finish(registry, finish(session), BOB, None, None)


async def test_a_newer_request_fences_the_older(registry: Registry, session: str) -> None:
    """While one waits for bytes that never come, another takes the session; what the first brought does not count."""
    waiting = asyncio.Event()

    async def stalls() -> AsyncIterator[bytes]:
        yield b"lost"
        waiting.set()
        await asyncio.Event().wait()

    older = asyncio.create_task(uploads.append(registry, chunk(session), ALICE, stalls(), None))
    await waiting.wait()
    assert await uploads.append(registry, chunk(session), ALICE, body(CONTENT), ByteRange(0, 10)) == len(CONTENT)
    with pytest.raises(LeaseLostError):
        await older
    await uploads.finish(registry, finish(session), ALICE, None, None)
    assert await registry.storage.stat(APP, DIGEST) == len(CONTENT)


async def test_who_is_cancelled_is_not_fenced(registry: Registry, session: str) -> None:
    """The end of a connection cancels its request as it is; what came is recorded."""
    waiting = asyncio.Event()

    async def stalls() -> AsyncIterator[bytes]:
        yield CONTENT[:4]
        waiting.set()
        await asyncio.Event().wait()

    request = asyncio.create_task(uploads.append(registry, chunk(session), ALICE, stalls(), None))
    await waiting.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert await offset(registry, session) == 4


@pytest.mark.parametrize("start", [0, 3, 5])
async def test_a_chunk_starts_where_the_upload_ends(registry: Registry, session: str, start: int) -> None:
    """Elsewhere it is refused before a byte of it is read."""
    await uploads.append(registry, chunk(session), ALICE, body(CONTENT[:4]), ByteRange(0, 4))

    async def unread() -> AsyncIterator[bytes]:
        read.append(b"")
        yield b""

    read: list[bytes] = []
    with pytest.raises(RangeInvalid):
        await uploads.append(registry, chunk(session), ALICE, unread(), ByteRange(start, start + 6))
    with pytest.raises(RangeInvalid):
        await uploads.finish(registry, finish(session), ALICE, None, ByteRange(start, start))
    assert (read, await offset(registry, session)) == ([], 4)


async def test_a_digest_of_the_last_start_does_not_count(registry: Registry, session: str) -> None:
    """After a restart the bytes are read again before they become a blob: the machine may have lost them."""
    await uploads.append(registry, chunk(session), ALICE, body(CONTENT), None)
    (staged,) = registry.storage._staged.values()  # type: ignore[attr-defined]
    staged.content[:] = bytes(len(CONTENT))
    registry.catalog.owner = "the next"
    await registry.catalog.do(RenewOwner(owner=registry.catalog.owner))
    with pytest.raises(DigestInvalid):
        await uploads.finish(registry, finish(session), ALICE, None, None)
    assert await registry.catalog.blob(APP, DIGEST) is None


class SlowCancel(MemoryCatalog):
    """A catalog in which cancelling an upload waits for `go_on`."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self.cancelling, self.go_on = asyncio.Event(), asyncio.Event()

    async def do(self, command: Command[Outcome]) -> Outcome:
        """Wait, and do it."""
        if isinstance(command, CancelUploadRow):
            self.cancelling.set()
            await self.go_on.wait()
        return await super().do(command)


@pytest.mark.parametrize("finished", [True, False])
async def test_a_wrong_digest_ends_neither_a_newer_request_nor_a_finished_session(finished: bool) -> None:
    """Of two that finish at once, the older one's wrong digest is its own error; the newer one succeeds."""
    catalog = SlowCancel()
    registry = Registry(catalog=catalog, storage=MemoryStorage())
    session = await uploads.begin(registry, APP, ALICE)
    await uploads.append(registry, chunk(session), ALICE, body(CONTENT), None)
    wrong = FinishUpload(repository=APP, session=session, digest=digest_of(b"wrong"))
    older = asyncio.create_task(uploads.finish(registry, wrong, ALICE, None, None))
    await catalog.cancelling.wait()
    if finished:
        await uploads.finish(registry, finish(session), ALICE, None, None)
    else:
        assert await uploads.append(registry, chunk(session), ALICE, body(b"!"), None) == len(CONTENT) + 1
    catalog.go_on.set()
    with pytest.raises(DigestInvalid):
        await older
    assert await registry.catalog.upload(session) is not None
    if finished:
        with pytest.raises(UploadUnknown):
            await uploads.finish(registry, wrong, ALICE, None, None)
        await uploads.finish(registry, finish(session), ALICE, None, None)


async def test_a_wrong_digest_ends_the_session(registry: Registry, session: str) -> None:
    """Alone, it does: these bytes can never become that digest, so row and bytes are removed."""
    await uploads.append(registry, chunk(session), ALICE, body(CONTENT), None)
    wrong = FinishUpload(repository=APP, session=session, digest=digest_of(b"wrong"))
    with pytest.raises(DigestInvalid):
        await uploads.finish(registry, wrong, ALICE, None, None)
    assert await registry.catalog.upload(session) is None
    assert await registry.storage.staged(APP) == []


async def test_finishing_together_succeeds_for_both(registry: Registry, session: str) -> None:
    """However the two meet, with or without a body to bring, both are told that it is done."""
    await uploads.append(registry, chunk(session), ALICE, body(CONTENT), None)
    finishing = [uploads.finish(registry, finish(session), ALICE, None, None) for _ in range(5)]
    assert await asyncio.gather(*finishing) == [None] * 5
    await uploads.finish(registry, finish(session), ALICE, body(b""), None)


async def test_what_does_not_fit_stays_staged(registry: Registry, session: str) -> None:
    """A blob that the quota refuses before it is placed can be finished once there is space."""
    limited = replace(registry, quotas=Quotas([ByteQuota(("**",), 5)]))
    with pytest.raises(QuotaExceeded):
        await uploads.finish(limited, finish(session), ALICE, body(CONTENT), None)
    assert await registry.catalog.blob(APP, DIGEST) is None
    assert await registry.storage.stat(APP, DIGEST) is None
    await uploads.finish(registry, finish(session), ALICE, None, None)
    assert await registry.catalog.blob(APP, DIGEST) is not None


class Counting(MemoryCatalog):
    """A catalog that counts the questions about a quota."""

    asked = 0

    async def do(self, command: Command[Outcome]) -> Outcome:
        """Count, and do it."""
        self.asked += isinstance(command, CheckQuota)
        return await super().do(command)


@pytest.mark.parametrize(("announced", "small"), [(len(CONTENT), False), (0, False), (len(CONTENT), True)])
async def test_a_push_asks_for_its_quota_once(announced: int, small: bool) -> None:
    """Before the body, if its length is known; the commit decides and asks nothing more. A small one asks it alone."""
    catalog = Counting()
    quotas = Quotas([ByteQuota(("**",), 15)])
    bodies = SmallBodies() if small else SmallBodies(0)
    registry = Registry(catalog=catalog, storage=MemoryStorage(), quotas=quotas, small_bodies=bodies)
    session = await uploads.begin(registry, APP, ALICE)
    if announced:
        await uploads.finish(registry, finish(session), ALICE, body(CONTENT), None, announced=announced)
    else:
        await uploads.append(registry, chunk(session), ALICE, body(CONTENT), None)
        await uploads.finish(registry, finish(session), ALICE, None, None)
    assert catalog.asked == (0 if small else 1)


class Named(MemoryCatalog):
    """A catalog that remembers the names of its commands."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self.names: list[str] = []

    async def do(self, command: Command[Outcome]) -> Outcome:
        """Remember the name, and do it."""
        self.names.append(type(command).__name__)
        return await super().do(command)


async def test_a_blob_costs_few_commands() -> None:
    """A blob of one PUT costs three, one that is held two, one of PATCH and PUT four, and each further PATCH two."""
    catalog = Named()
    small = Registry(catalog=catalog, storage=MemoryStorage())
    session = await uploads.begin(small, APP, ALICE)
    await uploads.finish(small, finish(session), ALICE, body(CONTENT), None, announced=len(CONTENT))
    assert catalog.names == ["CreateUploadRow", "PutBlob"]
    catalog.names.clear()
    await uploads.whole(small, OTHER, ALICE, DIGEST, body(CONTENT), len(CONTENT))
    assert catalog.names == ["PutBlob"]
    catalog.names.clear()
    registry = replace(small, small_bodies=SmallBodies(0))
    await small.catalog.do(DoomBlob(repository=APP, digest=DIGEST, token="t", owner=catalog.owner))
    await small.catalog.do(ForgetBlob(repository=APP, digest=DIGEST, token="t"))
    catalog.names.clear()
    session = await uploads.begin(registry, APP, ALICE)
    await uploads.finish(registry, finish(session), ALICE, body(CONTENT), None, announced=len(CONTENT))
    assert catalog.names == ["CreateUploadRow", "AdvanceUpload", "PublishBlob"]
    catalog.names.clear()
    in_memory = replace(small, small_bodies=SmallBodies(held_bytes=0))
    session = await uploads.begin(in_memory, OTHER, ALICE)
    request = FinishUpload(repository=OTHER, session=session, digest=digest_of(b"memory"))
    await uploads.finish(in_memory, request, ALICE, body(b"memory"), None, announced=6)
    assert catalog.names == ["CreateUploadRow", "LeaseUpload", "PublishBlob"]
    catalog.names.clear()
    session = await uploads.begin(registry, APP, ALICE)
    await uploads.append(registry, chunk(session), ALICE, body(CONTENT[:4]), None)
    await uploads.append(registry, chunk(session), ALICE, body(CONTENT[4:]), None)
    await uploads.finish(registry, finish(session), ALICE, None, None)
    assert catalog.names == [
        "CreateUploadRow",
        "AdvanceUpload",
        "LeaseUpload",
        "AdvanceUpload",
        "LeaseUpload",
        "PublishBlob",
    ]


async def test_a_failed_finish_leaves_no_claim(
    registry: Registry, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digest that was claimed with the last bytes can be deleted once the request has failed."""

    async def fails(*_: object) -> None:
        raise StorageError("the disk")

    monkeypatch.setattr(registry.storage, "place", fails)
    staging = replace(registry, small_bodies=SmallBodies(0))
    with pytest.raises(StorageError):
        await uploads.finish(staging, finish(session), ALICE, body(CONTENT), None, announced=len(CONTENT))
    doom = DoomBlob(repository=APP, digest=DIGEST, token="d", owner=registry.catalog.owner, orphan=True)
    assert await registry.catalog.do(doom) is DoomOutcome.DOOMED


async def test_a_request_that_came_before_another_changed_the_session_changes_nothing(
    registry: Registry, session: str
) -> None:
    """A request that stalled between its look at the session and its bytes ends, although no request fenced it."""
    seen = await registry.catalog.upload(session)
    assert seen is not None
    stalled = UploadSession(registry, seen)
    start = await stalled.resume_point()
    await uploads.append(registry, chunk(session), ALICE, body(CONTENT[:4]), None)
    with pytest.raises(LeaseLostError):
        await stalled.append(start, body(b"stale"))
    assert await offset(registry, session) == 4
    await uploads.finish(registry, finish(session), ALICE, body(CONTENT[4:]), None)


@pytest.mark.parametrize("end", ["finished", "cancelled"])
async def test_bytes_that_come_too_late_are_removed(registry: Registry, session: str, end: str) -> None:
    """A request whose session is finished or cancelled when its bytes have come leaves none behind."""
    seen = await registry.catalog.upload(session)
    assert seen is not None
    if end == "finished":
        await uploads.finish(registry, finish(session), ALICE, body(CONTENT), None)
    else:
        await uploads.cancel(registry, CancelUpload(repository=APP, session=session), ALICE)
    with pytest.raises(LeaseLostError):
        await UploadSession(registry, seen).append(Progress(0), body(b"late"))
    assert await registry.storage.staged(APP) == []
