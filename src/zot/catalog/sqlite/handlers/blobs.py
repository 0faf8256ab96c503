"""Commands on blobs, in SQL."""

from __future__ import annotations

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
from zot.catalog.quotas import OverQuota, exceeded_quota
from zot.catalog.sqlite.handlers import carried, claims
from zot.catalog.sqlite.handlers.claims import BLOB, CLEAR_STAMP
from zot.catalog.sqlite.scope import RepositoryScope
from zot.oci.digest import Digest

_ADD = """
INSERT INTO blob (repository, digest, size, placed_ns, referenced) VALUES (?1, ?2, ?3, ?4,
  ?5 OR EXISTS (SELECT 1 FROM edge WHERE repository = ?1 AND digest = ?2))
ON CONFLICT DO NOTHING
"""
_DOOM_STRAY = """
INSERT INTO blob (repository, digest, size, referenced, doom, doomed_by, disposal)
SELECT name, ?2, 0, 0, ?3, ?4, ?5 FROM repository WHERE name = ?1
"""
_DOOM = """
UPDATE blob SET doom = ?3, doomed_by = ?4, disposal = ?5, stamp_s = NULL WHERE repository = ?1 AND digest = ?2
"""
_HOLD = """
INSERT INTO held (repository, digest, bytes) VALUES (?1, ?2, ?3)
ON CONFLICT DO UPDATE SET bytes = excluded.bytes WHERE bytes <> excluded.bytes
"""
_IS_HELD = "SELECT 1 FROM held WHERE repository = ?1 AND digest = ?2"
_DROP_HELD = "DELETE FROM held WHERE repository = ?1 AND digest = ?2"
_RELEASE = """
DELETE FROM held WHERE repository = ?1 AND digest = ?2
  AND EXISTS (SELECT 1 FROM blob WHERE repository = ?1 AND digest = ?2 AND placed_ns = ?3 AND doom IS NULL)
"""
_FINISH = """
UPDATE upload SET finished = ?4, updated_ns = ?5
WHERE repository = ?1 AND session = ?2 AND epoch = ?3 AND finished IS NULL
"""
_FINISHED_AS = "SELECT 1 FROM upload WHERE repository = ?1 AND session = ?2 AND finished = ?3"
_STAMP = """
UPDATE blob SET stamp_s = ?2 WHERE repository = ?1 AND digest IN (
  SELECT digest FROM blob AS garbage
  WHERE repository = ?1 AND NOT referenced AND doom IS NULL AND stamp_s IS NULL
    AND NOT EXISTS (SELECT 1 FROM claim WHERE repository = ?1 AND digest = garbage.digest)
  ORDER BY digest LIMIT ?3)
"""
_STAMP_MANIFESTS = """
UPDATE manifest SET stamp_s = ?2 WHERE id IN (
  SELECT id FROM manifest WHERE repository = ?1 AND NOT kept AND stamp_s IS NULL ORDER BY digest LIMIT ?3)
"""


def publish(scope: RepositoryScope, command: PublishBlob) -> PublishOutcome | OverQuota:
    """Carry out PublishBlob."""
    claimed = claims.end(scope, command.digest, command.token)
    found = scope.row(BLOB, command.digest)
    if found is not None and found[3] is None:
        scope.change(CLEAR_STAMP, command.digest)
    elif not claimed:
        return PublishOutcome.CLAIM_LOST
    elif refused := exceeded_quota(command.quotas, _growth_bytes(scope, command), scope.used):
        return refused
    else:
        add(scope, command.digest, command.size)
    if command.session is not None:
        scope.change(
            "UPDATE upload SET finished = ?3, updated_ns = ?4 WHERE repository = ?1 AND session = ?2",
            command.session,
            command.digest,
            scope.now_ns,
        )
    return PublishOutcome.PRESENT


def put(scope: RepositoryScope, command: PutBlob) -> PutOutcome | OverQuota:
    """Carry out PutBlob."""
    found = scope.row(BLOB, command.digest)
    if found is not None and found[3] is not None:
        return PutOutcome.DOOMED
    if found is None and (refused := exceeded_quota(command.quotas, _growth_bytes(scope, command), scope.used)):
        return refused
    if command.session is not None and not _finish(scope, command.session, command.epoch, command.digest):
        return PutOutcome.UPLOAD_LOST
    if found is None:
        scope.create()
        add(scope, command.digest, len(command.content))
    else:
        scope.change(CLEAR_STAMP, command.digest)
    if found is None or scope.value(_IS_HELD, command.digest):
        scope.changed = bool(scope.change(_HOLD, command.digest, command.content))
    return PutOutcome.STORED if found is None else PutOutcome.PRESENT


