"""Globs over repository names, in the syntax of zot (bmatcuk/doublestar).

    *        any characters but `/`
    **       as a whole component: any number of components; a last `/**` includes its slash, so `a/**` matches `a`
    ?        one character but `/`
    [a-z]    one of these characters; `[^a-z]` or `[!a-z]` one that is not
    {a,b}    one of these patterns
    \\c       the character c itself

Each glob is translated into an RE2 expression, so that matching takes time linear in the name for every pattern.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import re2

from zot.config.regexes import Regex, compile_regex

if TYPE_CHECKING:
    from collections.abc import Iterator

LENGTH_LIMIT = 4096
ALTERNATIVES_LIMIT = 1000

_COMPONENTS = "(?:[^/]*/)*"


class Glob:
    """A compiled glob, made by `compile_glob`."""

    __slots__ = ("_regex", "pattern")

    def __init__(self, pattern: str, regex: Regex) -> None:
        self.pattern = pattern
        self._regex = regex

    def __repr__(self) -> str:
        return f"Glob({self.pattern!r})"

    def matches(self, name: str) -> bool:
        """Tell whether the glob matches the whole of `name`."""
        return self._regex.fullmatch(name) is not None


@lru_cache(maxsize=4096)
def compile_glob(pattern: str) -> Glob:
    """Compile a glob.

    Raises ValueError if the pattern is malformed, has more than LENGTH_LIMIT characters, or stands for more than
    ALTERNATIVES_LIMIT patterns without braces.
    """
    return Glob(pattern, compile_regex(translate(pattern)))


def literal_prefix(pattern: str) -> str:
    """Return the prefix that all names matched by the glob share."""
    special = next((i for i, character in enumerate(pattern) if character in "*?[{\\"), None)
    # `a/**` matches `a`.
    return pattern if special is None else pattern[:special].rstrip("/")


def translate(pattern: str) -> str:
    """Translate a glob into an RE2 expression for a full match.

    Raises ValueError as `compile_glob` does.
    """
    if len(pattern) > LENGTH_LIMIT:
        raise ValueError(f"a pattern has at most {LENGTH_LIMIT} characters")
    return "(?s)(?:" + "|".join(_translate(alternative) for alternative in _alternatives(pattern)) + ")"


def _alternatives(pattern: str) -> list[str]:
    """Expand the braces of a pattern."""
    open_patterns, done = [pattern], []
    while open_patterns:
        current = open_patterns.pop()
        braces = _first_braces(current)
        if braces is None:
            done.append(current)
            continue
        before, after = current[: braces[0]], current[braces[-1] + 1 :]
        open_patterns += [before + current[start + 1 : end] + after for start, end in pairwise(braces)]
        if len(open_patterns) + len(done) > ALTERNATIVES_LIMIT:
            raise ValueError(f"{pattern!r} has more than {ALTERNATIVES_LIMIT} alternatives")
    return done


def _first_braces(pattern: str) -> list[int] | None:
    """Return the positions of the first pair of braces and of its commas, in order; None without braces."""
    cuts: list[int] = []
    depth = 0
    for position, term in _terms(pattern):
        if term == "{":
            depth += 1
            if depth == 1:
                cuts = [position]
        elif term == "," and depth == 1:
            cuts.append(position)
        elif term == "}":
            if depth == 0:
                raise ValueError(f"{pattern!r} closes a brace that is not open")
            depth -= 1
            if depth == 0:
                return [*cuts, position]
    if depth:
        raise ValueError(f"{pattern!r} has a brace that is not closed")
    return None


def _terms(pattern: str) -> Iterator[tuple[int, str]]:
    """Iterate over the position and text of each character, escaped character and character class."""
    position = 0
    while position < len(pattern):
        end = position + 1
        if pattern[position] == "\\":
            end += 1
        elif pattern[position] == "[":
            end = _class_end(pattern, position)
        if end > len(pattern):
            raise ValueError(f"{pattern!r} ends in a backslash")
        yield position, pattern[position:end]
        position = end


def _class_end(pattern: str, start: int) -> int:
    first = position = start + 2 if pattern[start + 1 : start + 2] in ("^", "!") else start + 1
    while position < len(pattern) and pattern[position] != "]":
        position += 2 if pattern[position] == "\\" else 1
    if position >= len(pattern):
        raise ValueError(f"{pattern!r} has a character class that is not closed")
    if position == first:
        raise ValueError(f"{pattern!r} has an empty character class")
    return position + 1


def _translate(pattern: str) -> str:
    terms = [term for _, term in _terms(pattern)]
    expression = ""
    position = 0
    while position < len(terms):
        rest = terms[position : position + 5]  # enough to recognize `/**/` and whether the pattern ends there
        starts_component = position == 0 or terms[position - 1] == "/"
        if rest in (["/", "*", "*"], ["/", "*", "*", "/"]):
            return expression + ("(?:/.*)?" if len(rest) == 3 else f"(?:/{_COMPONENTS})?")
        if starts_component and rest == ["*", "*"]:
            return expression + ".*"
        if starts_component and rest[:3] == ["*", "*", "/"]:
            expression += _COMPONENTS
            position += 3
            continue
        expression += _translate_term(terms[position])
        position += 1
    return expression


def _translate_term(term: str) -> str:
    if term == "*":
        return "[^/]*"
    if term == "?":
        return "[^/]"
    if term.startswith("["):
        return _translate_class(term)
    return str(re2.escape(term[-1]))


def _translate_class(term: str) -> str:
    inside = term[1:-1]
    negated = inside[0] in "^!"
    members = _class_members(inside[1:] if negated else inside)
    ranges = ""
    position = 0
    while position < len(members):
        low = members[position]
        is_range = position + 2 < len(members) and members[position + 1] == "-"
        high = max(low[-1], members[position + 2][-1]) if is_range else low[-1]
        ranges += rf"\x{{{ord(low[-1]):x}}}-\x{{{ord(high):x}}}"
        position += 3 if is_range else 1
    return f"[{'^' if negated else ''}{ranges}]"


def _class_members(inside: str) -> list[str]:
    members = []
    position = 0
    while position < len(inside):
        end = position + (2 if inside[position] == "\\" else 1)
        members.append(inside[position:end])
        position = end
    return members
