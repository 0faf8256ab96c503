"""How a running server keeps its lease, and waits for that of the background work."""

from __future__ import annotations

import asyncio

import pytest

from zot.catalog.command import Command
from zot.catalog.interface import CatalogUnavailableError, LeaseEndedError, Outcome
from zot.catalog.memory.driver import MemoryCatalog
from zot.catalog.owner_commands import (
    EXPORT_LEASE,
    LEASE_S,
    WORK_LEASES,
    AcquireLease,
    EndOwner,
    ReleaseLease,
    RenewOwner,
)
from zot.server.owner_lease import OwnerLease

PEER = "peer"


class Clock:
    """The time of a catalog, set by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def ns(self) -> int:
        """Return nanoseconds since the epoch."""
        return int(self.now_s * 10**9)


class UnavailableCatalog(MemoryCatalog):
    """A catalog whose first commands fail."""

    failures = 3

    async def do(self, command: Command[Outcome]) -> Outcome:
        """Fail, or carry out the command."""
        if self.failures:
            self.failures -= 1
            raise CatalogUnavailableError("away")
        return await super().do(command)


async def acquirable(catalog: MemoryCatalog, owner: str) -> list[str]:
    """Return which leases of the background work an owner holds, or can have."""
    return [name for name in WORK_LEASES if await catalog.do(AcquireLease(name=name, owner=owner)) is not None]


async def test_the_first_server_works_in_the_background_at_once() -> None:
    """With no other owner the first renewal acquires all leases of the background work."""
    catalog = MemoryCatalog()
    lease = OwnerLease(catalog)
    assert not any(map(lease.holds, WORK_LEASES))
    await lease.renew()
    for name in WORK_LEASES:
        await lease.acquired(name)
    assert all(map(lease.holds, WORK_LEASES))
    await catalog.do(RenewOwner(owner=PEER))
    assert await acquirable(catalog, PEER) == []


async def test_each_part_of_the_work_is_done_by_the_server_that_has_its_lease() -> None:
    """Two servers may share the work: a lease that one of them does not hold is the other's, and only that one."""
    catalog = MemoryCatalog()
    await catalog.do(RenewOwner(owner=PEER))
    export = await catalog.do(AcquireLease(name=EXPORT_LEASE, owner=PEER))
    assert export is not None
    lease = OwnerLease(catalog)
    await lease.renew()
    assert [name for name in WORK_LEASES if lease.holds(name)] == [name for name in WORK_LEASES if name != EXPORT_LEASE]
    assert [name for name in WORK_LEASES if lease.is_elsewhere(name)] == [EXPORT_LEASE]
    assert await acquirable(catalog, PEER) == [EXPORT_LEASE]
    await catalog.do(ReleaseLease(lease=export))
    await lease.renew()
    assert lease.holds(EXPORT_LEASE)
    assert not lease.is_elsewhere(EXPORT_LEASE)


async def test_a_second_server_takes_over_when_the_lease_of_the_first_has_expired() -> None:
    """It waits as long as the other one renews its lease, and ends it after that."""
    clock = Clock()
    catalog = MemoryCatalog(clock.ns)
    await catalog.do(RenewOwner(owner=PEER))
    assert await acquirable(catalog, PEER) == list(WORK_LEASES)
    lease = OwnerLease(catalog)
    acquired = asyncio.create_task(lease.acquired(EXPORT_LEASE))
    clock.now_s += LEASE_S / 2
    await catalog.do(RenewOwner(owner=PEER))
    clock.now_s += LEASE_S / 2 + 1
    await lease.renew()
    await asyncio.sleep(0)
    assert not acquired.done()
    clock.now_s += LEASE_S
    await lease.renew()
    await acquired
    assert not await catalog.do(RenewOwner(owner=PEER))


async def test_a_server_that_stops_leaves_its_lease_at_once() -> None:
    """Another one need not wait until it expires."""
    catalog = MemoryCatalog()
    lease = OwnerLease(catalog)
    await lease.renew()
    await lease.end()
    await catalog.do(RenewOwner(owner=PEER))
    assert await acquirable(catalog, PEER) == list(WORK_LEASES)


async def test_a_catalog_that_is_away_is_asked_again() -> None:
    """A renewal that fails is repeated, and the lease is held once the catalog is back."""
    catalog = UnavailableCatalog()
    lease = OwnerLease(catalog, retry_s=0)
    task = asyncio.create_task(lease.run())
    await lease.acquired(EXPORT_LEASE)
    assert catalog.failures == 0
    task.cancel()


async def test_a_server_whose_lease_has_ended_stops_its_background_work(caplog: pytest.LogCaptureFixture) -> None:
    """Another server has taken over: the log says what follows."""
    catalog = MemoryCatalog()
    await catalog.do(EndOwner(owner=catalog.owner))
    with pytest.raises(LeaseEndedError):
        await OwnerLease(catalog).run()
    assert "starts again" in caplog.text
