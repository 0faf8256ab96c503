"""Owners, and what belongs to them: claims, pending deletes, recorded digests, exports and named leases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from contract.catalog.examples import APP, OWNER, digest, push_blob
from zot.catalog.blob_commands import (
    ClaimBlob,
    ClaimOutcome,
    Disposal,
    DoomBlob,
    DoomOutcome,
    ForgetBlob,
    PublishBlob,
    PublishOutcome,
)
from zot.catalog.interface import Catalog, LeaseEndedError
from zot.catalog.layout_commands import BeginExport
from zot.catalog.memory.driver import MemoryCatalog
from zot.catalog.owner_commands import (
    ENDED_KEPT_S,
    AcquireLease,
    EndExpiredOwners,
    EndOwner,
    NamedLease,
    ReleaseLease,
    RenewOwner,
    TakePendingDelete,
)
from zot.catalog.rows import PendingDelete
from zot.catalog.sqlite.driver import open_in_thread
from zot.catalog.upload_commands import AdvanceUpload, CreateUploadRow, LeaseUpload

PEER = "peer"
BLOB = digest("blob")
LEASE_S = 10.0


class Clock:
    """The time of a catalog, set by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def ns(self) -> int:
        """Return nanoseconds since the epoch."""
        return int(self.now_s * 10**9)


@pytest.fixture
def clock() -> Clock:
    """The time of the catalog."""
    return Clock()


@pytest.fixture(params=["memory", "sqlite"])
async def catalog(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Catalog]:
    """A catalog of each kind, with the leases of its owner and of a peer begun."""
    opened: Catalog = (
        MemoryCatalog(clock.ns, OWNER) if request.param == "memory" else open_in_thread(tmp_path, OWNER, clock.ns)
    )
    for owner in (OWNER, PEER):
        assert await opened.do(RenewOwner(owner=owner, lease_s=LEASE_S))
    yield opened
    await opened.close()


def claim(owner: str, token: str = "push") -> ClaimBlob:
    """Return a push's claim."""
    return ClaimBlob(repository=APP, digest=BLOB, token=token, owner=owner)


def publish(token: str = "push") -> PublishBlob:
    """Return what a push commits."""
    return PublishBlob(repository=APP, digest=BLOB, token=token, size=4)


def doom(owner: str, token: str = "delete") -> DoomBlob:
    """Return the decision to delete the blob."""
    return DoomBlob(repository=APP, digest=BLOB, token=token, owner=owner)


def orphan(owner: str) -> DoomBlob:
    """Return the decision to delete a file that no row names."""
    return DoomBlob(repository=APP, digest=BLOB, token="stray", owner=owner, orphan=True)


def take(owner: str, new_token: str) -> TakePendingDelete:
    """Return the takeover of the pending delete."""
    return TakePendingDelete(repository=APP, digest=BLOB, token="delete", new_token=new_token, owner=owner)


async def end_expired(catalog: Catalog, owner: str = OWNER) -> tuple[str, ...]:
    """End the leases that have expired."""
    return await catalog.do(EndExpiredOwners(owner=owner))


async def test_the_claim_of_a_live_peer_holds(catalog: Catalog, clock: Clock) -> None:
    """Another owner deletes nothing that the peer is about to publish, as long as the peer renews its lease."""
    assert await catalog.do(claim(PEER)) is ClaimOutcome.CLAIMED
    for _ in range(3):
        clock.now_s += LEASE_S / 2
        assert await catalog.do(RenewOwner(owner=PEER, lease_s=LEASE_S))
        assert await end_expired(catalog) == ()
        assert await catalog.do(orphan(OWNER)) is DoomOutcome.CLAIMED
    assert await catalog.do(publish()) is PublishOutcome.PRESENT


async def test_the_claim_of_an_expired_owner_is_taken_away(catalog: Catalog, clock: Clock) -> None:
    """Its push has to claim anew, and learns so when it publishes."""
    await catalog.do(claim(PEER))
    clock.now_s += LEASE_S + 1
    assert await end_expired(catalog) == (PEER,)
    assert await catalog.do(orphan(OWNER)) is DoomOutcome.DOOMED
    assert await catalog.do(publish()) is PublishOutcome.CLAIM_LOST


async def test_no_owner_ends_its_own_lease_as_expired(catalog: Catalog, clock: Clock) -> None:
    """An owner that was suspended ends others' leases, and goes on itself."""
    clock.now_s += LEASE_S + 1
    assert await end_expired(catalog) == (PEER,)
    assert await catalog.do(RenewOwner(owner=OWNER, lease_s=LEASE_S))
    assert await catalog.do(claim(OWNER)) is ClaimOutcome.CLAIMED


