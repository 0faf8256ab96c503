"""The laws of upload sessions, held by every driver."""

from __future__ import annotations

import msgspec

from contract.catalog.examples import APP, OTHER, OWNER, digest, doom
from zot.catalog.blob_commands import ClaimBlob, ClaimOutcome, DoomOutcome, ForgetBlob, PublishBlob, PublishOutcome
from zot.catalog.command import new_id
from zot.catalog.interface import Catalog
from zot.catalog.manifest_commands import RemoveRepository
from zot.catalog.rows import UploadRow
from zot.catalog.upload_commands import (
    AdvanceUpload,
    BeginOutcome,
    CancelUploadRow,
    Claim,
    CreateUploadRow,
    LeasedUpload,
    LeaseUpload,
)

BEGIN = CreateUploadRow(repository=APP, session="s", principal="alice", algorithm="sha512")
LEASE = LeaseUpload(repository=APP, session="s", principal="alice", owner=OWNER)
ADVANCE = AdvanceUpload(
    repository=APP, session="s", epoch=1, offset=10, algorithm="sha256", prefix=digest("prefix"), owner=OWNER
)


async def row(catalog: Catalog, session: str = "s") -> UploadRow:
    """Return a session that has to be there."""
    found = await catalog.upload(session)
    assert found is not None
    return found


async def finish(catalog: Catalog, session: str = "s") -> None:
    """Finish a session of APP as a blob."""
    blob = digest(session)
    assert await catalog.do(ClaimBlob(repository=APP, digest=blob, token="t", owner=OWNER)) is ClaimOutcome.CLAIMED
    await catalog.do(PublishBlob(repository=APP, digest=blob, token="t", size=1, session=session))


async def test_a_session_begins_at_nothing(catalog: Catalog) -> None:
    """A new session has no bytes, nobody who holds it, and its repository exists."""
    assert await catalog.do(BEGIN) is BeginOutcome.BEGUN
    found = await row(catalog)
    assert found.updated_ns > 0
    assert msgspec.structs.replace(found, updated_ns=0) == UploadRow(
        "s", APP, "alice", 0, 0, "sha512", None, "", 0, None
    )
    assert await catalog.repository(APP)


async def test_beginning_again_leaves_it_as_it_is(catalog: Catalog) -> None:
    """A repetition neither resets a session nor counts twice."""
    await catalog.do(BEGIN)
    await catalog.do(LEASE)
    await catalog.do(ADVANCE)
    before = await row(catalog)
    assert await catalog.do(msgspec.structs.replace(BEGIN, limit=1)) is BeginOutcome.BEGUN
    assert await row(catalog) == before


async def test_a_repository_has_so_many_open_sessions(catalog: Catalog) -> None:
    """One more than the limit is refused; finished ones and those of others do not count."""
    one = CreateUploadRow(repository=APP, session="1", limit=1)
    two = CreateUploadRow(repository=APP, session="2", limit=1)
    assert await catalog.do(CreateUploadRow(repository=OTHER, session="0", limit=1)) is BeginOutcome.BEGUN
    assert await catalog.do(one) is BeginOutcome.BEGUN
    assert await catalog.do(two) is BeginOutcome.TOO_MANY
    assert await catalog.upload("2") is None
    await finish(catalog, "1")
    assert await catalog.do(two) is BeginOutcome.BEGUN


async def test_one_client_does_not_use_up_the_sessions_of_others(catalog: Catalog) -> None:
    """The limit is the client's: another client that begins one in the same repository has its own limit."""
    for number, client in enumerate(["alice", "bob", "", "alice "]):
        begin = CreateUploadRow(repository=APP, session=f"{number}", client=client, limit=1)
        assert await catalog.do(begin) is BeginOutcome.BEGUN
        assert (await row(catalog, begin.session)).client == client
        assert await catalog.do(msgspec.structs.replace(begin, session=f"{number} again")) is BeginOutcome.TOO_MANY


async def test_a_refused_session_makes_no_repository(catalog: Catalog) -> None:
    """Where none may be open, nothing is created."""
    assert await catalog.do(msgspec.structs.replace(BEGIN, limit=0)) is BeginOutcome.TOO_MANY
    assert await catalog.repository(APP) is None


async def test_a_lease_fences_the_one_before(catalog: Catalog) -> None:
    """The newer request's epoch is greater; the older one can record nothing any more."""
    await catalog.do(BEGIN)
    first = await catalog.do(LEASE)
    second = await catalog.do(LeaseUpload(repository=APP, session="s", principal="alice", owner=OWNER))
    assert first is not None
    assert second is not None
    assert second.row.epoch > first.row.epoch
    assert second == LeasedUpload(await row(catalog))
    assert await catalog.do(msgspec.structs.replace(ADVANCE, epoch=first.row.epoch)) is False
    assert (await row(catalog)).offset == 0
    assert await catalog.do(msgspec.structs.replace(ADVANCE, epoch=second.row.epoch)) is True


