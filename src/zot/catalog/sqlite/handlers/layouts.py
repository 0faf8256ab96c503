"""Commands of import and export, in SQL."""

from __future__ import annotations

from zot.catalog.layout_commands import BeginExport, FinishExport, ImportLayout, LayoutTag, QueueExport
from zot.catalog.sqlite.handlers import blobs as blob_handlers
from zot.catalog.sqlite.handlers import carried as carried_handlers
from zot.catalog.sqlite.handlers import manifests as manifest_handlers
from zot.catalog.sqlite.handlers import tags as tag_handlers
from zot.catalog.sqlite.scope import RepositoryScope
from zot.oci.names import Tag

# What changed during the export waits behind the repositories that are due already.
_EXPORTED = """
UPDATE repository SET exported = ?2, export_digest = ?3, export_signature = ?4, export_intent = NULL,
  due_ns = iif(revision > ?2, ?5, NULL)
WHERE name = ?1 AND exported <= ?2
"""


def import_layout(scope: RepositoryScope, command: ImportLayout) -> tuple[Tag, ...]:
    """Carry out ImportLayout."""
    scope.create()
    for blob in command.blobs:
        blob_handlers.add(scope, blob.digest, blob.size)
    for manifest in command.manifests:
        known = tag_handlers.find(scope, manifest.digest)
        if known is None:
            manifest_handlers.add(scope, manifest, command.by)
        else:
            manifest_handlers.mend(scope, known.manifest_id, manifest.content)
    for entry in command.carried:
        if carried_handlers.add(scope, entry) and entry.digest is not None:
            tag_handlers.settle_kept(scope, [entry.digest])
    for key in command.dropped:
        tag_handlers.settle_kept(scope, carried_handlers.drop(scope, key))
    if command.complete:
        scope.change("UPDATE repository SET adopted = 1 WHERE name = ?1")
    return tuple(tag.tag for tag in command.tags if not _taken(scope, tag, command.by))


def _taken(scope: RepositoryScope, tag: LayoutTag, by: str) -> bool:
    before = tag_handlers.at(scope, tag.tag)
    if before == tag.digest:
        return True
    target = tag_handlers.find(scope, tag.digest)
    if before != tag.if_digest or target is None:
        return False
    tag_handlers.point(scope, tag.tag, before, target, by, tag.written)
    return True


def intend_export(scope: RepositoryScope, command: BeginExport) -> bool:
    """Carry out BeginExport."""
    return bool(scope.change("UPDATE repository SET export_intent = ?2 WHERE name = ?1 AND adopted", command.digest))


def exported(scope: RepositoryScope, command: FinishExport) -> None:
    """Carry out FinishExport."""
    scope.change(_EXPORTED, command.revision, command.digest, command.signature, scope.now_ns)


def mark_dirty(scope: RepositoryScope, _command: QueueExport) -> None:
    """Carry out QueueExport."""
    scope.changed = True