async def test_an_expired_lease_that_was_not_taken_over_is_renewed(catalog: Catalog, clock: Clock) -> None:
    """A server that was suspended keeps its claims and goes on, if no other server ended its lease in between."""
    await catalog.do(claim(PEER))
    clock.now_s += 10 * LEASE_S
    assert await catalog.do(RenewOwner(owner=PEER, lease_s=LEASE_S))
    assert PEER not in await end_expired(catalog)
    assert await catalog.do(claim(PEER, "second")) is ClaimOutcome.CLAIMED
    assert await catalog.do(publish()) is PublishOutcome.PRESENT


async def test_late_commands_of_an_ended_owner_are_refused(catalog: Catalog) -> None:
    """They change nothing, whatever they are: others may hold by now what it held."""
    await push_blob(catalog, "present")
    await catalog.do(CreateUploadRow(repository=APP, session="s"))
    await catalog.do(LeaseUpload(repository=APP, session="s", principal="", owner=PEER))
    await catalog.do(EndOwner(owner=PEER))
    late = [
        claim(PEER),
        DoomBlob(repository=APP, digest=digest("present"), token="t", owner=PEER),
        AdvanceUpload(repository=APP, session="s", epoch=1, offset=5, owner=PEER),
        BeginExport(repository=APP, digest="0" * 64, owner=PEER),
        take(PEER, "late"),
        AcquireLease(name="jobs", owner=PEER),
    ]
    for command in late:
        with pytest.raises(LeaseEndedError, match=PEER):
            await catalog.do(command)
    assert await catalog.blob(APP, digest("present")) is not None
    row = await catalog.upload("s")
    assert row is not None
    assert row.offset == 0
    assert await catalog.do(orphan(OWNER)) is DoomOutcome.DOOMED  # no claim stands


async def test_an_ended_lease_is_not_renewed(catalog: Catalog, clock: Clock) -> None:
    """It stays ended, also when it is ended again and after others' leases have expired."""
    await catalog.do(EndOwner(owner=PEER))
    assert await catalog.do(RenewOwner(owner=PEER)) is False
    clock.now_s += ENDED_KEPT_S / 2
    await catalog.do(EndOwner(owner=PEER))
    await end_expired(catalog)
    assert await catalog.do(RenewOwner(owner=PEER)) is False


async def test_an_owner_without_a_lease_is_refused(catalog: Catalog) -> None:
    """A lease is begun first, by the start or by the first renewal."""
    with pytest.raises(LeaseEndedError):
        await catalog.do(claim("unknown"))
    assert await catalog.do(RenewOwner(owner="unknown"))
    assert await catalog.do(claim("unknown")) is ClaimOutcome.CLAIMED


async def test_a_pending_delete_of_a_live_owner_is_left_to_it(catalog: Catalog, clock: Clock) -> None:
    """Its late unlink would delete the file of a later push: expiry alone does not take it away, ending does."""
    await push_blob(catalog, "blob")
    assert await catalog.do(doom(PEER)) is DoomOutcome.DOOMED
    clock.now_s += LEASE_S + 1
    assert await catalog.doomed(10) == [PendingDelete(APP, BLOB, "delete", PEER)]
    assert await catalog.do(take(OWNER, "mine")) is False
    await catalog.do(ForgetBlob(repository=APP, digest=BLOB, token="delete"))
    assert await catalog.doomed(10) == []


async def test_a_pending_delete_of_an_ended_owner_is_taken_over_by_one(catalog: Catalog, clock: Clock) -> None:
    """Of two owners that find it one gets it, and its former owner does not complete it any more."""
    await push_blob(catalog, "blob")
    await catalog.do(doom(PEER))
    await catalog.do(RenewOwner(owner="third", lease_s=10 * LEASE_S))
    clock.now_s += LEASE_S + 1
    await end_expired(catalog)
    assert await catalog.doomed(10) == [PendingDelete(APP, BLOB, "delete", PEER, abandoned=True)]
    assert await catalog.do(take(OWNER, "mine")) is True
    assert await catalog.do(take(OWNER, "mine")) is True
    assert await catalog.do(take("third", "theirs")) is False
    await catalog.do(ForgetBlob(repository=APP, digest=BLOB, token="delete"))
    assert await catalog.doomed(10) == [PendingDelete(APP, BLOB, "mine", OWNER)]
    await catalog.do(ForgetBlob(repository=APP, digest=BLOB, token="mine"))
    assert await catalog.do(claim(OWNER)) is ClaimOutcome.CLAIMED


