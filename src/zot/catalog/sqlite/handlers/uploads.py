"""Commands on upload sessions, in SQL."""

from __future__ import annotations

import msgspec

from zot.catalog.blob_commands import ClaimOutcome
from zot.catalog.rows import UploadRow
from zot.catalog.sqlite.handlers import claims
from zot.catalog.sqlite.scope import RepositoryScope
from zot.catalog.upload_commands import (
    AdvanceUpload,
    BeginOutcome,
    CancelUploadRow,
    CreateUploadRow,
    LeasedUpload,
    LeaseUpload,
)

SELECT = """
SELECT session, repository, principal, epoch, received, algorithm, prefix, recorded_by, updated_ns, finished, client,
  driver_state
FROM upload
"""
"""Selects uploads, columns in the order of UploadRow's fields; a condition follows."""

_ADVANCE = """
UPDATE upload SET received = ?4, algorithm = ?5, prefix = ?6, recorded_by = ?7, updated_ns = ?8, driver_state = ?9
WHERE repository = ?1 AND session = ?2 AND epoch = ?3 AND finished IS NULL
"""


def begin(scope: RepositoryScope, command: CreateUploadRow) -> BeginOutcome:
    """Carry out CreateUploadRow."""
    if scope.value("SELECT 1 FROM upload WHERE repository = ?1 AND session = ?2", command.session):
        return BeginOutcome.BEGUN
    open_now = "SELECT count(*) FROM upload WHERE repository = ?1 AND client = ?2 AND finished IS NULL"
    if scope.value(open_now, command.client) >= command.limit:
        return BeginOutcome.TOO_MANY
    scope.create()
    scope.change(
        "INSERT INTO upload (repository, session, principal, algorithm, updated_ns, client)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
        " ON CONFLICT DO NOTHING",
        command.session,
        command.principal,
        command.algorithm,
        scope.now_ns,
        command.client,
    )
    return BeginOutcome.BEGUN


def lease(scope: RepositoryScope, command: LeaseUpload) -> LeasedUpload | None:
    """Carry out LeaseUpload."""
    of_principal = f"{SELECT} WHERE repository = ?1 AND session = ?2 AND principal = ?3"
    found = scope.row(of_principal, command.session, command.principal)
    if found is None:
        return None
    row = UploadRow(*found)
    if row.finished is not None:
        return LeasedUpload(row)
    if command.if_epoch not in (None, row.epoch) or command.if_offset not in (None, row.offset):
        return None
    taken = "UPDATE upload SET epoch = epoch + 1, updated_ns = ?3 WHERE repository = ?1 AND session = ?2"
    scope.change(taken, command.session, scope.now_ns)
    leased = msgspec.structs.replace(row, epoch=row.epoch + 1, updated_ns=scope.now_ns)
    return LeasedUpload(leased, _claim(scope, command))


def advance(scope: RepositoryScope, command: AdvanceUpload) -> bool | ClaimOutcome:
    """Carry out AdvanceUpload."""
    advanced = scope.change(
        _ADVANCE,
        command.session,
        command.epoch,
        command.offset,
        command.algorithm,
        command.prefix,
        command.owner,
        scope.now_ns,
        command.driver_state,
    )
    return bool(advanced) and (_claim(scope, command) or True)


def _claim(scope: RepositoryScope, command: LeaseUpload | AdvanceUpload) -> ClaimOutcome | None:
    """Claim the digest that the command asks for, if it does."""
    if command.claim is None:
        return None
    return claims.take(scope, command.claim.digest, command.claim.token, command.owner)


def cancel(scope: RepositoryScope, command: CancelUploadRow) -> bool:
    """Carry out CancelUploadRow."""
    return bool(
        scope.change(
            "DELETE FROM upload WHERE repository = ?1 AND session = ?2 AND epoch = coalesce(?3, epoch)"
            " AND NOT (?4 AND finished IS NOT NULL)",
            command.session,
            command.if_epoch,
            command.unfinished,
        )
    )
