"""Regular expressions of the configuration, in RE2 syntax as in Go: matching takes time linear in the text."""

from __future__ import annotations

from typing import Protocol, cast

import re2


class Regex(Protocol):
    """A compiled expression. Both methods return a true value if the text matches."""

    def search(self, text: str) -> object:
        """Find a match anywhere in `text`."""

    def fullmatch(self, text: str) -> object:
        """Match the whole of `text`."""


def compile_regex(pattern: str) -> Regex:
    """Compile an RE2 expression; raise ValueError with the reason if its syntax is invalid."""
    options = re2.Options()
    options.log_errors = False
    try:
        return cast("Regex", re2.compile(pattern, options))
    except re2.error as error:
        reason = error.args[0]
        reason = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason
        raise ValueError(f"{pattern!r} is not a regular expression: {reason}") from None
