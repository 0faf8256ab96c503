"""Commands on upload sessions, in memory."""

from __future__ import annotations

import msgspec

from zot.catalog.blob_commands import ClaimOutcome
from zot.catalog.memory import claims
from zot.catalog.memory.state import MemoryScope
from zot.catalog.rows import UploadRow
from zot.catalog.upload_commands import (
    AdvanceUpload,
    BeginOutcome,
    CancelUploadRow,
    CreateUploadRow,
    LeasedUpload,
    LeaseUpload,
)


def begin(scope: MemoryScope, command: CreateUploadRow) -> BeginOutcome:
    """Carry out CreateUploadRow."""
    if scope.upload(command.session):
        return BeginOutcome.BEGUN
    if sum(row.finished is None and row.client == command.client for row in scope.uploads()) >= command.limit:
        return BeginOutcome.TOO_MANY
    name = scope.create().name
    scope.record(
        UploadRow(
            session=command.session,
            repository=name,
            principal=command.principal,
            epoch=0,
            offset=0,
            algorithm=command.algorithm,
            prefix=None,
            recorded_by="",
            updated_ns=scope.now_ns,
            finished=None,
            client=command.client,
        )
    )
    return BeginOutcome.BEGUN


def lease(scope: MemoryScope, command: LeaseUpload) -> LeasedUpload | None:
    """Carry out LeaseUpload."""
    row = scope.upload(command.session)
    if row is None or row.principal != command.principal:
        return None
    if row.finished is not None:
        return LeasedUpload(row)
    if command.if_epoch not in (None, row.epoch) or command.if_offset not in (None, row.offset):
        return None
    row = msgspec.structs.replace(row, epoch=row.epoch + 1, updated_ns=scope.now_ns)
    scope.record(row)
    return LeasedUpload(row, _claim(scope, command))


def advance(scope: MemoryScope, command: AdvanceUpload) -> bool | ClaimOutcome:
    """Carry out AdvanceUpload."""
    row = scope.upload(command.session)
    if row is None or row.finished is not None or row.epoch != command.epoch:
        return False
    scope.record(
        msgspec.structs.replace(
            row,
            offset=command.offset,
            algorithm=command.algorithm,
            prefix=command.prefix,
            recorded_by=command.owner,
            updated_ns=scope.now_ns,
            driver_state=command.driver_state,
        )
    )
    return _claim(scope, command) or True


def _claim(scope: MemoryScope, command: LeaseUpload | AdvanceUpload) -> ClaimOutcome | None:
    """Claim the digest that the command asks for, if it does."""
    if command.claim is None:
        return None
    return claims.take(scope, command.claim.digest, command.claim.token, command.owner)


def cancel(scope: MemoryScope, command: CancelUploadRow) -> bool:
    """Carry out CancelUploadRow."""
    row = scope.upload(command.session)
    if row is None or command.if_epoch not in (None, row.epoch):
        return False
    if command.unfinished and row.finished is not None:
        return False
    scope.drop_upload(command.session)
    return True
