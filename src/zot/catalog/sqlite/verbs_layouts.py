"""Commands of adoption and export, in SQL."""

from __future__ import annotations

from zot.catalog.layout_commands import Adopt, Exported, IntendExport, LayoutTag, MarkDirty
from zot.catalog.sqlite import verbs_blobs, verbs_carried, verbs_manifests, verbs_tags
from zot.catalog.sqlite.scope import Scope
from zot.oci.names import Tag

# What changed meanwhile waits behind the repositories that are due already.
_EXPORTED = """
UPDATE repository SET exported = ?2, export_digest = ?3, export_signature = ?4, export_intent = NULL,
  due_ns = iif(revision > ?2, ?5, NULL)
WHERE name = ?1 AND exported <= ?2
"""


def adopt(scope: Scope, command: Adopt) -> tuple[Tag, ...]:
    """Carry out Adopt."""
    scope.create()
    for blob in command.blobs:
        verbs_blobs.add(scope, blob.digest, blob.size)
    for manifest in command.manifests:
        known = verbs_manifests.find(scope, manifest.digest)
        if known is None:
            verbs_manifests.add(scope, manifest, command.by)
        else:
            verbs_manifests.mend(scope, known, manifest.content)
    for entry in command.carried:
        if verbs_carried.add(scope, entry) and entry.digest is not None:
            verbs_tags.settle_kept(scope, [entry.digest])
    for key in command.dropped:
        verbs_tags.settle_kept(scope, verbs_carried.drop(scope, key))
    if command.complete:
        scope.change("UPDATE repository SET adopted = 1 WHERE name = ?1")
    return tuple(tag.tag for tag in command.tags if not _taken(scope, tag, command.by))


def _taken(scope: Scope, tag: LayoutTag, by: str) -> bool:
    before = verbs_tags.at(scope, tag.tag)
    if before == tag.digest:
        return True
    manifest_id = verbs_manifests.find(scope, tag.digest)
    if before != tag.if_digest or manifest_id is None:
        return False
    verbs_tags.point(scope, tag.tag, before, manifest_id, tag.digest, by, tag.written)
    return True


def intend_export(scope: Scope, command: IntendExport) -> bool:
    """Carry out IntendExport."""
    return bool(scope.change("UPDATE repository SET export_intent = ?2 WHERE name = ?1 AND adopted", command.digest))


def exported(scope: Scope, command: Exported) -> None:
    """Carry out Exported."""
    scope.change(_EXPORTED, command.revision, command.digest, command.signature, scope.now_ns)


def mark_dirty(scope: Scope, _command: MarkDirty) -> None:
    """Carry out MarkDirty."""
    scope.changed = True
