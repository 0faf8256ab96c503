"""The contract of `zot.storage.interface.Storage`, tested with every driver."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from storage.remote import RemoteStorage
from zot.config.driver_options import S3, driver_options
from zot.oci.digest import CANONICAL, Digest, algorithm_of, digest_of
from zot.oci.names import Repository, parse_repository
from zot.storage import filesystem, memory
from zot.storage.filesystem import FilesystemStorage
from zot.storage.interface import (
    SMALL_BYTES,
    ContentDamagedError,
    ContentMissingError,
    DigestMismatchError,
    Progress,
    Storage,
    StorageError,
    UploadKey,
    UploadLockedError,
    UploadMissingError,
)
from zot.storage.memory import MemoryStorage
from zot.storage.object_store import storage as object_store
from zot.storage.object_store.local_locks import LocalLocks
from zot.storage.object_store.s3 import S3Objects
from zot.storage.object_store.storage import ObjectStorage
from zot.storage.per_store import PerStoreStorage
from zot.storage.threads import ThreadPools

APP = parse_repository("team/app")
# In the routed storage it has another root than the first.
OTHER = parse_repository("infra/app")
NESTED = parse_repository("team/app/nested")

UPLOAD = UploadKey(APP, "11111111-2222-3333-4444-555555555555")
CONTENT = b"some content, " * 1000
MIB = 1024 * 1024


@pytest.fixture
def pools() -> Iterator[ThreadPools]:
    """The thread pools of one test."""
    pools = ThreadPools()
    yield pools
    pools.close()


@pytest.fixture(
    params=[
        "filesystem",
        "filesystem not durable",
        "memory",
        "remote",
        "routed",
        pytest.param("object store", marks=pytest.mark.needs("versitygw")),
    ]
)
async def storage(request: pytest.FixtureRequest, tmp_path: Path, pools: ThreadPools) -> AsyncIterator[Storage]:
    """An empty storage of each kind."""

    def on(directory: str, *, durable: bool = True) -> FilesystemStorage:
        return FilesystemStorage(
            str(tmp_path / directory), pools, durable=durable, min_free_percent=0, min_free_bytes=0
        )

    made: Storage
    match request.param:
        case "filesystem":
            made = on("root")
        case "filesystem not durable":
            made = on("root", durable=False)
        case "memory":
            made = MemoryStorage()
        case "remote":
            made = RemoteStorage({APP: APP})
        case "object store":
            parameters = request.getfixturevalue("s3_server").make_bucket()
            objects = S3Objects(driver_options(parameters, S3, "storageDriver"), "zot")
            locks = LocalLocks(str(tmp_path / "locks"), pools.hash)
            made = ObjectStorage(objects, pools, locks, expected=None, chunk_bytes=5 * MIB)
        case _:
            made = PerStoreStorage(on("root"), {"/infra": on("infra")})
    yield made
    await made.close()


@pytest.fixture
def shares(request: pytest.FixtureRequest, storage: Storage) -> bool:
    """Whether two repositories can have the same stored bytes."""
    del storage
    return str(request.node.callspec.params["storage"]) != "object store"


@pytest.fixture
def cuts(request: pytest.FixtureRequest, storage: Storage) -> bool:
    """Whether an append cuts off the bytes that another one staged."""
    del storage
    return str(request.node.callspec.params["storage"]) != "object store"


class Checkpoints:
    """A checkpoint that records its arguments, and may raise at one of the calls."""

    def __init__(self, fails_at: int = -1) -> None:
        """Raise at call number `fails_at`, counted from 0."""
        self.seen: list[Progress] = []
        self._fails_at = fails_at

    async def __call__(self, progress: Progress) -> None:
        """Remember it."""
        self.seen.append(progress)
        if len(self.seen) - 1 == self._fails_at:
            raise FencedError

    @property
    def offsets(self) -> list[int]:
        """The offsets of the recorded calls."""
        return [progress.offset for progress in self.seen]


class FencedError(Exception):
    """The exception of a checkpoint."""


class BrokenError(Exception):
    """The exception of a body."""


async def body(*chunks: bytes, then: Exception | None = None) -> AsyncIterator[bytes]:
    """Iterate over the chunks, then end or raise."""
    for chunk in chunks:
        yield chunk
    if then is not None:
        raise then


async def unread() -> AsyncIterator[bytes]:
    """Fail when a byte is asked for."""
    for piece in (b"",):
        assert piece, "the body is read"
        yield piece


async def stalling(chunk: bytes, given: asyncio.Event, release: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield a chunk, set `given` once it was consumed, and wait."""
    yield chunk
    given.set()
    await release.wait()


async def stage(
    storage: Storage, content: bytes = CONTENT, upload: UploadKey = UPLOAD, algorithm: str = CANONICAL
) -> Progress:
    """Append the content to a new upload, or from its start again."""
    return await storage.append(upload, Progress(0, algorithm), body(content), Checkpoints())


def plain(progress: Progress) -> Progress:
    """Return a progress without what its driver records."""
    return replace(progress, driver_state=b"")


def unhashed(progress: Progress) -> Progress:
    """Return a recorded progress whose digest is not known, as after a restart."""
    return replace(progress, algorithm=CANONICAL, prefix=None)


async def push(
    storage: Storage, repository: Repository, content: bytes = CONTENT, session: str = "a-session"
) -> Digest:
    """Upload, verify, place."""
    upload, digest = UploadKey(repository, session), digest_of(content)
    staged = await stage(storage, content, upload)
    await storage.verify(upload, staged, digest)
    await storage.place(upload, unhashed(staged), digest, None)
    return digest


async def read(storage: Storage, repository: Repository, digest: Digest) -> bytes:
    """Return all bytes of content."""
    content = await storage.open(repository, digest)
    try:
        return await content.read(0, content.size)
    finally:
        content.close()


async def sessions(storage: Storage, repository: Repository = APP) -> list[str]:
    """Return the sessions of staged uploads."""
    return [session for session, _ in await storage.staged(repository)]


# --- content ---


async def test_missing_content_cannot_be_opened(storage: Storage) -> None:
    """Opening content that is not there raises ContentMissingError."""
    with pytest.raises(ContentMissingError):
        await storage.open(APP, digest_of(CONTENT))


async def test_missing_content_has_no_size(storage: Storage) -> None:
    """The size of content that is not there is None, in an unknown repository and in a known one."""
    assert await storage.stat(APP, digest_of(CONTENT)) is None
    await push(storage, APP)
    assert await storage.stat(APP, digest_of(b"else")) is None


