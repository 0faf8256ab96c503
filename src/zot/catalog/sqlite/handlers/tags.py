"""Commands on tags, in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from zot.catalog.change_log import ChangeKind
from zot.catalog.manifest_commands import Absent, Deleted, DeleteTag, Refusal, RestoreTag, Stored, TagMove, TagRefused
from zot.catalog.sqlite.handlers import carried
from zot.catalog.sqlite.scope import RepositoryScope
from zot.oci.digest import Digest
from zot.oci.names import Tag

_TAG = """
SELECT digest, media_type FROM manifest
WHERE id = (SELECT manifest_id FROM tag WHERE repository = ?1 AND name = ?2)
"""
_POINT = """
INSERT INTO tag (repository, name, manifest_id, created_ns, moved_ns, moved_by, written)
VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6)
ON CONFLICT DO UPDATE SET manifest_id = excluded.manifest_id, moved_ns = excluded.moved_ns,
  moved_by = excluded.moved_by, written = excluded.written
"""
KEPT = """
  EXISTS (SELECT 1 FROM tag WHERE manifest_id = manifest.id)
  OR EXISTS (SELECT 1 FROM edge
    WHERE edge.repository = manifest.repository AND edge.digest = manifest.digest AND edge.child)
  OR EXISTS (SELECT 1 FROM manifest AS other
    WHERE other.repository = manifest.repository AND other.digest = manifest.subject)
  OR EXISTS (SELECT 1 FROM carried
    WHERE carried.repository = manifest.repository AND carried.digest = manifest.digest AND line <> x'')
"""
"""The condition for a row of `manifest`: a tag, an index, a present subject or a named entry keeps it."""

# Of the manifests in ?2. One whose state changes loses its mark.
_KEEP = f"""
UPDATE manifest SET kept = NOT kept, stamp_s = NULL
WHERE repository = ?1 AND digest IN (SELECT value FROM json_each(?2)) AND kept <> ({KEPT})
"""  # noqa: S608 (a statement of constants)


class TagTarget(NamedTuple):
    """A manifest that a tag is pointed at."""

    manifest_id: int
    digest: Digest
    media_type: str


def find(scope: RepositoryScope, digest: Digest) -> TagTarget | None:
    """Return a manifest as what tags point at, None if it is not in the repository."""
    row = scope.row("SELECT id, digest, media_type FROM manifest WHERE repository = ?1 AND digest = ?2", digest)
    return TagTarget(*row) if row else None


def refused(scope: RepositoryScope, moves: Sequence[TagMove], digest: Digest) -> TagRefused | None:
    """Return the first of the moves that may not be made."""
    for each in moves:
        if why := each.refusal(at(scope, each.tag), digest):
            return TagRefused(each.tag, why)
    return None


def move(
    scope: RepositoryScope, moves: Sequence[TagMove], target: TagTarget, by: str
) -> tuple[tuple[Tag, Digest | None], ...]:
    """Point tags at a manifest; return those that pointed elsewhere, with what they pointed to."""
    changes = []
    for each in moves:
        before = at(scope, each.tag)
        if before != target.digest:
            point(scope, each.tag, before, target, by)
            changes.append((each.tag, before))
    return tuple(changes)


def at(scope: RepositoryScope, tag: Tag) -> Digest | None:
    """Return what a tag points to."""
    found: Digest | None = scope.value(_TAG, tag)
    return found


def of_manifest(scope: RepositoryScope, manifest_id: int) -> tuple[Tag, ...]:
    """Return the tags that point to a manifest."""
    rows = scope.rows("SELECT name FROM tag WHERE repository = ?1 AND manifest_id = ?2 ORDER BY name", manifest_id)
    return tuple(name for (name,) in rows)


def has_tag(scope: RepositoryScope, manifest_id: int) -> bool:
    """Tell whether a tag points to a manifest, at the same cost however many do."""
    return bool(
        scope.value("SELECT EXISTS (SELECT 1 FROM tag WHERE repository = ?1 AND manifest_id = ?2)", manifest_id)
    )


def point(
    scope: RepositoryScope,
    tag: Tag,
    before: Digest | None,
    target: TagTarget,
    by: str,
    written: str | None = None,
) -> None:
    """Point a tag at a manifest, and log it. `written` is its name as a layout has it, if not the tag itself."""
    manifest_id, digest, media_type = target
    scope.change(_POINT, tag, manifest_id, scope.now_ns, by, written)
    carried.replaced_by_tag(scope, digest, (tag, written or tag))
    kind = ChangeKind.TAG_MOVED if before else ChangeKind.TAG_CREATED
    scope.log(kind, tag=tag, before=before, after=digest, media_type=media_type)
    settle_kept(scope, [digest, before] if before else [digest])
    scope.tags += before is None
    scope.changed = True


def renew(scope: RepositoryScope, manifest_id: int) -> None:
    """Date a manifest as pushed now: by its old time retention would remove its tag again."""
    scope.change("UPDATE manifest SET pushed_ns = ?3 WHERE repository = ?1 AND id = ?2", manifest_id, scope.now_ns)


def remove(scope: RepositoryScope, tag: Tag, before: Digest, media_type: str) -> None:
    """Remove a tag, which points to a manifest of that type, and log it."""
    scope.change("DELETE FROM tag WHERE repository = ?1 AND name = ?2", tag)
    scope.log(ChangeKind.TAG_DELETED, tag=tag, before=before, media_type=media_type)
    settle_kept(scope, [before])
    scope.tags -= 1
    scope.changed = True


def settle_kept(scope: RepositoryScope, digests: Sequence[Digest]) -> None:
    """Record whether something keeps each of these manifests. Called whenever that may have changed."""
    scope.change(_KEEP, msgspec.json.encode(digests).decode())


def delete(scope: RepositoryScope, command: DeleteTag) -> Deleted | Absent | TagRefused:
    """Carry out DeleteTag."""
    found = scope.row(_TAG, command.tag)
    if found is not None and command.if_digest not in (None, found[0]):
        return Absent()
    named = carried.named(scope, command.tag) if command.if_digest is None else []
    if found is None and not named:
        return Absent()
    if command.immutable:
        return TagRefused(command.tag, Refusal.IMMUTABLE)
    if named:
        carried.delete_named(scope, command.tag)
        settle_kept(scope, [digest for digest, _ in named if digest is not None])
    digest, media_type = found or named[0]
    if found is not None:
        remove(scope, command.tag, digest, media_type)
    return Deleted(digest, media_type, (command.tag,))


def restore(scope: RepositoryScope, command: RestoreTag) -> Stored | Absent | TagRefused:
    """Carry out RestoreTag."""
    target = find(scope, command.digest)
    if target is None:
        return Absent()
    moves = (command.move,)
    if refusal := refused(scope, moves, command.digest):
        return refusal
    renew(scope, target.manifest_id)
    return Stored(created=False, changes=move(scope, moves, target, command.by))
