"""Finds the repository pattern that applies to a repository: the longest that matches.

Of two equally long patterns the literal applies, then the one listed first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import re2

from zot.config.globs import compile_glob, translate
from zot.oci.names import Repository

_META = frozenset("*?[]{}\\")

# Names come from clients, so the cache is bounded.
_CACHE_LIMIT = 8192

# An RE2 set that runs out of memory matches nothing. This is a bound, not a cost: states are built as names need them,
# and a thousand patterns need some kilobytes.
_SET_LIMIT_BYTES = 64 << 20


class Patterns:
    """An index of patterns: a lookup is one pass over the name, for any number of patterns."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Compile the patterns. Raises ValueError if one of them is not a valid glob."""
        self._lengths = [len(pattern) for pattern in patterns]
        self._literals: dict[str, int] = {}
        self._globs: list[int] = []
        options = re2.Options()
        options.max_mem = _SET_LIMIT_BYTES
        self._set = re2.Set.FullMatchSet(options)
        for index, pattern in enumerate(patterns):
            if _META.isdisjoint(pattern):
                self._literals.setdefault(pattern, index)
            else:
                compile_glob(pattern)  # raises clearer errors than the set
                self._set.Add(translate(pattern))
                self._globs.append(index)
        if self._globs:
            self._set.Compile()
        self.longest = lru_cache(maxsize=_CACHE_LIMIT)(self._longest)
        """Return the index of the pattern that applies to a repository, None if none matches."""

    def _longest(self, repository: Repository) -> int | None:
        literal = self._literals.get(repository)
        matching = [self._globs[number] for number in self._set.Match(repository) or ()] if self._globs else []
        best = max(matching, key=lambda index: (self._lengths[index], -index), default=None)
        if literal is not None and (best is None or self._lengths[best] <= len(repository)):
            return literal
        return best