async def test_content_has_its_size(storage: Storage) -> None:
    """Size and open agree on the number of bytes."""
    digest = await push(storage, APP)
    content = await storage.open(APP, digest)
    content.close()
    assert content.size == await storage.stat(APP, digest) == len(CONTENT)


@pytest.mark.parametrize(("offset", "length"), [(0, 10), (7, 100), (len(CONTENT) - 5, 5)])
async def test_a_range_is_read(storage: Storage, offset: int, length: int) -> None:
    """A read gives the bytes from its offset."""
    content = await storage.open(APP, await push(storage, APP))
    assert await content.read(offset, length) == CONTENT[offset : offset + length]
    content.close()


async def test_a_read_ends_with_the_content(storage: Storage) -> None:
    """A read that goes beyond the end gives fewer bytes, one behind it none."""
    content = await storage.open(APP, await push(storage, APP))
    assert await content.read(len(CONTENT) - 3, 100) == CONTENT[-3:]
    assert await content.read(len(CONTENT), 100) == b""
    content.close()


async def test_empty_content(storage: Storage) -> None:
    """Content of no bytes is content."""
    digest = await push(storage, APP, b"")
    assert await storage.stat(APP, digest) == 0
    assert await read(storage, APP, digest) == b""


async def test_removed_content_stays_readable(storage: Storage) -> None:
    """Content that was opened before its removal can be read to the end."""
    digest = await push(storage, APP)
    content = await storage.open(APP, digest)
    await storage.remove(APP, digest)
    assert await content.read(0, content.size) == CONTENT
    content.close()


async def test_replaced_content_stays_readable(storage: Storage) -> None:
    """Content that was opened before it was replaced by the same bytes can be read to the end."""
    digest = await push(storage, APP)
    content = await storage.open(APP, digest)
    await push(storage, APP)
    assert await content.read(0, content.size) == CONTENT
    content.close()


async def test_content_is_closed_twice(storage: Storage) -> None:
    """Closing is idempotent, also after the content was removed."""
    digest = await push(storage, APP)
    content = await storage.open(APP, digest)
    await storage.remove(APP, digest)
    content.close()
    content.close()


async def test_a_hint_changes_nothing(storage: Storage) -> None:
    """Announcing a read returns at once; the content may be closed right after it."""
    content = await storage.open(APP, await push(storage, APP))
    content.will_need(0, content.size)
    assert await content.read(0, 4) == CONTENT[:4]
    content.will_need(0, content.size)
    content.close()


