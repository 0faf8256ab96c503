"""Shows the beginning of a file as text, if it is text."""

from __future__ import annotations

import codecs
import re

SHOWN_BYTES = 128 << 10
"""The most that is shown of a file."""

_BINARY = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f]")
_UNSEEN = re.compile("[\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""Characters that have no look of their own, and those that turn the direction of the text around."""


def as_text(content: bytes) -> str | None:
    """Return the beginning of a file as text; None: it is binary.

    It is UTF-8, UTF-16 with a mark of its byte order, or Latin-1, whichever fits first. A character that is cut off at
    the end is left out, and those that cannot be seen are written as their numbers.
    """
    text = _decoded(content)
    if text is None or _BINARY.search(text):
        return None
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _decoded(content: bytes) -> str | None:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    elif b"\0" in content:
        return None
    else:
        encodings = ["utf-8-sig", "latin-1"]
    for encoding in encodings:
        try:
            return codecs.getincrementaldecoder(encoding)().decode(content)
        except UnicodeDecodeError:
            continue
    return None
