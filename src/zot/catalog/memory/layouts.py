"""Commands of import and export, in memory."""

from __future__ import annotations

from zot.catalog.layout_commands import BeginExport, FinishExport, ImportLayout, LayoutTag, QueueExport
from zot.catalog.memory.manifests import store
from zot.catalog.memory.state import MemoryScope, StoredBlob
from zot.oci.names import Tag


def import_layout(scope: MemoryScope, command: ImportLayout) -> tuple[Tag, ...]:
    """Carry out ImportLayout."""
    repository = scope.create()
    for blob in command.blobs:
        repository.blobs.setdefault(blob.digest, StoredBlob(blob.size, scope.now_ns))
    for manifest in command.manifests:
        store(scope, manifest, command.by)
    carried = repository.carried | {entry.key: entry for entry in command.carried}
    carried = {key: entry for key, entry in carried.items() if key not in command.dropped}
    if carried != repository.carried:
        repository.carried = carried
        scope.changed()
    repository.imported = repository.imported or command.complete
    return tuple(tag.tag for tag in command.tags if not _taken(scope, tag, command.by))


def _taken(scope: MemoryScope, tag: LayoutTag, by: str) -> bool:
    repository = scope.repository
    before = repository.tagged(tag.tag)
    if before == tag.digest:
        return True
    if before != tag.if_digest or tag.digest not in repository.manifests:
        return False
    scope.point(tag.tag, tag.digest, by, tag.written)
    scope.changed()
    return True


def intend_export(scope: MemoryScope, command: BeginExport) -> bool:
    """Carry out BeginExport."""
    repository = scope.repository
    if repository.imported:
        repository.export_intent = command.digest
    return repository.imported


def exported(scope: MemoryScope, command: FinishExport) -> None:
    """Carry out FinishExport."""
    repository = scope.repository
    if command.revision < repository.exported:
        return
    repository.exported = command.revision
    repository.export_digest, repository.export_signature = command.digest, command.signature
    repository.export_intent = None
    # What changed during the export waits behind the repositories that are due already.
    repository.due_ns = scope.now_ns if repository.revision > command.revision else None


def mark_dirty(scope: MemoryScope, _command: QueueExport) -> None:
    """Carry out QueueExport."""
    scope.changed()
