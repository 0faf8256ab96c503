"""Names of files in pages and addresses: any bytes, as text that hides nothing, and back.

A backslash and what is not printable, such as a control character, a character that turns the direction of the text
around, or a byte that is no UTF-8, is written as `\\\\` or `\\xNN`.
"""

from __future__ import annotations

import re

_ESCAPED = re.compile(rb"\\(?:(\\)|x([0-9a-f]{2}))")


def shown_name(name: bytes) -> str:
    """Return a name or path as text of printable characters."""
    return "".join(_shown(character) for character in name.decode("utf-8", "surrogateescape"))


def _shown(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def named(text: str) -> bytes:
    """Return the name that `shown_name` has shown so; a backslash that it does not write stands for itself."""
    return _ESCAPED.sub(_byte, text.encode("utf-8", "surrogatepass"))


def _byte(found: re.Match[bytes]) -> bytes:
    return b"\\" if found[1] else bytes.fromhex(found[2].decode())
