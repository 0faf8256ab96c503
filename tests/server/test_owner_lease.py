"""How a running server keeps its lease, and waits for that of the background work."""

from __future__ import annotations

import asyncio

import pytest

from zot.catalog.command import Command
from zot.catalog.interface import CatalogUnavailableError, LeaseEndedError, Outcome
from zot.catalog.memory.driver import MemoryCatalog
from zot.catalog.owner_commands import JOBS_LEASE, LEASE_S, AcquireLease, EndOwner, RenewOwner
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


async def jobs_holder(catalog: MemoryCatalog, owner: str) -> bool:
    """Tell whether an owner holds the lease of the background work, or can have it."""
    return await catalog.do(AcquireLease(name=JOBS_LEASE, owner=owner)) is not None


async def test_the_first_server_works_in_the_background_at_once() -> None:
    """With no other owner the first renewal acquires the lease of the background work."""
    catalog = MemoryCatalog()
    lease = OwnerLease(catalog)
    await lease.renew()
    await lease.acquired()
    await catalog.do(RenewOwner(owner=PEER))
    assert not await jobs_holder(catalog, PEER)


async def test_a_second_server_takes_over_when_the_lease_of_the_first_has_expired() -> None:
    """It waits as long as the other one renews its lease, and ends it after that."""
    clock = Clock()
    catalog = MemoryCatalog(clock.ns)
    await catalog.do(RenewOwner(owner=PEER))
    assert await jobs_holder(catalog, PEER)
    lease = OwnerLease(catalog)
    acquired = asyncio.create_task(lease.acquired())
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
    assert await jobs_holder(catalog, PEER)


async def test_a_catalog_that_is_away_is_asked_again() -> None:
    """A renewal that fails is repeated, and the lease is held once the catalog is back."""
    catalog = UnavailableCatalog()
    lease = OwnerLease(catalog, retry_s=0)
    task = asyncio.create_task(lease.run())
    await lease.acquired()
    assert catalog.failures == 0
    task.cancel()


async def test_a_server_whose_lease_has_ended_stops_its_background_work(caplog: pytest.LogCaptureFixture) -> None:
    """Another server has taken over: the log says what follows."""
    catalog = MemoryCatalog()
    await catalog.do(EndOwner(owner=catalog.owner))
    with pytest.raises(LeaseEndedError):
        await OwnerLease(catalog).run()
    assert "starts again" in caplog.text
