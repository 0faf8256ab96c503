"""Owners and what they hold: the leases of running servers, and named leases for work that is done once at a time.

An owner is one start of a server, with all of its processes. The catalog keeps the owner's lease by its own clock.
A lease is *held*, *expired* (its time is past, and the owner can still renew it) or *ended* (for good). An expired
lease ends when another owner ends it (`EndExpiredOwners`): a server that was suspended for a while goes on, unless
another one took over in between. A start that has locked the storage roots ends the leases of all earlier owners at
once, because the locks prove that their processes are gone.

When a lease ends, in the same commit, the owner's claims are dropped, its named leases become free, and its pending
deletes are left to be taken over (`TakePendingDelete`). What the owner sends later is refused.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from zot.catalog.command import Command, OwnedCommand
from zot.catalog.interface import LeaseEndedError
from zot.oci.digest import Digest

LEASE_S = 40.0
"""How long an owner's lease lasts: four times the interval at which a server renews it.

So the work of a replica that is lost is taken over within a minute: by the first renewal after its lease has expired.
"""

ENDED_KEPT_S = 7 * 86400
"""How long the catalog remembers that a lease has ended: no suspended process is expected back after it."""

EXPORT_LEASE = "export"
"""The named lease of writing layouts."""
IMPORT_LEASE = "import"
"""The named lease of looking for layouts, and for what other programs changed in them."""
MAINTENANCE_LEASE = "maintenance"
"""The named lease of collection, retention, scrub, and of finishing interrupted deletes."""
WORK_LEASES = (EXPORT_LEASE, IMPORT_LEASE, MAINTENANCE_LEASE)
"""All named leases of background work."""


def lease_ended(owner: str) -> LeaseEndedError:
    """Return the error for what an owner sends after its lease has ended."""
    return LeaseEndedError(f"the lease of owner {owner} has ended: its server has to be started again")


class NamedLease(msgspec.Struct, frozen=True):
    """A named lease that an owner holds."""

    name: str
    owner: str
    fence: int
    """Grows each time that the lease changes hands: a smaller one is an earlier holder's."""


class RenewOwner(Command[bool], frozen=True, kw_only=True, tag=True):
    """Begin an owner's lease, or renew it, for `lease_s` from now. False: the lease has ended. Idempotent."""

    durable: ClassVar[bool] = False
    owner: str
    lease_s: float = LEASE_S


class EndOwner(Command[None], frozen=True, kw_only=True, tag=True):
    """End an owner's lease: a server stops. Idempotent."""

    owner: str


class EndExpiredOwners(Command[tuple[str, ...]], frozen=True, kw_only=True, tag=True):
    """End the expired leases of all owners but `owner`, and return these owners. Idempotent.

    Durable with the first durable command that follows from it, such as TakePendingDelete.
    """

    durable: ClassVar[bool] = False
    owner: str


class AcquireLease(Command[NamedLease | None], frozen=True, kw_only=True, tag=True):
    """Give the lease `name` to an owner, for as long as the owner's own lease lasts. None: another owner holds it.

    Idempotent: its holder gets the same fence again. An owner whose own lease has ended gets LeaseEndedError.
    """

    durable: ClassVar[bool] = False
    name: str
    owner: str


class ReleaseLease(Command[bool], frozen=True, kw_only=True, tag=True):
    """Free a named lease. False: it is not held under that fence any more."""

    durable: ClassVar[bool] = False
    lease: NamedLease


class TakePendingDelete(OwnedCommand[bool], frozen=True, kw_only=True, tag=True):
    """Take over a pending delete whose owner's lease has ended; its token is `new_token` from then on.

    False: it is not pending under `token`, or its owner is alive. Exactly one of several owners gets True. Durable.
    Idempotent.
    """

    digest: Digest
    token: str
    new_token: str
