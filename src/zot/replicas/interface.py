"""The interface by which replicas tell of themselves.

A replica is a server, with all of its processes. What it announces is information for operators: locks and background
work depend on its owner's lease (`zot.catalog.owner_commands`), never on this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

ANNOUNCE_S = 5.0
"""How often a replica announces itself."""

KEPT_S = 3600.0
"""How long a replica that was not withdrawn is shown after its last announcement."""


class ReplicasUnavailableError(Exception):
    """It cannot be told now which replicas there are."""


class Replica(msgspec.Struct, frozen=True):
    """A replica, by its own account."""

    owner: str
    """The id of its start (`ServerPlan.owner`)."""
    host: str
    address: str
    """Where it accepts requests."""
    version: str
    started_s: float
    """When it started, in seconds since the epoch."""
    leases: tuple[str, ...] = ()
    """The named leases of background work that it holds."""
    behind: int | None = None
    """Changes of the catalog that its search index lacks; None: it has no index, or is filling it."""


class SeenReplica(msgspec.Struct, frozen=True):
    """A replica, with the time since its last announcement."""

    replica: Replica
    silent_s: float
    """By the clock of the database server, to which clocks of replicas do not matter."""


class Replicas(Protocol):
    """The replicas of a store. Every method raises ReplicasUnavailableError."""

    async def announce(self, replica: Replica) -> None:
        """Store what a replica says of itself, in place of what it said before. Not durable; idempotent.

        Replicas that have been silent for `KEPT_S` are deleted.
        """

    async def withdraw(self, owner: str) -> None:
        """Delete a replica, which stops. Idempotent."""

    async def all(self) -> Sequence[SeenReplica]:
        """Return the replicas in the order of their starts."""

    async def close(self) -> None:
        """Close the store."""


def by_start(found: Sequence[SeenReplica]) -> list[SeenReplica]:
    """Return replicas in the order of their starts."""
    return sorted(found, key=lambda each: (each.replica.started_s, each.replica.owner))