async def test_a_lease_can_demand_an_unchanged_session(catalog: Catalog) -> None:
    """A request that saw the session before another changed it takes nothing, and fences no request."""
    await catalog.do(BEGIN)
    unchanged = msgspec.structs.replace(LEASE, id=new_id(), if_epoch=0, if_offset=0)
    leased = await catalog.do(unchanged)
    assert leased is not None
    assert leased.row.epoch == 1
    assert await catalog.do(unchanged) == leased  # the same command again
    assert await catalog.do(msgspec.structs.replace(unchanged, id=new_id())) is None
    await catalog.do(ADVANCE)
    assert await catalog.do(msgspec.structs.replace(LEASE, id=new_id(), if_epoch=1, if_offset=0)) is None
    assert (await row(catalog)).epoch == 1
    assert await catalog.do(msgspec.structs.replace(LEASE, id=new_id(), if_epoch=1, if_offset=10)) is not None


async def test_a_digest_is_claimed_with_the_last_bytes(catalog: Catalog) -> None:
    """What is recorded and what is claimed are one commit: a fenced request claims nothing."""
    await catalog.do(BEGIN)
    await catalog.do(LEASE)
    claim = Claim(digest("blob"), "t")
    assert await catalog.do(msgspec.structs.replace(ADVANCE, epoch=0, claim=claim)) is False
    assert await doom(catalog, digest("blob"), "d", orphan=True) is DoomOutcome.DOOMED
    assert await catalog.do(msgspec.structs.replace(ADVANCE, claim=claim)) is ClaimOutcome.DOOMED
    assert (await row(catalog)).offset == 10
    await catalog.do(ForgetBlob(repository=APP, digest=digest("blob"), token="d"))
    for _ in range(2):  # idempotent by token
        assert await catalog.do(msgspec.structs.replace(ADVANCE, claim=claim)) is ClaimOutcome.CLAIMED
    assert await doom(catalog, digest("blob"), "d", orphan=True) is DoomOutcome.CLAIMED
    publish = PublishBlob(repository=APP, digest=digest("blob"), token="t", size=10, session="s")
    assert await catalog.do(publish) is PublishOutcome.PRESENT
    assert await catalog.do(msgspec.structs.replace(ADVANCE, claim=Claim(digest("blob"), "u"))) is False


async def test_a_digest_is_claimed_with_a_lease(catalog: Catalog) -> None:
    """A lease tells what came of the claim; one that is refused, or of a finished session, claims nothing."""
    await catalog.do(BEGIN)
    claiming = msgspec.structs.replace(LEASE, id=new_id(), claim=Claim(digest("blob"), "t"))
    assert await catalog.do(msgspec.structs.replace(claiming, id=new_id(), principal="bob")) is None
    assert await catalog.do(msgspec.structs.replace(claiming, id=new_id(), if_epoch=7)) is None
    assert await doom(catalog, digest("blob"), "d", orphan=True) is DoomOutcome.DOOMED
    await catalog.do(ForgetBlob(repository=APP, digest=digest("blob"), token="d"))
    leased = await catalog.do(claiming)
    assert leased == LeasedUpload(await row(catalog), ClaimOutcome.CLAIMED)
    await catalog.do(PublishBlob(repository=APP, digest=digest("blob"), token="t", size=1))
    again = await catalog.do(msgspec.structs.replace(claiming, id=new_id()))
    assert again == LeasedUpload(await row(catalog), ClaimOutcome.PRESENT)
    await finish(catalog)
    finished = await catalog.do(msgspec.structs.replace(claiming, id=new_id()))
    assert finished == LeasedUpload(await row(catalog))


async def test_the_state_of_a_driver_is_kept_as_it_is(catalog: Catalog) -> None:
    """It is recorded with the offset, and comes back with each lease and read."""
    await catalog.do(BEGIN)
    assert (await row(catalog)).driver_state == b""
    await catalog.do(LEASE)
    state = bytes(range(256)) * 100
    assert await catalog.do(msgspec.structs.replace(ADVANCE, driver_state=state)) is True
    assert (await row(catalog)).driver_state == state
    leased = await catalog.do(msgspec.structs.replace(LEASE, id=new_id()))
    assert leased is not None
    assert leased.row.driver_state == state


async def test_only_a_session_of_the_repository_is_leased(catalog: Catalog) -> None:
    """A session is its repository's: its id alone opens nothing."""
    assert await catalog.do(LEASE) is None
    await catalog.do(BEGIN)
    assert await catalog.do(LeaseUpload(repository=OTHER, session="s", principal="alice", owner=OWNER)) is None
    assert (await row(catalog)).epoch == 0