@pytest.mark.parametrize("size", [0, 5, SMALL_BYTES, SMALL_BYTES + 1, 3 * SMALL_BYTES])
async def test_all_ways_give_the_same_bytes(storage: Storage, size: int) -> None:
    """The bytes in memory and the descriptor, if there are any, are those that `read` returns."""
    pushed = (CONTENT * (size // len(CONTENT) + 1))[:size]
    content = await storage.open(APP, await push(storage, APP, pushed))
    assert await content.read(0, size + 1) == pushed
    assert content.data in {pushed, None}
    if (descriptor := content.fileno()) is not None:
        assert os.pread(descriptor, 20, 5) == pushed[5:25]
    content.close()


async def test_a_location_is_told_with_its_repository(storage: Storage) -> None:
    """A location, if the driver has one, is a URL of a repository."""
    content = await storage.open(APP, await push(storage, APP))
    location = await content.location()
    assert location is None or (location.url.startswith("https://") and location.repository == APP)
    content.close()


async def test_an_identity_is_of_the_bytes(storage: Storage, shares: bool) -> None:
    """Contents with the same identity have the same bytes, also in two repositories; it stays until they change."""
    digest, other = await push(storage, APP), await push(storage, APP, b"other bytes")
    await storage.link(APP, NESTED, digest, len(CONTENT))
    opened = [await storage.open(*each) for each in ((APP, digest), (APP, digest), (NESTED, digest), (APP, other))]
    one, again, linked, another = (each.identity for each in opened)
    assert one == again
    assert (linked == one) is shares or linked is None
    assert another is None or another != one
    for each in opened:
        each.close()


async def test_content_is_its_repositorys(storage: Storage) -> None:
    """Content is addressed by repository and digest: another repository, also a nested one, does not have it."""
    digest = await push(storage, APP)
    assert await storage.stat(OTHER, digest) is None
    assert await storage.stat(NESTED, digest) is None


# --- append ---


async def test_an_append_returns_its_progress(storage: Storage) -> None:
    """An append from the start returns the length and the digest of the body."""
    assert plain(await stage(storage)) == Progress(len(CONTENT), CANONICAL, digest_of(CONTENT))


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
async def test_an_append_hashes_by_the_requested_algorithm(storage: Storage, algorithm: str) -> None:
    """The digest so far is by the algorithm of the start."""
    progress = await stage(storage, algorithm=algorithm)
    assert plain(progress) == Progress(len(CONTENT), algorithm, digest_of(CONTENT, algorithm))


async def test_an_append_continues_hashing(storage: Storage) -> None:
    """An append that continues after one of this process returns the digest of all bytes."""
    progress = await stage(storage)
    progress = await storage.append(UPLOAD, progress, body(b"more"), Checkpoints())
    assert plain(progress) == Progress(len(CONTENT) + 4, CANONICAL, digest_of(CONTENT + b"more"))


async def test_an_unknown_prefix_stays_unknown(storage: Storage) -> None:
    """An append after bytes of unknown digest returns no digest; the bytes are right all the same."""
    start = unhashed(await stage(storage))
    progress = await storage.append(UPLOAD, start, body(b"more"), Checkpoints())
    assert plain(progress) == Progress(len(CONTENT) + 4)
    await storage.verify(UPLOAD, progress, digest_of(CONTENT + b"more"))


async def test_a_state_of_other_bytes_is_not_used(storage: Storage) -> None:
    """A hash state counts only with the recorded digest: another process may have written since."""
    start = replace(await stage(storage), prefix=digest_of(b"what another process wrote"))
    progress = await storage.append(UPLOAD, start, body(b"more"), Checkpoints())
    assert progress.prefix is None


async def test_an_append_cuts_the_bytes_after_its_start(storage: Storage) -> None:
    """Bytes staged after the start are cut off, so that bytes which were never recorded do not count."""
    start = await stage(storage, CONTENT[:4])
    await storage.append(UPLOAD, start, body(CONTENT[4:]), Checkpoints())
    progress = await storage.append(UPLOAD, unhashed(start), body(b"!"), Checkpoints())
    await storage.verify(UPLOAD, progress, digest_of(CONTENT[:4] + b"!"))


async def test_an_append_of_nothing_cuts_too(storage: Storage) -> None:
    """An append without a body leaves exactly the bytes before its start."""
    start = await stage(storage, CONTENT[:4])
    await storage.append(UPLOAD, start, body(CONTENT[4:]), Checkpoints())
    progress = await storage.append(UPLOAD, unhashed(start), body(), Checkpoints())
    assert progress.offset == 4
    with pytest.raises(UploadMissingError):
        await storage.append(UPLOAD, replace(progress, offset=5), body(), Checkpoints())


async def test_an_append_at_offset_0_starts_over(storage: Storage) -> None:
    """An append at offset 0 discards the staged bytes and their digest."""
    await stage(storage)
    progress = await storage.append(UPLOAD, Progress(0), body(b"anew"), Checkpoints())
    assert plain(progress) == Progress(4, CANONICAL, digest_of(b"anew"))


async def test_an_upload_is_staged_from_its_first_append_on(storage: Storage) -> None:
    """An upload needs no beginning: an append at offset 0 stages it, also without a byte."""
    assert await sessions(storage) == []
    await storage.append(UPLOAD, Progress(0), body(), Checkpoints())
    assert await sessions(storage) == [UPLOAD.session]


async def test_an_append_to_lost_bytes_fails(storage: Storage) -> None:
    """An upload that has recorded bytes and no staged ones is missing; none are staged for it."""
    with pytest.raises(UploadMissingError):
        await storage.append(UPLOAD, Progress(1), body(CONTENT), Checkpoints())
    assert await sessions(storage) == []


async def test_an_upload_goes_on_where_it_was_recorded(storage: Storage) -> None:
    """These drivers lose no part of what they staged."""
    progress = await stage(storage)
    assert await storage.resume_point(UPLOAD, progress) == progress


async def test_an_append_beyond_the_end_fails(storage: Storage) -> None:
    """If fewer bytes are staged than were recorded the upload is missing; nothing is written or recorded."""
    staged = await stage(storage)
    checkpoints = Checkpoints()
    with pytest.raises(UploadMissingError):
        await storage.append(UPLOAD, replace(staged, offset=len(CONTENT) + 1), body(b"more"), checkpoints)
    assert checkpoints.seen == []


@pytest.mark.parametrize("session", ["..", "../../../secret", "a/b", ".hidden", "", "nul\0"])
async def test_a_session_is_no_path(storage: Storage, session: str) -> None:
    """A name that no session can have is a missing upload, and discarding it removes nothing."""
    digest = await push(storage, APP)
    upload = UploadKey(APP, session)
    with pytest.raises(UploadMissingError):
        await storage.append(upload, Progress(0), body(b"!"), Checkpoints())
    await storage.discard(upload)
    assert await read(storage, APP, digest) == CONTENT


@pytest.mark.parametrize(
    "chunks",
    [[b"x"] * 5000, [b"", b"abc", b"", b"d"], [b"y" * (3 * MIB)], [b"z" * 700_001] * 5],
    ids=["tiny", "empty", "large", "odd"],
)
async def test_chunks_of_any_size(storage: Storage, chunks: list[bytes]) -> None:
    """The sizes of a body's chunks make no difference."""
    progress = await storage.append(UPLOAD, Progress(0), body(*chunks), Checkpoints())
    whole = b"".join(chunks)
    assert plain(progress) == Progress(len(whole), CANONICAL, digest_of(whole))
    await storage.place(UPLOAD, unhashed(progress), digest_of(whole), None)
    assert await read(storage, APP, digest_of(whole)) == whole


# --- checkpoints ---


async def test_checkpoints_come_first_and_last(storage: Storage) -> None:
    """A checkpoint is called with the start before anything else, and at the end with the returned progress."""
    start = await stage(storage)
    checkpoints = Checkpoints()
    progress = await storage.append(UPLOAD, start, body(b"more"), checkpoints)
    assert checkpoints.seen == [start, progress]


async def test_the_end_of_a_body_can_be_recorded_in_another_way(storage: Storage) -> None:
    """`last` is called once, with all bytes; a body that breaks off is recorded by `checkpoint` as ever."""
    checkpoints, last = Checkpoints(), Checkpoints()
    progress = await storage.append(UPLOAD, Progress(0), body(CONTENT), checkpoints, last)
    assert (checkpoints.seen, last.seen) == ([], [progress])
    with pytest.raises(BrokenError):
        await storage.append(UPLOAD, progress, body(b"more", then=BrokenError()), checkpoints, last)
    assert (checkpoints.offsets, last.seen) == ([len(CONTENT), len(CONTENT) + 4], [progress])


async def test_the_first_bytes_of_an_upload_need_no_confirmation(storage: Storage, cuts: bool) -> None:
    """Where nothing is staged no request can lose bytes, so that the first checkpoint tells of the body.

    A start over confirms first if it cuts the bytes of others.
    """
    checkpoints = Checkpoints()
    await storage.append(UPLOAD, Progress(0), body(), Checkpoints())
    progress = await storage.append(UPLOAD, Progress(0), body(CONTENT), checkpoints)
    assert checkpoints.seen == [progress]
    await storage.append(UPLOAD, Progress(0), body(), checkpoints)
    assert checkpoints.offsets == ([len(CONTENT), 0, 0] if cuts else [len(CONTENT), 0])


async def test_long_bodies_are_recorded_while_they_arrive(storage: Storage) -> None:
    """A checkpoint is called about every 64 MiB; its digests are those of the bytes so far."""
    checkpoints = Checkpoints()
    await storage.append(UPLOAD, Progress(0), body(*[bytes(8 * MIB)] * 20), checkpoints)
    *between, last = checkpoints.offsets
    assert last == 160 * MIB
    assert len(between) == 2
    assert all(64 * MIB <= later - earlier <= 80 * MIB for earlier, later in zip([0, *between], between, strict=False))
    assert checkpoints.seen[0].prefix == digest_of(bytes(between[0]))


async def test_a_fenced_append_changes_nothing(storage: Storage) -> None:
    """If the first checkpoint raises, the append ends before any byte is cut or written."""
    start = await stage(storage, CONTENT[:4])
    progress = await storage.append(UPLOAD, start, body(CONTENT[4:]), Checkpoints())
    with pytest.raises(FencedError):
        await storage.append(UPLOAD, unhashed(start), body(b"!" * 100), Checkpoints(fails_at=0))
    await storage.verify(UPLOAD, unhashed(progress), digest_of(CONTENT))


async def test_nothing_follows_a_checkpoint_that_raised(storage: Storage) -> None:
    """If a later checkpoint raises, nothing is written or recorded after it."""
    checkpoints = Checkpoints(fails_at=0)
    with pytest.raises(FencedError):
        await storage.append(UPLOAD, Progress(0), body(*[bytes(MIB)] * 80), checkpoints)
    [written] = checkpoints.seen
    with pytest.raises(UploadMissingError):
        await storage.append(UPLOAD, replace(written, offset=written.offset + 1), body(), Checkpoints())


async def test_an_exception_of_the_last_checkpoint_is_raised(storage: Storage) -> None:
    """If the last checkpoint raises, the append fails with that exception."""
    checkpoints = Checkpoints(fails_at=0)
    with pytest.raises(FencedError):
        await storage.append(UPLOAD, Progress(0), body(b"abc"), checkpoints)
    assert checkpoints.offsets == [3]


@pytest.mark.parametrize("chunks", [[b"abc"], [bytes(MIB), bytes(MIB), b"abc"]], ids=["small", "large"])
async def test_the_bytes_of_a_broken_body_are_kept(storage: Storage, chunks: list[bytes]) -> None:
    """The bytes before a body breaks off are recorded, its exception is raised, and the upload can be continued."""
    checkpoints = Checkpoints()
    with pytest.raises(BrokenError):
        await storage.append(UPLOAD, Progress(0), body(*chunks, then=BrokenError()), checkpoints)
    came = b"".join(chunks)
    assert plain(checkpoints.seen[-1]) == Progress(len(came), CANONICAL, digest_of(came))
    progress = await storage.append(UPLOAD, checkpoints.seen[-1], body(b"rest"), Checkpoints())
    assert progress.prefix == digest_of(came + b"rest")
    await storage.verify(UPLOAD, unhashed(progress), digest_of(came + b"rest"))


async def test_the_exception_of_a_body_is_raised_even_if_recording_fails(storage: Storage) -> None:
    """The caller sees the body's exception; a failure to record is added to it as a note."""
    with pytest.raises(BrokenError) as caught:
        await storage.append(UPLOAD, Progress(0), body(b"abc", then=BrokenError()), Checkpoints(fails_at=0))
    assert any("FencedError" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("size", [10, 3 * MIB])
async def test_a_cancelled_append_is_recorded(storage: Storage, size: int) -> None:
    """A cancelled append keeps and records the received bytes, releases the upload, and raises the cancellation."""
    given, checkpoints = asyncio.Event(), Checkpoints()
    appending = asyncio.create_task(
        storage.append(UPLOAD, Progress(0), stalling(bytes(size), given, asyncio.Event()), checkpoints)
    )
    await given.wait()
    appending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await appending
    assert plain(checkpoints.seen[-1]) == Progress(size, CANONICAL, digest_of(bytes(size)))
    await storage.append(UPLOAD, checkpoints.seen[-1], body(b"rest"), Checkpoints())


# --- one request at a time ---


async def test_a_second_append_waits_for_the_first(storage: Storage) -> None:
    """Two appends to one upload do not run concurrently: the second begins when the first ended."""
    given, release = asyncio.Event(), asyncio.Event()
    first = asyncio.create_task(storage.append(UPLOAD, Progress(0), stalling(b"old", given, release), Checkpoints()))
    await given.wait()
    checkpoints = Checkpoints()
    second = asyncio.create_task(storage.append(UPLOAD, Progress(0), body(b"newer"), checkpoints))
    await asyncio.sleep(0.05)
    assert checkpoints.seen == []
    release.set()
    await first
    progress = await second
    assert plain(progress) == Progress(5, CANONICAL, digest_of(b"newer"))
    await storage.verify(UPLOAD, unhashed(progress), digest_of(b"newer"))


@pytest.mark.parametrize("act", ["append", "verify", "place"])
async def test_waiting_for_an_upload_is_bounded(storage: Storage, act: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While an append holds the upload, other calls that need it raise UploadLockedError after a bounded wait."""
    monkeypatch.setattr(filesystem, "_LOCK_WAIT_S", 0.01)
    monkeypatch.setattr(memory, "_LOCK_WAIT_S", 0.01)
    monkeypatch.setattr(object_store, "_LOCK_WAIT_S", 0.01)
    given, release = asyncio.Event(), asyncio.Event()
    first = asyncio.create_task(storage.append(UPLOAD, Progress(0), stalling(b"old", given, release), Checkpoints()))
    await given.wait()
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "append": lambda: storage.append(UPLOAD, Progress(0), body(b"newer"), Checkpoints()),
        "verify": lambda: storage.verify(UPLOAD, Progress(0), digest_of(b"")),
        "place": lambda: storage.place(UPLOAD, Progress(0), digest_of(b""), None),
    }
    with pytest.raises(UploadLockedError):
        await calls[act]()
    with pytest.raises(UploadLockedError):
        await storage.append(UPLOAD, Progress(0), unread(), Checkpoints(), waits=False)
    release.set()
    assert (await first).prefix == digest_of(b"old")


async def test_a_fenced_request_that_stalled_changes_nothing(storage: Storage) -> None:
    """A request that was fenced before its append leaves the bytes that the newer one verified as they are."""
    newer = await stage(storage)
    await storage.verify(UPLOAD, newer, digest_of(CONTENT))
    with pytest.raises(FencedError):
        await storage.append(UPLOAD, Progress(0), body(b"stale"), Checkpoints(fails_at=0))
    await storage.place(UPLOAD, unhashed(newer), digest_of(CONTENT), None)
    assert await read(storage, APP, digest_of(CONTENT)) == CONTENT


async def test_placed_bytes_are_out_of_reach(storage: Storage) -> None:
    """After an upload was placed, a later append finds it missing, or stages other bytes: the content stays."""
    progress, digest = await stage(storage), digest_of(CONTENT)
    await storage.place(UPLOAD, progress, digest, None)
    with pytest.raises(UploadMissingError):
        await storage.append(UPLOAD, progress, body(b"!"), Checkpoints())
    await storage.append(UPLOAD, Progress(0), body(b"!"), Checkpoints())
    assert await read(storage, APP, digest) == CONTENT


async def test_an_append_that_waited_while_the_upload_was_placed_fails(storage: Storage) -> None:
    """An append that waits while the upload is placed finds the upload missing."""
    progress = await stage(storage)
    digest = digest_of(CONTENT)
    placing = asyncio.gather(
        storage.place(UPLOAD, unhashed(progress), digest, None),
        *[storage.append(UPLOAD, unhashed(progress), body(), Checkpoints()) for _ in range(4)],
        return_exceptions=True,
    )
    placed, *appended = await placing
    assert placed is None
    assert all(isinstance(each, UploadMissingError | Progress) for each in appended)
    assert await read(storage, APP, digest) == CONTENT


async def test_an_upload_that_is_discarded_while_it_is_placed_is_missing(storage: Storage) -> None:
    """Placing an upload that is discarded concurrently succeeds, or raises UploadMissingError."""
    for round_ in range(20):
        content = CONTENT + bytes([round_])
        upload, digest = UploadKey(APP, f"session-{round_}"), digest_of(content)
        progress = await storage.append(upload, Progress(0), body(content), Checkpoints())
        placed, _ = await asyncio.gather(
            storage.place(upload, progress, digest, None), storage.discard(upload), return_exceptions=True
        )
        if placed is None:
            assert await read(storage, APP, digest) == content
        else:
            assert isinstance(placed, UploadMissingError)
            assert await storage.stat(APP, digest) is None


async def test_bytes_after_the_verified_ones_are_not_placed(storage: Storage) -> None:
    """Bytes that another request appended after the verification are cut off."""
    progress = await stage(storage)
    await storage.verify(UPLOAD, progress, digest_of(CONTENT))
    await storage.append(UPLOAD, progress, body(b" and more"), Checkpoints())
    await storage.place(UPLOAD, unhashed(progress), digest_of(CONTENT), None)
    assert await read(storage, APP, digest_of(CONTENT)) == CONTENT


async def test_fewer_bytes_than_were_verified_are_not_placed(storage: Storage) -> None:
    """The upload is missing then, and no content is made."""
    staged = await stage(storage)
    with pytest.raises(UploadMissingError):
        await storage.place(UPLOAD, replace(staged, offset=len(CONTENT) + 1), digest_of(CONTENT), None)
    assert await storage.stat(APP, digest_of(CONTENT)) is None


async def test_placing_again_demands_content_of_the_same_size(storage: Storage) -> None:
    """Without staged bytes it succeeds only if content of that size exists."""
    await storage.put(APP, digest_of(CONTENT), CONTENT[:3])
    with pytest.raises(UploadMissingError):
        await storage.place(UPLOAD, Progress(len(CONTENT)), digest_of(CONTENT), None)


async def test_damaged_content_is_replaced(storage: Storage) -> None:
    """Placing replaces damaged content."""
    digest = digest_of(CONTENT)
    for damaged in (b"", CONTENT[:3], CONTENT[::-1], CONTENT + b"!"):
        await storage.put(APP, digest, damaged)
        await storage.place(UPLOAD, await stage(storage), digest, None)
        assert await read(storage, APP, digest) == CONTENT


@pytest.mark.parametrize("content", [None, b"", CONTENT[:3], CONTENT[::-1], CONTENT + b"!", CONTENT])
async def test_content_matches_staged_bytes_if_it_is_the_same(storage: Storage, content: bytes | None) -> None:
    """Content matches with the same bytes and size; bytes after the first `size` staged ones do not count."""
    digest = digest_of(CONTENT)
    if content is not None:
        await storage.put(APP, digest, content)
    progress = await stage(storage)
    assert await storage.matches(UPLOAD, progress, APP, digest) is (content == CONTENT)
    await storage.append(UPLOAD, progress, body(b" and more"), Checkpoints())
    assert await storage.matches(UPLOAD, progress, APP, digest) is (content == CONTENT)
    assert await storage.is_whole(APP, digest) is (content == CONTENT)
    await storage.place(UPLOAD, progress, digest, None)


async def test_nothing_is_compared_with_an_upload_that_is_missing(storage: Storage) -> None:
    """Comparing content with a missing upload raises UploadMissingError."""
    await storage.put(APP, digest_of(CONTENT), CONTENT)
    with pytest.raises(UploadMissingError):
        await storage.matches(UPLOAD, Progress(len(CONTENT)), APP, digest_of(CONTENT))


async def test_content_of_another_size_is_not_linked(storage: Storage) -> None:
    """Content of another size is damaged: linking it raises, and the target has no content."""
    digest = digest_of(CONTENT)
    await storage.put(APP, digest, CONTENT[:3])
    with pytest.raises(ContentDamagedError):
        await storage.link(APP, OTHER, digest, len(CONTENT))
    assert await storage.stat(OTHER, digest) is None


async def test_quarantining_missing_content_is_recorded(storage: Storage) -> None:
    """There are no bytes to keep, but the content is known as quarantined later."""
    digest = digest_of(CONTENT)
    assert not await storage.is_quarantined(APP, digest)
    assert await storage.quarantine(APP, digest) is False
    assert await storage.is_quarantined(APP, digest)
    await storage.put(APP, digest, CONTENT)
    assert await storage.quarantine(APP, digest) is True
    assert await storage.quarantine(APP, digest) is False
    assert await storage.is_quarantined(APP, digest)


async def test_the_store_of_one_repository_can_be_checked(storage: Storage) -> None:
    """If the whole storage is ready, so is the store of each repository."""
    await push(storage, APP)
    await storage.ready(APP)
    await storage.ready()


# --- verify ---


async def test_the_right_digest_is_accepted(storage: Storage) -> None:
    """Verifying the right digest returns, also repeatedly."""
    progress = await stage(storage)
    await storage.verify(UPLOAD, progress, digest_of(CONTENT))
    await storage.verify(UPLOAD, progress, digest_of(CONTENT))


@pytest.mark.parametrize("known", [True, False])
async def test_a_wrong_digest_is_refused(storage: Storage, known: bool) -> None:
    """DigestMismatchError has both digests; the bytes stay staged."""
    progress = await stage(storage)
    start = progress if known else unhashed(progress)
    with pytest.raises(DigestMismatchError) as caught:
        await storage.verify(UPLOAD, start, digest_of(b"else"))
    assert (caught.value.claimed, caught.value.actual) == (digest_of(b"else"), digest_of(CONTENT))
    await storage.verify(UPLOAD, progress, digest_of(CONTENT))


@pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
async def test_another_algorithm_is_verified(storage: Storage, algorithm: str) -> None:
    """A digest by another algorithm than the recorded one is compared with the bytes themselves."""
    progress = await stage(storage)
    await storage.verify(UPLOAD, progress, digest_of(CONTENT, algorithm))
    with pytest.raises(DigestMismatchError):
        await storage.verify(UPLOAD, progress, digest_of(b"else", algorithm))


@pytest.mark.parametrize("known", [True, False])
async def test_only_recorded_bytes_are_verified_and_placed(storage: Storage, known: bool) -> None:
    """Bytes after them do not count, and are cut off by placing."""
    recorded = await stage(storage, CONTENT[:4])
    await storage.append(UPLOAD, recorded, body(CONTENT[4:]), Checkpoints())
    await storage.verify(UPLOAD, recorded if known else unhashed(recorded), digest_of(CONTENT[:4]))
    await storage.place(UPLOAD, unhashed(recorded), digest_of(CONTENT[:4]), None)
    assert await read(storage, APP, digest_of(CONTENT[:4])) == CONTENT[:4]


async def test_missing_bytes_are_not_verified(storage: Storage) -> None:
    """An upload that is unknown, or shorter than recorded, is missing where it has to be read."""
    with pytest.raises(UploadMissingError):
        await storage.verify(UPLOAD, Progress(len(CONTENT)), digest_of(CONTENT))
    short = unhashed(await stage(storage, CONTENT[:-1]))
    with pytest.raises(UploadMissingError):
        await storage.verify(UPLOAD, replace(short, offset=len(CONTENT)), digest_of(CONTENT))


async def test_missing_bytes_of_a_known_digest_are_not_placed(storage: Storage) -> None:
    """A recorded digest is compared without a look at the bytes; placing looks at them."""
    progress = Progress(len(CONTENT), CANONICAL, digest_of(CONTENT))
    await storage.verify(UPLOAD, progress, digest_of(CONTENT))
    with pytest.raises(UploadMissingError):
        await storage.place(UPLOAD, Progress(len(CONTENT)), digest_of(CONTENT), None)


# --- place ---


async def test_placed_bytes_are_content(storage: Storage) -> None:
    """Placing makes the staged bytes content, and the upload is gone."""
    await storage.place(UPLOAD, await stage(storage), digest_of(CONTENT), None)
    assert await read(storage, APP, digest_of(CONTENT)) == CONTENT
    assert await sessions(storage) == []


@pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
async def test_content_of_each_algorithm(storage: Storage, algorithm: str) -> None:
    """Content can be placed with a digest of each algorithm."""
    digest = digest_of(CONTENT, algorithm)
    assert algorithm_of(digest) == algorithm
    progress = await stage(storage, algorithm=algorithm)
    await storage.verify(UPLOAD, progress, digest)
    await storage.place(UPLOAD, unhashed(progress), digest, None)
    assert await read(storage, APP, digest) == CONTENT
    assert await storage.stat(APP, digest_of(CONTENT)) is None


async def test_placing_is_idempotent(storage: Storage) -> None:
    """Repeated after an unknown outcome, placing returns, and the content is there."""
    progress, digest = await stage(storage), digest_of(CONTENT)
    for twin in (None, None, OTHER):
        await storage.place(UPLOAD, progress, digest, twin)
    assert await read(storage, APP, digest) == CONTENT


async def test_placing_nothing_fails(storage: Storage) -> None:
    """A missing upload cannot be placed, unless its content exists."""
    with pytest.raises(UploadMissingError):
        await storage.place(UPLOAD, Progress(len(CONTENT)), digest_of(CONTENT), None)
    await push(storage, OTHER)
    with pytest.raises(UploadMissingError):
        await storage.place(UPLOAD, Progress(len(CONTENT)), digest_of(CONTENT), OTHER)


async def test_placing_onto_content_replaces_it(storage: Storage) -> None:
    """The same content is placed by two uploads: both return, both uploads are gone."""
    await push(storage, APP, session="one")
    digest = await push(storage, APP, session="two")
    assert await read(storage, APP, digest) == CONTENT
    assert await sessions(storage) == []


async def test_content_placed_by_many_at_once(storage: Storage) -> None:
    """Ten concurrent uploads of one digest are all placed, and no upload is left."""
    digests = await asyncio.gather(*[push(storage, APP, session=f"session-{number}") for number in range(10)])
    assert set(digests) == {digest_of(CONTENT)}
    assert await read(storage, APP, digests[0]) == CONTENT
    assert await sessions(storage) == []


async def test_different_content_placed_at_once(storage: Storage) -> None:
    """Different content can be placed in several new repositories concurrently."""
    repositories = [APP, OTHER, NESTED]
    contents = [b"content %d" % number for number in range(12)]
    digests = await asyncio.gather(
        *[push(storage, repositories[i % 3], each, f"session-{i}") for i, each in enumerate(contents)]
    )
    for i, digest in enumerate(digests):
        assert await read(storage, repositories[i % 3], digest) == contents[i]


async def test_content_is_placed_after_its_removal(storage: Storage) -> None:
    """Removed content can be pushed again."""
    digest = await push(storage, APP)
    await storage.remove(APP, digest)
    await push(storage, APP)
    assert await read(storage, APP, digest) == CONTENT


async def test_content_is_placed_beside_a_twin(storage: Storage) -> None:
    """Content that was placed beside a twin stays when the twin's content is removed."""
    digest = await push(storage, OTHER)
    await storage.place(UPLOAD, await stage(storage), digest, OTHER)
    assert await sessions(storage) == []
    await storage.remove(OTHER, digest)
    assert await read(storage, APP, digest) == CONTENT


async def test_a_twin_without_the_content_is_no_obstacle(storage: Storage) -> None:
    """An upload can be placed although the twin's content is gone, or never existed."""
    await storage.place(UPLOAD, await stage(storage), digest_of(CONTENT), OTHER)
    assert await read(storage, APP, digest_of(CONTENT)) == CONTENT


async def test_a_twin_of_another_size_is_not_shared(storage: Storage) -> None:
    """A twin's content of another size is damaged: it does not replace the staged bytes."""
    digest = digest_of(CONTENT)
    await storage.put(OTHER, digest, CONTENT[:-1])
    await storage.place(UPLOAD, await stage(storage), digest, OTHER)
    assert await read(storage, APP, digest) == CONTENT


# --- link ---


async def test_linked_content_is_the_targets(storage: Storage) -> None:
    """A link adds content to the target, and leaves it in the source."""
    digest = await push(storage, APP)
    await storage.link(APP, OTHER, digest, len(CONTENT))
    assert await read(storage, OTHER, digest) == await read(storage, APP, digest) == CONTENT


async def test_linking_is_idempotent(storage: Storage) -> None:
    """Linking content that the target has already, or to its own repository, changes nothing."""
    digest = await push(storage, APP)
    await storage.link(APP, OTHER, digest, len(CONTENT))
    await storage.link(APP, OTHER, digest, len(CONTENT))
    await storage.link(APP, APP, digest, len(CONTENT))
    assert await read(storage, OTHER, digest) == CONTENT


async def test_linked_content_stands_alone(storage: Storage) -> None:
    """Removing the source's content leaves the target's."""
    digest = await push(storage, APP)
    await storage.link(APP, OTHER, digest, len(CONTENT))
    await storage.remove(APP, digest)
    assert await read(storage, OTHER, digest) == CONTENT


async def test_missing_content_is_not_linked(storage: Storage) -> None:
    """If the source does not have it, ContentMissingError is raised, and the target does not have it."""
    digest = digest_of(CONTENT)
    with pytest.raises(ContentMissingError):
        await storage.link(APP, OTHER, digest, len(CONTENT))
    assert await storage.stat(OTHER, digest) is None
    assert await sessions(storage, OTHER) == []


# --- bytes in memory ---


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_bytes_in_memory_become_content_if_they_have_the_digest(storage: Storage, algorithm: str) -> None:
    """All pieces together have it, storing them again changes nothing, and nothing is left staged."""
    digest = digest_of(CONTENT, algorithm)
    pieces = [CONTENT[:5], CONTENT[5:]]
    await storage.verify_pieces(APP, digest, pieces)
    await storage.put_verified(APP, digest, pieces, None)
    await storage.put_verified(APP, digest, [CONTENT], None)
    assert await read(storage, APP, digest) == CONTENT
    assert await sessions(storage) == []


async def test_bytes_in_memory_with_another_digest_are_refused(storage: Storage) -> None:
    """They do not become content, whether they are to be written or shared."""
    digest = await push(storage, NESTED)
    with pytest.raises(DigestMismatchError):
        await storage.verify_pieces(APP, digest, [CONTENT[:-1]])
    for twin in (None, NESTED):
        with pytest.raises(DigestMismatchError):
            await storage.put_verified(APP, digest, [CONTENT[:-1]], twin)
    assert await storage.stat(APP, digest) is None


async def test_bytes_in_memory_replace_damaged_content(storage: Storage) -> None:
    """What is there under the digest does not count."""
    digest = digest_of(CONTENT)
    await storage.put(APP, digest, b"damaged")
    await storage.put_verified(APP, digest, [CONTENT], None)
    assert await read(storage, APP, digest) == CONTENT


@pytest.mark.parametrize("twin", [OTHER, NESTED])
async def test_bytes_in_memory_are_shared_with_a_twin(storage: Storage, twin: Repository) -> None:
    """Content that is shared with another repository's stays when that is removed, and replaces what was there."""
    digest = await push(storage, twin)
    await storage.put(APP, digest, b"damaged")
    await storage.put_verified(APP, digest, [CONTENT[:5], CONTENT[5:]], twin)
    await storage.remove(twin, digest)
    assert await read(storage, APP, digest) == CONTENT


@pytest.mark.parametrize("found", [None, CONTENT[:-1], CONTENT + b"x", CONTENT[:-1] + b"x"])
async def test_a_damaged_twin_is_told(storage: Storage, shares: bool, found: bytes | None) -> None:
    """Where bytes are shared nothing is stored then: the caller repairs the twin's repository first."""
    digest = digest_of(CONTENT)
    if found is not None:
        await storage.put(NESTED, digest, found)
    if not shares:
        await storage.put_verified(APP, digest, [CONTENT[:5], CONTENT[5:]], NESTED)
        assert await read(storage, APP, digest) == CONTENT
        return
    with pytest.raises(ContentDamagedError):
        await storage.put_verified(APP, digest, [CONTENT[:5], CONTENT[5:]], NESTED)
    assert await storage.stat(APP, digest) is None


# --- put, remove ---


async def test_put_content_is_there(storage: Storage) -> None:
    """Small content is stored in one call, idempotently, and nothing is left staged."""
    digest = digest_of(b"{}")
    await storage.put(APP, digest, b"{}")
    await storage.put(APP, digest, b"{}")
    assert await read(storage, APP, digest) == b"{}"
    assert await sessions(storage) == []


async def test_removed_content_is_gone(storage: Storage) -> None:
    """When a removal returns the content cannot be opened; removing is idempotent."""
    digest = await push(storage, APP)
    await storage.remove(APP, digest)
    await storage.remove(APP, digest)
    assert await storage.stat(APP, digest) is None
    with pytest.raises(ContentMissingError):
        await storage.open(APP, digest)


async def test_removing_from_an_unknown_repository_changes_nothing(storage: Storage) -> None:
    """Removing content that never was returns."""
    await storage.remove(APP, digest_of(CONTENT))


async def test_quarantined_content_is_not_served(storage: Storage) -> None:
    """Quarantined content is gone from its repository alone, and can be stored again."""
    digest = await push(storage, APP)
    await push(storage, NESTED)
    assert await storage.is_quarantined(APP, digest) is False
    assert await storage.quarantine(APP, digest) is True
    assert await storage.quarantine(APP, digest) is False
    assert await storage.is_quarantined(APP, digest) is True
    assert await storage.is_quarantined(NESTED, digest) is False
    assert await storage.stat(APP, digest) is None
    assert [file async for file in storage.walk(APP)] == []
    assert await read(storage, NESTED, digest) == CONTENT
    await push(storage, APP)
    assert await read(storage, APP, digest) == CONTENT
    assert await storage.quarantine(APP, digest) is True


# --- discard, staged ---


async def test_discarded_bytes_are_gone(storage: Storage) -> None:
    """A discarded upload is missing; discarding is idempotent, also of an upload that never existed."""
    progress = await stage(storage)
    await storage.discard(UPLOAD)
    await storage.discard(UPLOAD)
    assert await sessions(storage) == []
    with pytest.raises(UploadMissingError):
        await storage.append(UPLOAD, progress, body(), Checkpoints())


async def test_an_upload_is_discarded_during_an_append(storage: Storage, cuts: bool) -> None:
    """Discarding does not wait for a running append; the bytes of that are gone, too, or are found as staged."""
    given, release = asyncio.Event(), asyncio.Event()
    appending = asyncio.create_task(
        storage.append(UPLOAD, Progress(0), stalling(CONTENT, given, release), Checkpoints())
    )
    await given.wait()
    await storage.discard(UPLOAD)
    release.set()
    progress = await appending
    if not cuts:
        assert await sessions(storage) == [UPLOAD.session]
        await storage.discard(UPLOAD)
        assert await sessions(storage) == []
    with pytest.raises(UploadMissingError):
        await storage.place(UPLOAD, progress, digest_of(CONTENT), None)


async def test_uploads_are_listed_by_repository(storage: Storage) -> None:
    """Each repository lists its own uploads, with the time of the last change."""
    other = UploadKey(OTHER, "other-session")
    await stage(storage)
    await stage(storage, upload=other)
    [(session, changed_s)] = await storage.staged(APP)
    assert session == UPLOAD.session
    assert changed_s > 1_600_000_000
    assert await sessions(storage, OTHER) == [other.session]


async def test_an_unknown_repository_has_no_uploads(storage: Storage) -> None:
    """A repository that was never pushed to has no staged uploads."""
    assert await storage.staged(APP) == []


# --- walk ---


async def test_a_walk_finds_all_content(storage: Storage) -> None:
    """A walk finds all content of each algorithm once, with its size, and no staged bytes."""
    contents = [b"content %d" % number for number in range(300)]
    for each in contents:
        await storage.put(APP, digest_of(each), each)
    await storage.put(APP, digest_of(b"long", "sha512"), b"long")
    await stage(storage)
    found = [(file.digest, file.size) async for file in storage.walk(APP)]
    expected = [(digest_of(each), len(each)) for each in contents] + [(digest_of(b"long", "sha512"), 4)]
    assert sorted(found) == sorted(expected)


async def test_a_walk_stays_in_its_repository(storage: Storage) -> None:
    """A walk does not find the content of other repositories, nor of nested ones."""
    await push(storage, OTHER)
    await push(storage, NESTED)
    assert [file async for file in storage.walk(APP)] == []


async def test_a_walk_returns_the_time_of_the_last_change(storage: Storage) -> None:
    """The time is in seconds since the epoch."""
    await push(storage, APP)
    [file] = [file async for file in storage.walk(APP)]
    assert file.modified_s > 1_600_000_000


async def test_content_may_be_removed_during_a_walk(storage: Storage) -> None:
    """Content may be removed while a walk is running."""
    for number in range(5):
        await push(storage, APP, b"content %d" % number)
    async for file in storage.walk(APP):
        await storage.remove(APP, file.digest)
    assert [file async for file in storage.walk(APP)] == []


async def test_a_walk_may_be_left(storage: Storage) -> None:
    """A walk that is closed before its end leaves nothing open."""
    for number in range(3):
        await push(storage, APP, b"content %d" % number)
    walk = storage.walk(APP)
    await anext(walk)
    await push(storage, APP, b"another")
    async for _ in walk:
        pass


# --- the storage ---


async def test_free_bytes_are_a_number(storage: Storage) -> None:
    """The free space is a number of bytes, or None where there is no limit."""
    await push(storage, APP)
    free_bytes = await storage.free_bytes(APP)
    assert free_bytes is None or free_bytes > 0


async def test_a_new_storage_is_ready(storage: Storage) -> None:
    """A storage is ready before its first use, and after."""
    await storage.ready()
    await push(storage, APP)
    await storage.ready()


async def test_an_upload_ends_with_cancelled_calls(storage: Storage) -> None:
    """After a call was cancelled at any moment the next call on the upload works."""
    digest = digest_of(CONTENT)
    for steps in range(12):
        upload = UploadKey(APP, f"session-{steps}")
        task = asyncio.create_task(push(storage, APP, session=upload.session))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        progress = await storage.append(upload, Progress(0), body(CONTENT), Checkpoints())
        await storage.verify(upload, progress, digest)
        await storage.place(upload, unhashed(progress), digest, None)
        assert await sessions(storage) == []
    assert await read(storage, APP, digest) == CONTENT


async def test_an_upload_is_busy_while_a_request_works_on_it(storage: Storage) -> None:
    """An upload is busy while an append holds it; a missing one is not busy."""
    assert not await storage.busy(UPLOAD)
    given, release = asyncio.Event(), asyncio.Event()
    appending = asyncio.create_task(
        storage.append(UPLOAD, Progress(0), stalling(b"bytes", given, release), Checkpoints())
    )
    await given.wait()
    assert await storage.busy(UPLOAD)
    release.set()
    await appending
    assert not await storage.busy(UPLOAD)


def test_errors_are_one_tree() -> None:
    """A caller that handles StorageError handles all failures of a storage but a wrong digest."""
    assert issubclass(UploadMissingError, StorageError)
    assert issubclass(UploadLockedError, StorageError)
    assert issubclass(ContentMissingError, StorageError)
    assert not issubclass(DigestMismatchError, StorageError)


async def test_staged_bytes_are_read_while_they_grow(storage: Storage) -> None:
    """Of an upload that is being appended to, or placed since, a reader gets what is staged by then.

    A driver that cannot read them says so.
    """
    with pytest.raises(UploadMissingError):
        await storage.open_staged(UPLOAD)
    progress = await storage.append(UPLOAD, Progress(0), body(CONTENT), Checkpoints())
    try:
        opened = await storage.open_staged(UPLOAD)
    except UploadMissingError:
        assert isinstance(storage, ObjectStorage)
        return
    assert opened.size == len(CONTENT)
    progress = await storage.append(UPLOAD, progress, body(CONTENT), Checkpoints())
    assert await opened.read(len(CONTENT) - 2, 4) == (CONTENT * 2)[len(CONTENT) - 2 :][:4]
    await storage.place(UPLOAD, progress, digest_of(CONTENT * 2), None)
    assert await opened.read(0, 2 * len(CONTENT)) == CONTENT * 2
    opened.close()
