"""Regular expressions that users write: RE2 syntax, matched in time linear in the text, as in Go programs."""

from __future__ import annotations

from typing import Protocol, cast

import re2


class Regex(Protocol):
    """A compiled expression; a result is true if it matched."""

    def search(self, text: str) -> object:
        """Look for a match anywhere in `text`."""

    def fullmatch(self, text: str) -> object:
        """Match the whole of `text`."""


def compile_regex(pattern: str) -> Regex:
    """Return the compiled expression; raise ValueError, which says what is wrong, if it is not RE2 syntax."""
    options = re2.Options()
    options.log_errors = False
    try:
        return cast("Regex", re2.compile(pattern, options))
    except re2.error as error:
        reason = error.args[0]
        reason = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason
        raise ValueError(f"{pattern!r} is not a regular expression: {reason}") from None
