"""Entries of `index.json` that are carried along, in SQL."""

from __future__ import annotations

from zot.catalog.rows import CarriedEntry
from zot.catalog.sqlite.scope import RepositoryScope, Row
from zot.oci.digest import Digest
from zot.oci.names import Tag

# Written as it was last read; an entry that is carried already as it is changes nothing.
_ADD = """
INSERT INTO carried (repository, key, line, digest, name, media_type, unread) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT DO UPDATE SET unread = excluded.unread WHERE unread IS NOT excluded.unread
"""
UNREAD = """
SELECT EXISTS (SELECT 1 FROM carried WHERE repository = ?1 AND unread IS NOT NULL)
  OR EXISTS (SELECT 1 FROM manifest WHERE repository = ?1 AND NOT whole)
"""
_READ = "UPDATE carried SET unread = NULL WHERE repository = ?1 AND digest = ?2 AND unread IS NOT NULL"
# Entries listed by an index are deleted with the last index that lists them.
_NOT_LISTED = """
DELETE FROM carried WHERE repository = ?1 AND line = x''
  AND digest IN (SELECT digest FROM edge WHERE manifest_id = ?2 AND child)
  AND NOT EXISTS (SELECT 1 FROM edge
    WHERE repository = ?1 AND digest = carried.digest AND child AND manifest_id <> ?2)
"""
_NAMED = "SELECT digest, media_type FROM carried WHERE repository = ?1 AND name = ?2 ORDER BY key"


def add(scope: RepositoryScope, entry: CarriedEntry) -> bool:
    """Carry an entry. False: it was carried already, unchanged."""
    unread = entry.unread.name if entry.unread is not None else None
    if not scope.change(_ADD, entry.key, entry.line, entry.digest, entry.name, entry.media_type, unread):
        return False
    scope.changed = True
    return True


def drop(scope: RepositoryScope, key: str) -> list[Digest]:
    """Stop carrying an entry; return the digest that it lists, if there is one."""
    found = scope.rows("SELECT digest FROM carried WHERE repository = ?1 AND key = ?2", key)
    if found:
        scope.change("DELETE FROM carried WHERE repository = ?1 AND key = ?2", key)
        scope.changed = True
    return [digest for (digest,) in found if digest is not None]


def has_unread(scope: RepositoryScope) -> bool:
    """Tell whether a part of the repository could not be read: then nothing of it is collected."""
    return bool(scope.value(UNREAD))


def read(scope: RepositoryScope, digest: Digest) -> None:
    """Count the entries of a manifest that is stored now as read; only a name keeps one."""
    if not scope.value("SELECT 1 FROM carried WHERE repository = ?1 AND digest = ?2 LIMIT 1", digest):
        return
    scope.change("DELETE FROM carried WHERE repository = ?1 AND digest = ?2 AND (name IS NULL OR line = x'')", digest)
    scope.change(_READ, digest)


def replaced_by_tag(scope: RepositoryScope, digest: Digest, names: tuple[str, str]) -> None:
    """Remove the entries that a tag stands for now."""
    scope.change("DELETE FROM carried WHERE repository = ?1 AND digest = ?2 AND name IN (?3, ?4)", digest, *names)


def delete_of(scope: RepositoryScope, digest: Digest) -> str | None:
    """Remove the entries of a digest; return the media type of one, None if there is none."""
    found = scope.row("SELECT media_type FROM carried WHERE repository = ?1 AND digest = ?2 ORDER BY key", digest)
    if found is None:
        return None
    scope.change("DELETE FROM carried WHERE repository = ?1 AND digest = ?2", digest)
    scope.changed = True
    media_type: str = found[0]
    return media_type


def delete_listed_by(scope: RepositoryScope, manifest_id: int) -> None:
    """Remove what only this index lists, before the index is deleted."""
    scope.change(_NOT_LISTED, manifest_id)


def named(scope: RepositoryScope, name: Tag) -> list[Row]:
    """Return digest and media type of the entries of a name."""
    return scope.rows(_NAMED, name)


def delete_named(scope: RepositoryScope, name: Tag) -> None:
    """Remove the entries of a name."""
    scope.change("DELETE FROM carried WHERE repository = ?1 AND name = ?2", name)
    scope.changed = True
