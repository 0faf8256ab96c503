"""What the repositories of a quota hold together: summed up once, then updated by the one writer.

It costs a pass over the repositories that a pattern may match when its quota is first asked for, and after a commit
that failed; from then on each change of bytes goes through here. So a commit costs the same however many there are.
"""

from __future__ import annotations

import apsw

from zot.catalog.quotas import matches
from zot.config.globs import literal_prefix
from zot.oci.names import Repository

Patterns = tuple[str, ...]

_HELD = "SELECT name, bytes FROM repository WHERE name >= ? AND name < ?"
# Behind every character that a name has.
_LAST = "\x7f"
# A configuration has fewer; after a reload the old ones are not used any more.
_KNOWN_LIMIT = 1000


class QuotaTotals:
    """The totals by patterns, as the writer's open transaction has them."""

    def __init__(self) -> None:
        """Know none yet."""
        self._known: dict[Patterns, int] = {}

    def of(self, cursor: apsw.Cursor, patterns: Patterns) -> int:
        """Return what the repositories that match hold together."""
        known = self._known.get(patterns)
        if known is None:
            if len(self._known) >= _KNOWN_LIMIT:
                self.forget()
            known = self._known[patterns] = _added_up(cursor, patterns)
        return known

    def add(self, repository: Repository, growth_bytes: int) -> None:
        """Count what a repository gained, or lost."""
        for patterns in self._known:
            if matches(patterns, repository):
                self._known[patterns] += growth_bytes

    def forget(self) -> None:
        """Discard the totals: what was counted has not been committed."""
        self._known.clear()


def _added_up(cursor: apsw.Cursor, patterns: Patterns) -> int:
    held: dict[Repository, int] = {}
    for prefix in {literal_prefix(pattern) for pattern in patterns}:
        held.update(cursor.execute(_HELD, (prefix, f"{prefix}{_LAST}")))
    return sum(each for name, each in held.items() if matches(patterns, name))
