"""Commands on owners and their leases, in memory."""

from __future__ import annotations

from zot.catalog.memory.state import MemoryCatalogScope, MemoryScope, State, StoredLease, StoredOwner
from zot.catalog.owner_commands import (
    ENDED_KEPT_S,
    AcquireLease,
    EndExpiredOwners,
    EndOwner,
    NamedLease,
    ReleaseLease,
    RenewOwner,
    TakePendingDelete,
    lease_ended,
)

_S = 10**9


def require_alive(state: State, owner: str) -> None:
    """Raise LeaseEndedError unless the owner's lease is held, or can be renewed."""
    if not state.is_alive(owner):
        raise lease_ended(owner)


def renew(scope: MemoryCatalogScope, command: RenewOwner) -> bool:
    """Carry out RenewOwner."""
    known = scope.state.owners.setdefault(command.owner, StoredOwner(0))
    if known.ended_ns is not None:
        return False
    known.expires_ns = scope.now_ns + int(command.lease_s * _S)
    return True


def end(scope: MemoryCatalogScope, command: EndOwner) -> None:
    """Carry out EndOwner."""
    _end(scope, command.owner)


def end_expired(scope: MemoryCatalogScope, command: EndExpiredOwners) -> tuple[str, ...]:
    """Carry out EndExpiredOwners."""
    state = scope.state
    expired = tuple(
        sorted(
            owner
            for owner, known in state.owners.items()
            if known.ended_ns is None and known.expires_ns <= scope.now_ns and owner != command.owner
        )
    )
    for owner in expired:
        _end(scope, owner)
    kept_ns = scope.now_ns - ENDED_KEPT_S * _S
    state.owners = {
        owner: known for owner, known in state.owners.items() if known.ended_ns is None or known.ended_ns > kept_ns
    }
    return expired


def acquire(scope: MemoryCatalogScope, command: AcquireLease) -> NamedLease | None:
    """Carry out AcquireLease."""
    require_alive(scope.state, command.owner)
    lease = scope.state.leases.setdefault(command.name, StoredLease(None, 0))
    if lease.owner is None:
        lease.owner, lease.fence = command.owner, lease.fence + 1
    return NamedLease(command.name, command.owner, lease.fence) if lease.owner == command.owner else None


def release(scope: MemoryCatalogScope, command: ReleaseLease) -> bool:
    """Carry out ReleaseLease."""
    lease = scope.state.leases.get(command.lease.name)
    if lease is None or (lease.owner, lease.fence) != (command.lease.owner, command.lease.fence):
        return False
    lease.owner = None
    return True


def take_pending_delete(scope: MemoryScope, command: TakePendingDelete) -> bool:
    """Carry out TakePendingDelete."""
    blob = scope.repository.blobs.get(command.digest)
    if blob is None:
        return False
    if blob.doom == command.token and not scope.is_alive(blob.doomed_by):
        blob.doom, blob.doomed_by = command.new_token, command.owner
    return (blob.doom, blob.doomed_by) == (command.new_token, command.owner)


def _end(scope: MemoryCatalogScope, owner: str) -> None:
    state, now_ns = scope.state, scope.now_ns
    known = state.owners.setdefault(owner, StoredOwner(now_ns))
    known.ended_ns = now_ns if known.ended_ns is None else known.ended_ns
    for repository in state.repositories.values():
        repository.claims = {claim: each for claim, each in repository.claims.items() if each != owner}
    for lease in state.leases.values():
        if lease.owner == owner:
            lease.owner = None
