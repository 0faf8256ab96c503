"""Check that globs and regular expressions compile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zot.config.errors import ConfigProblem
from zot.config.globs import compile_glob
from zot.config.regexes import compile_regex

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def globs(patterns: Iterable[str], key: str, text: str) -> Iterator[ConfigProblem]:
    """Return a problem with `text` for each invalid glob; `key` is the path of their key."""
    for pattern in patterns:
        try:
            compile_glob(pattern)
        except ValueError as error:
            yield ConfigProblem(f"{text}: {pattern}", key, str(error))


def regexes(patterns: Iterable[str], key: str, text: str) -> Iterator[ConfigProblem]:
    """Return a problem with `text` for each invalid regular expression; `key` is the path of their key."""
    for pattern in patterns:
        try:
            compile_regex(pattern)
        except ValueError as error:
            yield ConfigProblem(f"{text}: {pattern}", key, str(error))
