"""The change log in SQL: how it is read and trimmed. Entries are written by `RepositoryScope.log`."""

from __future__ import annotations

from typing import Any

from zot.catalog.change_log import TrimChanges
from zot.catalog.sqlite.scope import CatalogScope, RepositoryScope

TRIMMED = "(SELECT CAST(value AS INTEGER) FROM setting WHERE name = 'changes_trimmed')"

# One row at least, without an entry if none follows: all of it is read at one moment.
PAGE = f"""
SELECT {TRIMMED}, newest.sequence, newest.at_ns,
  EXISTS (SELECT 1 FROM change_log WHERE sequence = ?1 AND at_ns = coalesce(?2, at_ns)),
  page.*
FROM (SELECT 1)
LEFT JOIN (SELECT sequence, at_ns FROM change_log ORDER BY sequence DESC LIMIT 1) AS newest
LEFT JOIN (
  SELECT sequence, kind, repository, tag, digest_before, digest_after, media_type, at_ns, changed_by, source
  FROM change_log WHERE sequence > ?1 AND sequence > {TRIMMED} ORDER BY sequence LIMIT ?3
) AS page
ORDER BY page.sequence
"""  # noqa: S608 (a statement of constants)
"""Selects a page of the log after an entry (sequence ?1; time ?2, or NULL), and whether a reader may go on."""

TAG_HISTORY = """
SELECT sequence, tag, digest_before, digest_after, at_ns, changed_by, source FROM change_log
WHERE repository = ?1 AND sequence < ?2 AND tag IS NOT NULL
  AND sequence > (SELECT created FROM repository WHERE name = ?1)
"""
"""Selects the tags' entries of a repository, columns in the order of TagChange's fields; a condition may follow."""

_STATE = f"""
SELECT {TRIMMED}, (SELECT max(sequence) FROM change_log),
  (SELECT max(sequence) FROM (
    SELECT sequence, at_ns FROM change_log WHERE sequence > {TRIMMED} ORDER BY sequence LIMIT ?1)
  WHERE at_ns <= ?2)
"""  # noqa: S608 (a statement of constants)
# What is the history of a tag stays: entries of repositories that exist, since their creation.
_DELETE = """
DELETE FROM change_log WHERE sequence > ?1 AND sequence <= ?2
  AND (tag IS NULL OR sequence <= coalesce(
    (SELECT created FROM repository WHERE name = change_log.repository), change_log.sequence))
"""
_DELETE_HISTORY = f"""
DELETE FROM change_log WHERE repository = ?1 AND tag IS NOT NULL AND sequence <= {TRIMMED}
"""  # noqa: S608 (a statement of constants)


def trim(scope: CatalogScope, command: TrimChanges) -> int:
    """Carry out TrimChanges."""
    bindings = (max(0, command.limit), command.until_ns(scope.now_ns))
    rows: list[Any] = scope.cursor.execute(_STATE, bindings).fetchall()
    ((trimmed, newest, aged),) = rows
    horizon = command.horizon(trimmed, newest or 0, aged or 0)
    if horizon > trimmed:
        scope.cursor.execute(_DELETE, (trimmed, horizon))
        scope.cursor.execute("UPDATE setting SET value = ? WHERE name = 'changes_trimmed'", (str(horizon),))
    dropped: int = horizon - trimmed
    return dropped


def delete_history(scope: RepositoryScope) -> None:
    """Delete what is kept of the repository as history of its tags alone, before it is removed."""
    scope.change(_DELETE_HISTORY)