def _finish(scope: RepositoryScope, session: str, epoch: int, digest: Digest) -> bool:
    """Finish an upload that is still at that epoch, or was finished as this blob; False: nothing was changed."""
    if scope.change(_FINISH, session, epoch, digest, scope.now_ns):
        return True
    return bool(scope.value(_FINISHED_AS, session, digest))


def release(scope: RepositoryScope, command: ReleaseBlobs) -> None:
    """Carry out ReleaseBlobs."""
    for placed in command.placed:
        scope.change(_RELEASE, placed.digest, placed.placed_ns)


def add(scope: RepositoryScope, digest: Digest, size: int) -> None:
    """Make a blob present unless there is one, doomed or not."""
    is_manifest = _is_manifest(scope, digest)
    if scope.change(_ADD, digest, size, scope.now_ns, is_manifest):
        scope.blobs += 1
        scope.bytes += 0 if is_manifest else size


def check_room(scope: RepositoryScope, command: CheckQuota) -> OverQuota | None:
    """Carry out CheckQuota."""
    found = scope.row(BLOB, command.digest)
    is_present = found is not None and found[3] is None
    return None if is_present else exceeded_quota(command.quotas, _growth_bytes(scope, command), scope.used)


def touch(scope: RepositoryScope, command: TouchBlob) -> bool:
    """Carry out TouchBlob."""
    found = scope.row(BLOB, command.digest)
    if found is None or found[3] is not None:
        return False
    scope.change(CLEAR_STAMP, command.digest)
    return True


def doom(scope: RepositoryScope, command: DoomBlob) -> DoomOutcome:
    """Carry out DoomBlob."""
    found = scope.row(BLOB, command.digest)
    if found is None:
        return _doom_orphan(scope, command) if command.orphan else DoomOutcome.ABSENT
    size, referenced, marked_s, token, placed_ns = found
    if token is not None:
        return DoomOutcome.DOOMED if token == command.token else DoomOutcome.ABSENT
    if referenced and not command.damaged:
        return DoomOutcome.REFERENCED
    if command.marked_before_s is not None and carried.has_unread(scope):
        return DoomOutcome.REFERENCED
    if command.orphan or command.placed_ns not in (None, placed_ns) or claims.stands(scope, command.digest):
        return DoomOutcome.CLAIMED
    if command.marked_before_s is not None and (marked_s is None or marked_s > command.marked_before_s):
        return DoomOutcome.CLAIMED
    scope.change(_DOOM, command.digest, command.token, command.owner, command.disposal)
    scope.change(_DROP_HELD, command.digest)
    scope.blobs -= 1
    if command.damaged:
        scope.log(ChangeKind.BLOB_LOST, before=command.digest)
    # As a manifest its bytes go on counting.
    scope.bytes -= 0 if referenced and _is_manifest(scope, command.digest) else size
    return DoomOutcome.DOOMED


def _doom_orphan(scope: RepositoryScope, command: DoomBlob) -> DoomOutcome:
    named = scope.value("SELECT 1 FROM edge WHERE repository = ?1 AND digest = ?2 LIMIT 1", command.digest)
    if named or _is_manifest(scope, command.digest) or carried.has_unread(scope):
        return DoomOutcome.REFERENCED
    if claims.stands(scope, command.digest):
        return DoomOutcome.CLAIMED
    doomed = scope.change(_DOOM_STRAY, command.digest, command.token, command.owner, command.disposal)
    return DoomOutcome.DOOMED if doomed else DoomOutcome.ABSENT


def forget(scope: RepositoryScope, command: ForgetBlob) -> None:
    """Carry out ForgetBlob."""
    scope.change("DELETE FROM blob WHERE repository = ?1 AND digest = ?2 AND doom = ?3", command.digest, command.token)


def mark_unreferenced(scope: RepositoryScope, command: MarkUnreferenced) -> int:
    """Carry out MarkUnreferenced."""
    if carried.has_unread(scope):
        return 0
    limit = max(0, min(command.limit, PAGE_LIMIT))
    blobs = scope.change(_STAMP, command.now_s, limit)
    return blobs + scope.change(_STAMP_MANIFESTS, command.now_s, limit - blobs)


def _growth_bytes(scope: RepositoryScope, command: PublishBlob | PutBlob | CheckQuota) -> int:
    """Return what a blob that is not here would add."""
    if _is_manifest(scope, command.digest):
        return 0
    return len(command.content) if isinstance(command, PutBlob) else command.size


def _is_manifest(scope: RepositoryScope, digest: Digest) -> bool:
    """Tell whether the blob's bytes count as a manifest already."""
    return bool(scope.value("SELECT 1 FROM manifest WHERE repository = ?1 AND digest = ?2", digest))
