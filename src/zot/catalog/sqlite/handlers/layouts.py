"""Commands of adoption and export, in SQL."""

from __future__ import annotations

from zot.catalog.layout_commands import BeginExport, FinishExport, ImportLayout, LayoutTag, QueueExport
from zot.catalog.sqlite.handlers import blobs as verbs_blobs
from zot.catalog.sqlite.handlers import carried as verbs_carried
from zot.catalog.sqlite.handlers import manifests as verbs_manifests
from zot.catalog.sqlite.handlers import tags as verbs_tags
from zot.catalog.sqlite.scope import RepositoryScope
from zot.oci.names import Tag

# What changed meanwhile waits behind the repositories that are due already.
_EXPORTED = """
UPDATE repository SET exported = ?2, export_digest = ?3, export_signature = ?4, export_intent = NULL,
  due_ns = iif(revision > ?2, ?5, NULL)
WHERE name = ?1 AND exported <= ?2
"""


def adopt(scope: RepositoryScope, command: ImportLayout) -> tuple[Tag, ...]:
    """Carry out ImportLayout."""
    scope.create()
    for blob in command.blobs:
        verbs_blobs.add(scope, blob.digest, blob.size)
    for manifest in command.manifests:
        known = verbs_tags.find(scope, manifest.digest)
        if known is None:
            verbs_manifests.add(scope, manifest, command.by)
        else:
            verbs_manifests.mend(scope, known.manifest_id, manifest.content)
    for entry in command.carried:
        if verbs_carried.add(scope, entry) and entry.digest is not None:
            verbs_tags.settle_kept(scope, [entry.digest])
    for key in command.dropped:
        verbs_tags.settle_kept(scope, verbs_carried.drop(scope, key))
    if command.complete:
        scope.change("UPDATE repository SET adopted = 1 WHERE name = ?1")
    return tuple(tag.tag for tag in command.tags if not _taken(scope, tag, command.by))


def _taken(scope: RepositoryScope, tag: LayoutTag, by: str) -> bool:
    before = verbs_tags.at(scope, tag.tag)
    if before == tag.digest:
        return True
    target = verbs_tags.find(scope, tag.digest)
    if before != tag.if_digest or target is None:
        return False
    verbs_tags.point(scope, tag.tag, before, target, by, tag.written)
    return True


def intend_export(scope: RepositoryScope, command: BeginExport) -> bool:
    """Carry out BeginExport."""
    return bool(scope.change("UPDATE repository SET export_intent = ?2 WHERE name = ?1 AND adopted", command.digest))


def exported(scope: RepositoryScope, command: FinishExport) -> None:
    """Carry out Exported."""
    scope.change(_EXPORTED, command.revision, command.digest, command.signature, scope.now_ns)


def mark_dirty(scope: RepositoryScope, _command: QueueExport) -> None:
    """Carry out QueueExport."""
    scope.changed = True
