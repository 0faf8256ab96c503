"""Which of many repository patterns holds for a repository: the longest that matches.

Of two equally long ones the literal holds, then the one listed first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import re2

from zot.config.globs import compile_glob, translate
from zot.oci.names import Repository

_META = frozenset("*?[]{}\\")

# Names come from clients: what is remembered of them is bounded.
_REMEMBERED = 8192

# A set that has no memory left matches nothing. This is a bound, not a cost: states are made as names need them, and
# a thousand patterns need some kilobytes.
_SET_LIMIT_BYTES = 64 << 20


class Patterns:
    """An index over patterns: one pass over the name, however many patterns there are."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Compile; raise ValueError if one of them is no glob."""
        self._lengths = [len(pattern) for pattern in patterns]
        self._literals: dict[str, int] = {}
        self._globs: list[int] = []
        options = re2.Options()
        options.max_mem = _SET_LIMIT_BYTES
        self._set = re2.Set.FullMatchSet(options)
        for place, pattern in enumerate(patterns):
            if _META.isdisjoint(pattern):
                self._literals.setdefault(pattern, place)
            else:
                compile_glob(pattern)  # for its errors; a set tells less
                self._set.Add(translate(pattern))
                self._globs.append(place)
        if self._globs:
            self._set.Compile()
        self.longest = lru_cache(maxsize=_REMEMBERED)(self._longest)
        """Return the place of the pattern that holds for a repository, None if none matches."""

    def _longest(self, repository: Repository) -> int | None:
        literal = self._literals.get(repository)
        matching = [self._globs[place] for place in self._set.Match(repository) or ()] if self._globs else []
        best = max(matching, key=lambda place: (self._lengths[place], -place), default=None)
        if literal is not None and (best is None or self._lengths[best] <= len(repository)):
            return literal
        return best