@pytest.mark.parametrize("disposal", Disposal)
@pytest.mark.parametrize("of_orphan", [False, True])
async def test_a_pending_delete_keeps_its_disposal(
    catalog: Catalog, clock: Clock, disposal: Disposal, *, of_orphan: bool
) -> None:
    """What its owner was doing with the file is known to the owner that takes it over."""
    await push_blob(catalog, "other" if of_orphan else "blob")
    doomed = msgspec.structs.replace(orphan(PEER) if of_orphan else doom(PEER), token="delete", disposal=disposal)
    assert await catalog.do(doomed) is DoomOutcome.DOOMED
    assert await catalog.doomed(10) == [PendingDelete(APP, BLOB, "delete", PEER, disposal=disposal)]
    clock.now_s += LEASE_S + 1
    await end_expired(catalog)
    assert await catalog.do(take(OWNER, "mine")) is True
    assert await catalog.doomed(10) == [PendingDelete(APP, BLOB, "mine", OWNER, disposal=disposal)]


async def test_abandoned_deletes_come_first(catalog: Catalog) -> None:
    """A page of pending deletes is not filled by those of live owners."""
    for name, owner in (("a", OWNER), ("b", PEER), ("c", OWNER)):
        await push_blob(catalog, name)
        await catalog.do(DoomBlob(repository=APP, digest=digest(name), token=name, owner=owner))
    await catalog.do(EndOwner(owner=PEER))
    assert await catalog.doomed(1) == [PendingDelete(APP, digest("b"), "b", PEER, abandoned=True)]


async def test_a_named_lease_has_one_holder(catalog: Catalog) -> None:
    """Another owner gets it when it is released; its fence grows each time that it changes hands."""
    first = await catalog.do(AcquireLease(name="jobs", owner=OWNER))
    assert first == NamedLease("jobs", OWNER, 1)
    assert await catalog.do(AcquireLease(name="jobs", owner=OWNER)) == first
    assert await catalog.do(AcquireLease(name="jobs", owner=PEER)) is None
    assert await catalog.do(AcquireLease(name="other", owner=PEER)) == NamedLease("other", PEER, 1)
    assert await catalog.do(ReleaseLease(lease=first)) is True
    assert await catalog.do(AcquireLease(name="jobs", owner=PEER)) == NamedLease("jobs", PEER, 2)
    assert await catalog.do(ReleaseLease(lease=first)) is False
    assert await catalog.do(AcquireLease(name="jobs", owner=OWNER)) is None


async def test_a_named_lease_lasts_as_long_as_its_owner(catalog: Catalog, clock: Clock) -> None:
    """It is free once the lease of its holder has ended, not before."""
    await catalog.do(AcquireLease(name="jobs", owner=PEER))
    clock.now_s += LEASE_S + 1
    assert await catalog.do(AcquireLease(name="jobs", owner=OWNER)) is None
    await end_expired(catalog)
    assert await catalog.do(AcquireLease(name="jobs", owner=OWNER)) == NamedLease("jobs", OWNER, 2)


async def test_a_start_that_holds_the_roots_ends_all_other_leases(tmp_path: Path) -> None:
    """On one machine nothing waits for a lease to expire: claims are void, and pending deletes abandoned, at once."""
    catalog = open_in_thread(tmp_path, "first")
    await push_blob(catalog, "blob", owner="first")
    await catalog.do(doom("first"))
    await catalog.do(ClaimBlob(repository=APP, digest=digest("other"), token="push", owner="first"))
    await catalog.do(AcquireLease(name="jobs", owner="first"))
    await catalog.close()
    catalog = open_in_thread(tmp_path, "second")
    assert await catalog.doomed(10) == [PendingDelete(APP, BLOB, "delete", "first", abandoned=True)]
    lost = PublishBlob(repository=APP, digest=digest("other"), token="push", size=5)
    assert await catalog.do(lost) is PublishOutcome.CLAIM_LOST
    assert await catalog.do(AcquireLease(name="jobs", owner="second")) == NamedLease("jobs", "second", 2)
    with pytest.raises(LeaseEndedError):
        await catalog.do(claim("first"))
    await catalog.close()
