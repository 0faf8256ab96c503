"""Commands on owners and their leases, in SQL."""

from __future__ import annotations

from typing import Any

import apsw

from zot.catalog.owner_commands import (
    ENDED_KEPT_S,
    LEASE_S,
    AcquireLease,
    EndExpiredOwners,
    EndOwner,
    NamedLease,
    ReleaseLease,
    RenewOwner,
    TakePendingDelete,
    lease_ended,
)
from zot.catalog.sqlite.scope import CatalogScope, RepositoryScope

_S = 10**9

# Nothing is changed where the lease has ended.
_RENEW = """
INSERT INTO owner (id, expires_ns) VALUES (?, ?)
ON CONFLICT DO UPDATE SET expires_ns = excluded.expires_ns WHERE ended_ns IS NULL
"""
_END = """
INSERT INTO owner (id, expires_ns, ended_ns) VALUES (?1, ?2, ?2)
ON CONFLICT DO UPDATE SET ended_ns = coalesce(ended_ns, excluded.ended_ns)
"""
_EXPIRED = "SELECT id FROM owner WHERE ended_ns IS NULL AND expires_ns <= ? AND id <> ? ORDER BY id"
_OTHERS = "SELECT id FROM owner WHERE ended_ns IS NULL AND id <> ? ORDER BY id"
_FORGET = "DELETE FROM owner WHERE ended_ns <= ?"
_ALIVE = "SELECT 1 FROM owner WHERE id = ? AND ended_ns IS NULL"
_ACQUIRE = """
INSERT INTO lease (name, owner, fence) VALUES (?, ?, 1)
ON CONFLICT DO UPDATE SET owner = excluded.owner, fence = fence + 1 WHERE owner IS NULL
"""
_HELD = "SELECT owner, fence FROM lease WHERE name = ?"
_RELEASE = "UPDATE lease SET owner = NULL WHERE name = ? AND owner = ? AND fence = ?"
_TAKE = """
UPDATE blob SET doom = ?4, doomed_by = ?5
WHERE repository = ?1 AND digest = ?2 AND doom = ?3
  AND NOT EXISTS (SELECT 1 FROM owner WHERE id = blob.doomed_by AND ended_ns IS NULL)
"""
_TAKEN = "SELECT 1 FROM blob WHERE repository = ?1 AND digest = ?2 AND doom = ?3 AND doomed_by = ?4"


def require_alive(cursor: apsw.Cursor, owner: str) -> None:
    """Raise LeaseEndedError unless the owner's lease is held, or can be renewed."""
    if not cursor.execute(_ALIVE, (owner,)).fetchall():
        raise lease_ended(owner)


def begin_alone(cursor: apsw.Cursor, owner: str, now_ns: int) -> None:
    """Begin or renew the lease of a server that holds the locks of all roots, and end all others."""
    for (other,) in cursor.execute(_OTHERS, (owner,)).fetchall():
        _end(cursor, str(other), now_ns)
    # Also claims of a damaged catalog, whose owners are lost.
    cursor.execute("DELETE FROM claim WHERE owner <> ?", (owner,))
    _forget_ended(cursor, now_ns)
    cursor.execute(_RENEW, (owner, now_ns + int(LEASE_S * _S)))


def renew(scope: CatalogScope, command: RenewOwner) -> bool:
    """Carry out RenewOwner."""
    return _changed(scope, _RENEW, command.owner, scope.now_ns + int(command.lease_s * _S))


def end(scope: CatalogScope, command: EndOwner) -> None:
    """Carry out EndOwner."""
    _end(scope.cursor, command.owner, scope.now_ns)


def end_expired(scope: CatalogScope, command: EndExpiredOwners) -> tuple[str, ...]:
    """Carry out EndExpiredOwners."""
    cursor, now_ns = scope.cursor, scope.now_ns
    expired = tuple(str(owner) for (owner,) in cursor.execute(_EXPIRED, (now_ns, command.owner)).fetchall())
    for owner in expired:
        _end(cursor, owner, now_ns)
    _forget_ended(cursor, now_ns)
    return expired


def acquire(scope: CatalogScope, command: AcquireLease) -> NamedLease | None:
    """Carry out AcquireLease."""
    require_alive(scope.cursor, command.owner)
    scope.cursor.execute(_ACQUIRE, (command.name, command.owner))
    rows: list[Any] = scope.cursor.execute(_HELD, (command.name,)).fetchall()
    ((holder, fence),) = rows
    return NamedLease(command.name, command.owner, fence) if holder == command.owner else None


def release(scope: CatalogScope, command: ReleaseLease) -> bool:
    """Carry out ReleaseLease."""
    return _changed(scope, _RELEASE, command.lease.name, command.lease.owner, command.lease.fence)


def take_pending_delete(scope: RepositoryScope, command: TakePendingDelete) -> bool:
    """Carry out TakePendingDelete."""
    if scope.change(_TAKE, command.digest, command.token, command.new_token, command.owner):
        return True
    return bool(scope.value(_TAKEN, command.digest, command.new_token, command.owner))


def _changed(scope: CatalogScope, sql: str, *bindings: apsw.SQLiteValue) -> bool:
    scope.cursor.execute(sql, bindings)
    return bool(scope.cursor.connection.changes())


def _end(cursor: apsw.Cursor, owner: str, now_ns: int) -> None:
    cursor.execute(_END, (owner, now_ns))
    cursor.execute("DELETE FROM claim WHERE owner = ?", (owner,))
    cursor.execute("UPDATE lease SET owner = NULL WHERE owner = ?", (owner,))


def _forget_ended(cursor: apsw.Cursor, now_ns: int) -> None:
    cursor.execute(_FORGET, (now_ns - ENDED_KEPT_S * _S,))
