"""Commands on blobs, in memory."""

from __future__ import annotations

import msgspec

from zot.catalog.blob_commands import (
    CheckQuota,
    DoomBlob,
    DoomOutcome,
    ForgetBlob,
    MarkUnreferenced,
    PublishBlob,
    PublishOutcome,
    PutBlob,
    PutOutcome,
    ReleaseBlobs,
    TouchBlob,
)
from zot.catalog.change_log import ChangeKind
from zot.catalog.interface import PAGE_LIMIT
from zot.catalog.memory.state import MemoryScope, StoredBlob, StoredRepository
from zot.catalog.quotas import OverQuota, exceeded_quota
from zot.oci.digest import Digest


def publish(scope: MemoryScope, command: PublishBlob) -> PublishOutcome | OverQuota:
    """Carry out PublishBlob."""
    repository = scope.repository
    blob = repository.present(command.digest)
    claim = (command.digest, command.token)
    claimed = repository.claims.pop(claim, None) is not None
    if blob is None:
        if not claimed:
            return PublishOutcome.CLAIM_LOST
        if refused := _over_quota(scope, command):
            return refused
        repository.blobs[command.digest] = StoredBlob(command.size, scope.now_ns)
    else:
        blob.marked_s = None
    if command.session and (row := scope.upload(command.session)):
        scope.record(msgspec.structs.replace(row, finished=command.digest, updated_ns=scope.now_ns))
    return PublishOutcome.PRESENT


def put(scope: MemoryScope, command: PutBlob) -> PutOutcome | OverQuota:
    """Carry out PutBlob."""
    blob = scope.repository.blobs.get(command.digest)
    if blob is not None and blob.doom is not None:
        return PutOutcome.DOOMED
    if refused := _over_quota(scope, command):
        return refused
    if command.session is not None and not _finish(scope, command.session, command.epoch, command.digest):
        return PutOutcome.UPLOAD_LOST
    if blob is None:
        size, held = len(command.content), command.content
        scope.create().blobs[command.digest] = StoredBlob(size, scope.now_ns, held=held)
        scope.changed()
        return PutOutcome.STORED
    blob.marked_s = None
    if blob.held not in (None, command.content):
        blob.held = command.content
        scope.changed()
    return PutOutcome.PRESENT


def _finish(scope: MemoryScope, session: str, epoch: int, digest: Digest) -> bool:
    """Finish an upload that is still at that epoch, or was finished as this blob; False: nothing was changed."""
    row = scope.upload(session)
    if row is None or (row.finished is None and row.epoch != epoch):
        return False
    if row.finished is None:
        scope.record(msgspec.structs.replace(row, finished=digest, updated_ns=scope.now_ns))
    return row.finished in (None, digest)


def release(scope: MemoryScope, command: ReleaseBlobs) -> None:
    """Carry out ReleaseBlobs."""
    for placed in command.placed:
        blob = scope.repository.present(placed.digest)
        if blob is not None and blob.placed_ns == placed.placed_ns:
            blob.held = None


def check_room(scope: MemoryScope, command: CheckQuota) -> OverQuota | None:
    """Carry out CheckQuota."""
    return _over_quota(scope, command)


def _over_quota(scope: MemoryScope, command: CheckQuota | PublishBlob | PutBlob) -> OverQuota | None:
    repository = scope.repository
    is_here = command.digest in repository.manifests or repository.present(command.digest)
    size = len(command.content) if isinstance(command, PutBlob) else command.size
    return exceeded_quota(command.quotas, 0 if is_here else size, scope.used)


def touch(scope: MemoryScope, command: TouchBlob) -> bool:
    """Carry out TouchBlob."""
    blob = scope.repository.present(command.digest)
    if blob:
        blob.marked_s = None
    return blob is not None


def doom(scope: MemoryScope, command: DoomBlob) -> DoomOutcome:
    """Carry out DoomBlob."""
    repository = scope.repository
    blob = repository.blobs.get(command.digest)
    if blob is None and command.orphan and scope.exists:
        return _doom_orphan(repository, command)
    if blob is None or blob.doom not in (None, command.token):
        return DoomOutcome.ABSENT
    if blob.doom == command.token:
        return DoomOutcome.DOOMED
    if repository.referenced(command.digest) and not command.damaged:
        return DoomOutcome.REFERENCED
    if command.marked_before_s is not None and repository.unread():
        return DoomOutcome.REFERENCED
    if repository.claimed(command.digest) or command.orphan or command.placed_ns not in (None, blob.placed_ns):
        return DoomOutcome.CLAIMED
    if command.marked_before_s is not None and (blob.marked_s is None or blob.marked_s > command.marked_before_s):
        return DoomOutcome.CLAIMED
    blob.doom, blob.doomed_by, blob.disposal = command.token, command.owner, command.disposal
    blob.marked_s = blob.held = None
    if command.damaged:
        scope.log(ChangeKind.BLOB_LOST, before=command.digest)
    return DoomOutcome.DOOMED


def _doom_orphan(repository: StoredRepository, command: DoomBlob) -> DoomOutcome:
    if repository.referenced(command.digest) or repository.unread():
        return DoomOutcome.REFERENCED
    if repository.claimed(command.digest):
        return DoomOutcome.CLAIMED
    repository.blobs[command.digest] = StoredBlob(
        0, 0, doom=command.token, doomed_by=command.owner, disposal=command.disposal
    )
    return DoomOutcome.DOOMED


def forget(scope: MemoryScope, command: ForgetBlob) -> None:
    """Carry out ForgetBlob."""
    blob = scope.repository.blobs.get(command.digest)
    if blob and blob.doom == command.token:
        del scope.repository.blobs[command.digest]


def mark_unreferenced(scope: MemoryScope, command: MarkUnreferenced) -> int:
    """Carry out MarkUnreferenced."""
    repository = scope.repository
    if repository.unread():
        return 0
    limit = max(0, min(command.limit, PAGE_LIMIT))
    blobs = sorted(
        digest
        for digest in repository.unreferenced_blobs()
        if repository.blobs[digest].marked_s is None and not repository.claimed(digest)
    )[:limit]
    for digest in blobs:
        repository.blobs[digest].marked_s = command.now_s
    manifests = sorted(set(repository.dangling_manifests()) - repository.marks.keys())[: limit - len(blobs)]
    repository.marks.update(dict.fromkeys(manifests, command.now_s))
    return len(blobs) + len(manifests)
