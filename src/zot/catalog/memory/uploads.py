"""Commands on upload sessions, in memory."""

from __future__ import annotations

import msgspec

from zot.catalog.memory.state import MemoryScope
from zot.catalog.rows import UploadRow
from zot.catalog.upload_commands import AdvanceUpload, BeginOutcome, CancelUploadRow, CreateUploadRow, LeaseUpload


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


def lease(scope: MemoryScope, command: LeaseUpload) -> UploadRow | None:
    """Carry out LeaseUpload."""
    row = scope.upload(command.session)
    if row is None or row.principal != command.principal:
        return None
    if row.finished is not None:
        return row
    row = msgspec.structs.replace(row, epoch=row.epoch + 1, updated_ns=scope.now_ns)
    scope.record(row)
    return row


def advance(scope: MemoryScope, command: AdvanceUpload) -> bool:
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
        )
    )
    return True


def cancel(scope: MemoryScope, command: CancelUploadRow) -> bool:
    """Carry out CancelUploadRow."""
    row = scope.upload(command.session)
    if row is None or command.if_epoch not in (None, row.epoch):
        return False
    if command.unfinished and row.finished is not None:
        return False
    scope.drop_upload(command.session)
    return True
