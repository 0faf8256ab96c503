"""Commands on manifests, in SQL."""

from __future__ import annotations

import msgspec

from zot.catalog.change_log import ChangeKind
from zot.catalog.layout_commands import LayoutManifest
from zot.catalog.manifest_commands import (
    Absent,
    Deleted,
    MendManifest,
    MissingBlobs,
    PutManifest,
    Referenced,
    RemoveManifest,
    RemoveRepository,
    Stored,
    TagRefused,
    TagsDiffer,
    TouchManifest,
)
from zot.catalog.quotas import OverQuota, exceeded_quota
from zot.catalog.sqlite.handlers import carried as carried_handlers
from zot.catalog.sqlite.handlers import change_log as change_log_handlers
from zot.catalog.sqlite.handlers import tags as tag_handlers
from zot.catalog.sqlite.scope import RepositoryScope
from zot.oci.digest import Digest

# The lists of digests go in as one JSON text: a manifest may name twenty thousand blobs.
_MISSING = """
SELECT value FROM json_each(?2)
WHERE NOT EXISTS (SELECT 1 FROM blob WHERE repository = ?1 AND digest = value AND doom IS NULL)
ORDER BY key
"""
_REFERENCE = """
UPDATE blob SET referenced = 1, stamp_s = NULL
WHERE repository = ?1 AND digest IN (SELECT value FROM json_each(?2)) AND NOT referenced
"""
# Before the manifest ?2 of digest ?3 is deleted: what it names, and its digest, unless another manifest names or is it.
_UNREFERENCE = """
UPDATE blob SET referenced = 0
WHERE repository = ?1 AND digest IN (SELECT digest FROM edge WHERE manifest_id = ?2 UNION SELECT ?3)
  AND NOT EXISTS (SELECT 1 FROM edge WHERE repository = ?1 AND digest = blob.digest AND manifest_id <> ?2)
  AND NOT EXISTS (SELECT 1 FROM manifest WHERE repository = ?1 AND digest = blob.digest AND id <> ?2)
"""
_ADD = """
INSERT INTO manifest
  (repository, digest, media_type, size, artifact_type, subject, pushed_ns, pushed_by, annotations, whole, kept)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0)
"""
_INDEXES = """
SELECT manifest.digest FROM edge JOIN manifest ON manifest.id = edge.manifest_id
WHERE edge.repository = ?1 AND edge.digest = ?2 AND edge.child ORDER BY manifest.digest
"""
# Manifests that the manifest ?2 of digest ?3 may keep: what it lists, and what refers to it.
_DEPENDENT = """
SELECT digest FROM edge WHERE manifest_id = ?2 AND child
UNION SELECT digest FROM manifest WHERE repository = ?1 AND subject = ?3
"""
_CLEAR_STAMP = "UPDATE manifest SET stamp_s = NULL WHERE repository = ?1 AND digest = ?2 AND stamp_s IS NOT NULL"
_MEND = """
INSERT INTO content (manifest_id, bytes) VALUES (?2, ?3)
ON CONFLICT DO UPDATE SET bytes = excluded.bytes WHERE bytes <> excluded.bytes
"""
_IN_USE = """
SELECT EXISTS (SELECT 1 FROM manifest WHERE repository = ?1)
  OR EXISTS (SELECT 1 FROM blob WHERE repository = ?1)
  OR EXISTS (SELECT 1 FROM carried WHERE repository = ?1)
  OR EXISTS (SELECT 1 FROM claim WHERE repository = ?1)
  OR EXISTS (SELECT 1 FROM upload WHERE repository = ?1 AND finished IS NULL)
"""


