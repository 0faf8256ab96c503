"""The lease of a running server: it is renewed here, and with it the named leases of the background work are held."""

from __future__ import annotations

import asyncio
import logging

from zot.catalog.interface import Catalog, CatalogError, LeaseEndedError
from zot.catalog.owner_commands import (
    LEASE_S,
    WORK_LEASES,
    AcquireLease,
    EndExpiredOwners,
    EndOwner,
    RenewOwner,
    lease_ended,
)

RENEW_S = LEASE_S / 4
_RETRY_S = 1.0

_log = logging.getLogger("zot.server")


class OwnerLease:
    """Renews the lease of a server's owner. One process of the server has it: that of the background work."""

    def __init__(
        self, catalog: Catalog, *, lease_s: float = LEASE_S, renew_s: float = RENEW_S, retry_s: float = _RETRY_S
    ) -> None:
        """Keep the lease of the catalog's owner: `lease_s` long, renewed every `renew_s`.

        If that fails, it is tried again after `retry_s`.
        """
        self._catalog = catalog
        self._lease_s = lease_s
        self._renew_s = renew_s
        self._retry_s = retry_s
        self._acquired = {name: asyncio.Event() for name in WORK_LEASES}
        self._elsewhere: set[str] = set()

    async def run(self) -> None:
        """Renew the lease until cancelled. Raises LeaseEndedError once it has ended.

        A server that was suspended renews an expired lease and goes on, unless another owner ended it in between.
        """
        while True:
            try:
                await self.renew()
            except LeaseEndedError:
                _log.exception("another server has taken over the work of this one: it starts again as a new owner")
                raise
            except CatalogError as error:
                _log.warning("the lease of this server is not renewed: %s", error)
                await asyncio.sleep(self._retry_s)
            else:
                await asyncio.sleep(self._renew_s)

    async def renew(self) -> None:
        """Renew the lease, end the expired leases of others, and acquire the leases of the background work.

        A lease that another owner holds is tried again the next time. Raises LeaseEndedError, CatalogError.
        """
        catalog = self._catalog
        if not await catalog.do(RenewOwner(owner=catalog.owner, lease_s=self._lease_s)):
            raise lease_ended(catalog.owner)
        for owner in await catalog.do(EndExpiredOwners(owner=catalog.owner)):
            _log.warning("the lease of owner %s has expired: what it held is taken over", owner)
        for name, acquired in self._acquired.items():
            if acquired.is_set():
                continue
            if await catalog.do(AcquireLease(name=name, owner=catalog.owner)) is not None:
                acquired.set()
                self._elsewhere.discard(name)
            else:
                self._elsewhere.add(name)

    async def acquired(self, name: str) -> None:
        """Return once this server holds a lease of the background work."""
        await self._acquired[name].wait()

    def holds(self, name: str) -> bool:
        """Return whether this server has acquired a lease of the background work."""
        return self._acquired[name].is_set()

    def is_elsewhere(self, name: str) -> bool:
        """Return whether another server had a lease of the background work when this one last asked for it."""
        return name in self._elsewhere

    async def end(self) -> None:
        """End the lease, so that another server need not wait until it expires. Raises CatalogError."""
        await self._catalog.do(EndOwner(owner=self._catalog.owner))
