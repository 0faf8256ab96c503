"""Commands on manifests, tags and repositories, in memory."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from zot.catalog.change_log import ChangeKind
from zot.catalog.layout_commands import LayoutManifest
from zot.catalog.manifest_commands import (
    Absent,
    Deleted,
    DeleteTag,
    MendManifest,
    MissingBlobs,
    PutManifest,
    Referenced,
    Refusal,
    RemoveManifest,
    RemoveRepository,
    RestoreTag,
    Stored,
    TagMove,
    TagRefused,
    TagsDiffer,
    TouchManifest,
)
from zot.catalog.memory.state import MemoryManifest, MemoryScope, StoredRepository
from zot.catalog.quotas import OverQuota, exceeded_quota
from zot.oci.digest import Digest


def put(scope: MemoryScope, command: PutManifest) -> Stored | MissingBlobs | TagRefused | OverQuota:
    """Carry out PutManifest."""
    repository = scope.repository
    refused = (
        _refused(repository, command.tags, command.digest)
        or _too_many_repositories(scope, command)
        or _missing(repository, command)
        or _too_many_bytes(scope, command)
    )
    if refused:
        return refused
    entry = LayoutManifest(
        command.digest,
        command.content,
        command.media_type,
        command.artifact_type,
        command.subject,
        command.annotations,
        command.edges,
        scope.now_ns,
    )
    created = store(scope, entry, command.by)
    repository.marks.pop(command.digest, None)
    if command.tags and not repository.tags_of(command.digest):
        _renew(scope, command.digest)
    return _move(scope, command.tags, command.digest, command.by, created=created)


def store(scope: MemoryScope, entry: LayoutManifest, by: str) -> bool:
    """Store a manifest unless it is there; tell whether it was stored. What it names loses its mark."""
    repository = scope.create()
    if entry.digest in repository.manifests:
        _mend(scope, entry.digest, entry.content)
        return False
    repository.manifests[entry.digest] = MemoryManifest(entry, by)
    repository.read_carried(entry.digest)
    scope.changed()
    scope.log(ChangeKind.MANIFEST_STORED, after=entry.digest, media_type=entry.media_type)
    for digest in (entry.digest, *(edge.digest for edge in entry.edges)):
        if digest in repository.blobs:
            repository.blobs[digest].marked_s = None
    return True


def mend(scope: MemoryScope, command: MendManifest) -> bool:
    """Carry out MendManifest."""
    if command.digest not in scope.repository.manifests:
        return False
    _mend(scope, command.digest, command.content)
    return True


def _mend(scope: MemoryScope, digest: Digest, content: bytes) -> None:
    known = scope.repository.manifests[digest]
    if known.entry.content != content:
        mended = msgspec.structs.replace(known.entry, content=content)
        scope.repository.manifests[digest] = MemoryManifest(mended, known.by)
        scope.changed()


def delete(scope: MemoryScope, command: RemoveManifest) -> Deleted | Absent | TagsDiffer | Referenced:
    """Carry out RemoveManifest."""
    repository = scope.repository
    manifest = repository.manifests.get(command.digest)
    if manifest is None:
        return Absent() if command.marked_before_s is not None else _delete_carried(scope, command)
    tags = repository.tags_of(command.digest)
    if command.if_tags is not None and set(command.if_tags) != set(tags):
        return TagsDiffer(tags)
    marked_s = repository.marks.get(command.digest)
    if command.marked_before_s is not None and (
        marked_s is None or marked_s > command.marked_before_s or repository.unread()
    ):
        return TagsDiffer(tags)
    if indexes := repository.indexes_of(command.digest):
        return Referenced(indexes)
    for tag in tags:
        scope.point(tag, None, command.by)
    del repository.manifests[command.digest]
    listed = {edge.digest for each in repository.manifests.values() for edge in each.entry.edges if edge.child}
    repository.carried = {
        key: entry
        for key, entry in repository.carried.items()
        if entry.digest != command.digest and (entry.line or entry.digest in listed)
    }
    scope.changed()
    scope.log(ChangeKind.MANIFEST_DELETED, before=command.digest, media_type=manifest.entry.media_type)
    return Deleted(command.digest, manifest.entry.media_type, tags)


def _delete_carried(scope: MemoryScope, command: RemoveManifest) -> Deleted | Absent:
    """Delete the entries of a digest of which there is no manifest."""
    repository = scope.repository
    found = [entry for entry in repository.carried.values() if entry.digest == command.digest]
    if not found:
        return Absent()
    for entry in found:
        del repository.carried[entry.key]
    scope.changed()
    return Deleted(command.digest, found[0].media_type, ())


def touch(scope: MemoryScope, command: TouchManifest) -> bool:
    """Carry out TouchManifest."""
    scope.repository.marks.pop(command.digest, None)
    return command.digest in scope.repository.manifests


def delete_tag(scope: MemoryScope, command: DeleteTag) -> Deleted | Absent | TagRefused:
    """Carry out DeleteTag."""
    repository = scope.repository
    row = repository.tags.get(command.tag)
    if row is not None and command.if_digest not in (None, row.digest):
        return Absent()
    named = [entry for _, entry in sorted(repository.carried.items()) if entry.name == command.tag]
    if command.if_digest is not None:
        named = []
    if row is None and not named:
        return Absent()
    if command.immutable:
        return TagRefused(command.tag, Refusal.IMMUTABLE)
    for entry in named:
        del repository.carried[entry.key]
    scope.changed()
    if row is None:
        return Deleted(named[0].digest, named[0].media_type, (command.tag,))
    scope.point(command.tag, None, command.by)
    scope.changed()
    return Deleted(row.digest, repository.manifests[row.digest].entry.media_type, (command.tag,))


def restore_tag(scope: MemoryScope, command: RestoreTag) -> Stored | Absent | TagRefused:
    """Carry out RestoreTag."""
    if command.digest not in scope.repository.manifests:
        return Absent()
    refused = _refused(scope.repository, (command.move,), command.digest)
    if refused:
        return refused
    _renew(scope, command.digest)
    return _move(scope, (command.move,), command.digest, command.by, created=False)


def _renew(scope: MemoryScope, digest: Digest) -> None:
    """Date a manifest as pushed now."""
    stored = scope.repository.manifests[digest]
    entry = msgspec.structs.replace(stored.entry, pushed_ns=scope.now_ns)
    scope.repository.manifests[digest] = MemoryManifest(entry, stored.by)


def remove_repository(scope: MemoryScope, _command: RemoveRepository) -> bool:
    """Carry out RemoveRepository."""
    repository = scope.repository
    busy = any(row.finished is None for row in scope.uploads())
    if repository.manifests or repository.blobs or repository.carried or repository.claims or busy:
        return False
    scope.forget()
    return True


def _refused(repository: StoredRepository, moves: Sequence[TagMove], digest: Digest) -> TagRefused | None:
    for move in moves:
        if why := move.refusal(repository.tagged(move.tag), digest):
            return TagRefused(move.tag, why)
    return None


def _too_many_repositories(scope: MemoryScope, command: PutManifest) -> OverQuota | None:
    if command.repositories_limit is None or scope.repository.manifests:
        return None
    used = scope.holding_manifests()
    return (
        OverQuota(command.repositories_limit, used, of_repositories=True)
        if used >= command.repositories_limit
        else None
    )


def _missing(repository: StoredRepository, command: PutManifest) -> MissingBlobs | None:
    needed = (edge.digest for edge in command.edges if not edge.child and not edge.optional)
    missing = tuple(digest for digest in needed if not repository.present(digest))
    return MissingBlobs(missing) if missing else None


def _too_many_bytes(scope: MemoryScope, command: PutManifest) -> OverQuota | None:
    repository = scope.repository
    is_here = command.digest in repository.manifests or repository.present(command.digest)
    return exceeded_quota(command.quotas, 0 if is_here else len(command.content), scope.used)


def _move(scope: MemoryScope, moves: Sequence[TagMove], digest: Digest, by: str, *, created: bool) -> Stored:
    changes = []
    for move in moves:
        before = scope.repository.tagged(move.tag)
        if before != digest:
            changes.append((move.tag, before))
            scope.point(move.tag, digest, by)
    if changes:
        scope.changed()
    return Stored(created, tuple(changes))
