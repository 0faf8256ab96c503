"""The presence of a running server: it announces itself to the other replicas of its store, and to operators."""

from __future__ import annotations

import asyncio
import logging
import socket

from zot import __version__
from zot.catalog.owner_commands import WORK_LEASES
from zot.extensions.search.interface import Search, SearchUnavailableError
from zot.replicas.interface import ANNOUNCE_S, Replica, Replicas, ReplicasUnavailableError
from zot.server.owner_lease import OwnerLease
from zot.server.plan import ServerPlan

_log = logging.getLogger("zot.server")


class Presence:
    """Announces a server. One process of the server has it: that of the background work."""

    def __init__(
        self,
        replicas: Replicas,
        plan: ServerPlan,
        lease: OwnerLease,
        search: Search | None,
        *,
        announce_s: float = ANNOUNCE_S,
    ) -> None:
        """Announce the server of a plan each `announce_s`, with the leases that it holds and the state of its index."""
        self._replicas = replicas
        self._plan = plan
        self._lease = lease
        self._search = search
        self._announce_s = announce_s
        self._fails = False

    async def run(self) -> None:
        """Announce the server until cancelled. A failure is logged once, and tried again."""
        while True:
            try:
                await self._replicas.announce(await self._replica())
            except ReplicasUnavailableError as error:
                if not self._fails:
                    _log.warning("this server does not appear among the replicas: %s", error)
                self._fails = True
            else:
                self._fails = False
            await asyncio.sleep(self._announce_s)

    async def end(self) -> None:
        """Withdraw the server, which stops."""
        try:
            await self._replicas.withdraw(self._plan.owner)
        except ReplicasUnavailableError as error:
            _log.warning("this server stays among the replicas for a while: %s", error)

    async def _replica(self) -> Replica:
        plan = self._plan
        return Replica(
            owner=plan.owner,
            host=socket.gethostname(),
            address=plan.unix_socket or f"{plan.address}:{plan.port}",
            version=__version__,
            started_s=plan.started_s,
            leases=tuple(name for name in WORK_LEASES if self._lease.holds(name)),
            behind=await self._behind(),
        )

    async def _behind(self) -> int | None:
        if self._search is None:
            return None
        try:
            status = await self._search.status()
        except SearchUnavailableError:  # `zot status` of that server tells why
            return None
        return status.behind if status.complete else None