async def test_only_its_principal_leases_a_session(catalog: Catalog) -> None:
    """Another principal who learned the id gets no lease, fences no request, and learns nothing of a finished one."""
    await catalog.do(BEGIN)
    assert await catalog.do(msgspec.structs.replace(LEASE, id=new_id(), principal="bob")) is None
    assert (await row(catalog)).epoch == 0
    assert await catalog.do(LEASE) is not None
    await finish(catalog)
    assert await catalog.do(msgspec.structs.replace(LEASE, id=new_id(), principal="bob")) is None
    assert await catalog.do(msgspec.structs.replace(LEASE, id=new_id())) == LeasedUpload(await row(catalog))


async def test_progress_is_recorded(catalog: Catalog) -> None:
    """The offset, and the digest of the bytes so far with its algorithm and the owner that recorded it."""
    await catalog.do(BEGIN)
    await catalog.do(LEASE)
    before = await row(catalog)
    assert await catalog.do(ADVANCE) is True
    found = await row(catalog)
    assert (found.offset, found.algorithm, found.prefix, found.recorded_by) == (
        10,
        "sha256",
        digest("prefix"),
        OWNER,
    )
    assert found.updated_ns > before.updated_ns


async def test_progress_needs_the_repository(catalog: Catalog) -> None:
    """Neither another repository nor an absent session takes progress."""
    assert await catalog.do(ADVANCE) is False
    await catalog.do(BEGIN)
    await catalog.do(LEASE)
    assert await catalog.do(msgspec.structs.replace(ADVANCE, repository=OTHER)) is False


async def test_a_finished_session_stays_as_it_is(catalog: Catalog) -> None:
    """It answers a repeated finish with its digest, its epoch unchanged, and takes no bytes."""
    await catalog.do(BEGIN)
    await catalog.do(LEASE)
    await finish(catalog)
    leased = await catalog.do(LeaseUpload(repository=APP, session="s", principal="alice", owner=OWNER))
    assert leased is not None
    assert (leased.row.finished, leased.row.epoch) == (digest("s"), 1)
    assert await catalog.do(ADVANCE) is False


async def test_a_cancelled_session_is_gone(catalog: Catalog) -> None:
    """There is nothing left of it."""
    await catalog.do(BEGIN)
    assert await catalog.do(CancelUploadRow(repository=APP, session="s")) is True
    assert await catalog.upload("s") is None
    assert await catalog.do(CancelUploadRow(repository=APP, session="s")) is False


async def test_cancelling_is_remembered(catalog: Catalog) -> None:
    """Given again, it tells that it did cancel."""
    await catalog.do(BEGIN)
    cancel = CancelUploadRow(repository=APP, session="s")
    assert await catalog.do(cancel) is True
    assert await catalog.do(cancel) is True


async def test_cancelling_needs_the_repository(catalog: Catalog) -> None:
    """A session is not cancelled by way of another repository."""
    await catalog.do(BEGIN)
    assert await catalog.do(CancelUploadRow(repository=OTHER, session="s")) is False
    assert await catalog.upload("s")


async def test_a_session_in_use_is_not_collected(catalog: Catalog) -> None:
    """A session that was taken since it was found idle stays."""
    await catalog.do(BEGIN)
    await catalog.do(LEASE)
    assert await catalog.do(CancelUploadRow(repository=APP, session="s", if_epoch=0)) is False
    assert await catalog.do(CancelUploadRow(repository=APP, session="s", if_epoch=1)) is True


async def test_a_finished_session_can_be_spared(catalog: Catalog) -> None:
    """With `unfinished` a finished session keeps its row, which answers a repeated finish; an open one is removed."""
    await catalog.do(BEGIN)
    await finish(catalog)
    assert await catalog.do(CancelUploadRow(repository=APP, session="s", unfinished=True)) is False
    row = await catalog.upload("s")
    assert row is not None
    assert row.finished == digest("s")
    await catalog.do(CreateUploadRow(repository=APP, session="open"))
    assert await catalog.do(CancelUploadRow(repository=APP, session="open", unfinished=True)) is True
    assert await catalog.upload("open") is None


async def test_idle_sessions_are_found(catalog: Catalog) -> None:
    """Those that nothing happened to for so long, finished ones too, page by page."""
    for session in ("a", "b", "c"):
        await catalog.do(CreateUploadRow(repository=APP, session=session))
    await finish(catalog, "b")
    assert await catalog.uploads(3600, "", 10) == []
    assert [each.session for each in await catalog.uploads(0, "", 2)] == ["a", "b"]
    assert [each.session for each in await catalog.uploads(0, "b", 2)] == ["c"]


async def test_finished_sessions_go_with_their_repository(catalog: Catalog) -> None:
    """They do not hold it, and leave nothing behind."""
    await catalog.do(BEGIN)
    await finish(catalog)
    await doom(catalog, digest("s"), "t")
    await catalog.do(ForgetBlob(repository=APP, digest=digest("s"), token="t"))
    assert await catalog.do(RemoveRepository(repository=APP)) is True
    assert await catalog.upload("s") is None