def put(scope: RepositoryScope, command: PutManifest) -> Stored | MissingBlobs | TagRefused | OverQuota:
    """Carry out PutManifest."""
    target = tag_handlers.find(scope, command.digest)
    created = target is None
    refused = (
        tag_handlers.refused(scope, command.tags, command.digest)
        or _too_many_repositories(scope, command)
        or _missing(scope, command)
        or (_too_many_bytes(scope, command) if created else None)
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
    if target is None:
        scope.create()
        target = add(scope, entry, command.by)
    else:
        scope.change(_CLEAR_STAMP, command.digest)
        if command.tags and not tag_handlers.has_tag(scope, target.manifest_id):
            tag_handlers.renew(scope, target.manifest_id)
        mend(scope, target.manifest_id, command.content)
    return Stored(created, tag_handlers.move(scope, command.tags, target, command.by))


def add(scope: RepositoryScope, entry: LayoutManifest, by: str) -> tag_handlers.TagTarget:
    """Store a manifest that is not there, and log it. What it names is referenced, and loses its mark."""
    size = len(entry.content)
    scope.change(
        _ADD,
        entry.digest,
        entry.media_type,
        size,
        entry.artifact_type,
        entry.subject,
        entry.pushed_ns,
        by,
        msgspec.json.encode(entry.annotations).decode(),
        entry.whole,
    )
    known = scope.inserted_id()
    scope.change_many("INSERT INTO content (manifest_id, bytes) VALUES (?, ?)", [(known, entry.content)])
    scope.change_many(
        "INSERT INTO edge (repository, digest, manifest_id, media_type, child) VALUES (?, ?, ?, ?, ?)",
        [(scope.repository, edge.digest, known, edge.media_type, edge.child) for edge in entry.edges],
    )
    scope.change(_REFERENCE, _json([entry.digest, *(edge.digest for edge in entry.edges)]))
    carried_handlers.read(scope, entry.digest)
    tag_handlers.settle_kept(scope, [entry.digest, *_dependent(scope, known, entry.digest)])
    scope.manifests += 1
    scope.bytes += 0 if _is_blob(scope, entry.digest) else size
    scope.changed = True
    scope.log(ChangeKind.MANIFEST_STORED, after=entry.digest, media_type=entry.media_type)
    return tag_handlers.TagTarget(known, entry.digest, entry.media_type)


def mend(scope: RepositoryScope, manifest_id: int, content: bytes) -> None:
    """Replace a manifest's lost or damaged bytes by these, which were verified."""
    if scope.change(_MEND, manifest_id, content):
        scope.changed = True


def delete(scope: RepositoryScope, command: RemoveManifest) -> Deleted | Absent | TagsDiffer | Referenced:
    """Carry out RemoveManifest."""
    found = scope.row(
        "SELECT id, media_type, size, stamp_s FROM manifest WHERE repository = ?1 AND digest = ?2", command.digest
    )
    if found is None:
        carried = carried_handlers.delete_of(scope, command.digest) if command.marked_before_s is None else None
        return Absent() if carried is None else Deleted(command.digest, carried, ())
    known, media_type, size, marked_s = found
    tags = tag_handlers.of_manifest(scope, known)
    if command.if_tags is not None and set(command.if_tags) != set(tags):
        return TagsDiffer(tags)
    if command.marked_before_s is not None and (
        marked_s is None or marked_s > command.marked_before_s or carried_handlers.has_unread(scope)
    ):
        return TagsDiffer(tags)
    if indexes := scope.rows(_INDEXES, command.digest):
        return Referenced(tuple(digest for (digest,) in indexes))
    for tag in tags:
        tag_handlers.remove(scope, tag, command.digest, media_type)
    carried_handlers.delete_of(scope, command.digest)
    carried_handlers.delete_listed_by(scope, known)
    scope.change(_UNREFERENCE, known, command.digest)
    dependent = _dependent(scope, known, command.digest)
    scope.change("DELETE FROM manifest WHERE repository = ?1 AND id = ?2", known)
    tag_handlers.settle_kept(scope, dependent)
    scope.manifests -= 1
    scope.bytes -= 0 if _is_blob(scope, command.digest) else size
    scope.changed = True
    scope.log(ChangeKind.MANIFEST_DELETED, before=command.digest, media_type=media_type)
    return Deleted(command.digest, media_type, tags)


def mend_manifest(scope: RepositoryScope, command: MendManifest) -> bool:
    """Carry out MendManifest."""
    known = tag_handlers.find(scope, command.digest)
    if known is not None:
        mend(scope, known.manifest_id, command.content)
    return known is not None


def touch(scope: RepositoryScope, command: TouchManifest) -> bool:
    """Carry out TouchManifest."""
    scope.change(_CLEAR_STAMP, command.digest)
    return tag_handlers.find(scope, command.digest) is not None


def remove_repository(scope: RepositoryScope, _command: RemoveRepository) -> bool:
    """Carry out RemoveRepository."""
    if scope.value(_IN_USE):
        return False
    scope.change("DELETE FROM upload WHERE repository = ?1")
    change_log_handlers.delete_history(scope)
    if scope.change("DELETE FROM repository WHERE name = ?1"):
        scope.log(ChangeKind.REPOSITORY_REMOVED)
    return True


def _too_many_repositories(scope: RepositoryScope, command: PutManifest) -> OverQuota | None:
    limit = command.repositories_limit
    if limit is None or scope.value("SELECT manifests FROM repository WHERE name = ?1"):
        return None
    used: int = scope.value("SELECT count(*) FROM repository WHERE manifests > 0 AND name <> ?1")
    return OverQuota(limit, used, of_repositories=True) if used >= limit else None


def _missing(scope: RepositoryScope, command: PutManifest) -> MissingBlobs | None:
    needed = [edge.digest for edge in command.edges if not edge.child and not edge.optional]
    missing = tuple(digest for (digest,) in scope.rows(_MISSING, _json(needed)))
    return MissingBlobs(missing) if missing else None


def _too_many_bytes(scope: RepositoryScope, command: PutManifest) -> OverQuota | None:
    growth_bytes = 0 if _is_blob(scope, command.digest) else len(command.content)
    return exceeded_quota(command.quotas, growth_bytes, scope.used)


def _dependent(scope: RepositoryScope, manifest_id: int, digest: Digest) -> list[Digest]:
    return [each for (each,) in scope.rows(_DEPENDENT, manifest_id, digest)]


def _is_blob(scope: RepositoryScope, digest: Digest) -> bool:
    """Tell whether the manifest's bytes count as a present blob already."""
    return bool(scope.value("SELECT 1 FROM blob WHERE repository = ?1 AND digest = ?2 AND doom IS NULL", digest))


def _json(digests: list[Digest]) -> str:
    return msgspec.json.encode(digests).decode()
