"""Split JSON into values without parsing them, as the bytes that were written.

A parser refuses a whole file for one bad byte in it. This module looks for strings and brackets only, so that one
unreadable entry of an `index.json` does not prevent reading the others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import Any

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_SPACE = re.compile(rb"[ \t\r\n]*+")
_SPACE_CHARACTER = re.compile(rb"[ \t\r\n]")
_TEXT = re.compile(_STRING, re.DOTALL)
# A quotation mark alone begins a string that does not end.
_BRACKET = re.compile(rb"[{}\[\]]|" + _STRING + rb'|"', re.DOTALL)
_SCALAR = re.compile(rb'[^\s,:{}\[\]"]++')
# An object with objects in it that have none: nearly every descriptor, in one step.
_FLAT = rb'\{(?:[^{}"]++|%b)*+\}'
_NESTED = _FLAT % (_STRING + rb"|" + _FLAT % _STRING)
_OBJECT = re.compile(_NESTED, re.DOTALL)
_NEXT_OBJECT = re.compile(rb"[ \t\r\n]*+,[ \t\r\n]*+(" + _NESTED + rb")", re.DOTALL)
_SPACES = re.compile(rb"(" + _STRING + rb")|[ \t\r\n]++", re.DOTALL)

_VALUE_LIMIT_BYTES = 16 * 1024 * 1024


class InvalidJsonError(ValueError):
    """The bytes are not JSON, or not of the expected form."""


def compact(value: bytes) -> bytes:
    """Return a value without the spaces and line breaks between its parts."""
    return _SPACES.sub(lambda found: found[1] or b"", value) if _SPACE_CHARACTER.search(value) else value


def members(value: bytes) -> list[tuple[bytes, bytes]] | None:
    """Return the keys and values of an object as they are written, compacted; None if it is not an object.

    The brackets of the value must match. Raises InvalidJsonError if there is no object between them.
    """
    value = compact(value)
    if not value.startswith(b"{"):
        return None
    found: list[tuple[bytes, bytes]] = []
    position = 1
    while value[position : position + 1] != b"}" or found:
        key = _TEXT.match(value, position)
        if key is None or value[key.end() : key.end() + 1] != b":":
            raise InvalidJsonError("an object lacks a key")
        end = _end(value, key.end() + 1)
        if end is None:
            raise InvalidJsonError("an object ends within a value")
        found.append((key[0], value[key.end() + 1 : end]))
        separator = value[end : end + 1]
        if separator == b"}":
            break
        if separator != b",":
            raise InvalidJsonError("an object has no comma between two members")
        position = end + 1
    return found


def parsed(value: bytes) -> Any:
    """Parse a value, with replacement characters for bytes that are not UTF-8.

    An object becomes a sorted list of its members after a brace: so keys may be duplicate, and their order makes no
    difference. Raises InvalidJsonError.
    """
    try:
        return json.loads(value.decode(errors="replace"), object_pairs_hook=_sorted)
    except (ValueError, RecursionError) as error:
        raise InvalidJsonError(str(error)[:200]) from error


def _sorted(pairs: list[tuple[str, Any]]) -> list[Any]:
    return ["{", *sorted(pairs, key=lambda pair: (pair[0], json.dumps(pair[1])))]


def text_of(value: bytes) -> str | None:
    """Return the text of a string value, or None if it is not a string."""
    try:
        found = json.loads(value.decode(errors="replace"))
    except (ValueError, RecursionError):
        return None
    # Half of a surrogate pair can be neither stored nor sent.
    return found.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if isinstance(found, str) else None


class _At(Enum):
    """The token that is expected next."""

    OPENING = auto()
    KEY_OR_END = auto()
    KEY = auto()
    COLON = auto()
    VALUE = auto()
    COMMA_OR_END = auto()
    ELEMENT_OR_END = auto()
    ELEMENT = auto()
    COMMA_OR_LIST_END = auto()
    NOTHING = auto()


class ArrayReader:
    """Reads an object with a long list as one member: yields the elements, and collects the other members."""

    def __init__(self, member: str) -> None:
        """Read the elements of the list `member`."""
        self._member = member
        self._at = _At.OPENING
        self._buffer = b""
        self._position = 0
        self._key = ""
        self.others: dict[str, bytes] = {}
        """Values of the other members."""
        self.has_list = False
        """Whether the list was present, even as null."""

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Iterate over the elements that are complete with this piece. Raises InvalidJsonError."""
        self._buffer = self._buffer[self._position :] + piece
        self._position = 0
        if len(self._buffer) > _VALUE_LIMIT_BYTES + len(piece):
            raise InvalidJsonError(f"a value of more than {_VALUE_LIMIT_BYTES} bytes")
        while True:
            # The fast path, for nearly all elements of a long list.
            while self._at is _At.COMMA_OR_LIST_END and (found := _NEXT_OBJECT.match(self._buffer, self._position)):
                if found.end() == len(self._buffer):
                    break
                self._position = found.end()
                yield found[1]
            self._position = _SPACE.match(self._buffer, self._position).end()  # type: ignore[union-attr] # it may be empty
            element = self._step(self._buffer[self._position : self._position + 1])
            if element is None:
                return
            if element:
                yield element

    def finish(self) -> None:
        """Raise InvalidJsonError unless the object is complete."""
        if self._at is not _At.NOTHING:
            raise InvalidJsonError("its end is missing")

    def _step(self, first: bytes) -> bytes | None:
        """Read the next token: return an element, empty bytes for any other token, None if it is incomplete."""
        if not first:
            return None
        match self._at:
            case _At.OPENING:
                self._expect(first, {b"{": _At.KEY_OR_END})
            case _At.KEY_OR_END if first == b"}":
                self._expect(first, {b"}": _At.NOTHING})
            case _At.KEY_OR_END | _At.KEY:
                found = _TEXT.match(self._buffer, self._position)
                if found is None:
                    return self._incomplete(first, b'"')
                self._key, self._at, self._position = text_of(found[0]) or "", _At.COLON, found.end()
            case _At.COLON:
                self._expect(first, {b":": _At.VALUE})
            case _At.VALUE if self._key == self._member and first == b"[":
                self.has_list = True
                self._expect(first, {b"[": _At.ELEMENT_OR_END})
            case _At.VALUE:
                value = self._value(_At.COMMA_OR_END)
                if value is None:
                    return None
                self._other(value)
            case _At.COMMA_OR_END:
                self._expect(first, {b",": _At.KEY, b"}": _At.NOTHING})
            case _At.ELEMENT_OR_END if first == b"]":
                self._expect(first, {b"]": _At.COMMA_OR_END})
            case _At.ELEMENT_OR_END | _At.ELEMENT:
                return self._value(_At.COMMA_OR_LIST_END)
            case _At.COMMA_OR_LIST_END:
                self._expect(first, {b",": _At.ELEMENT, b"]": _At.COMMA_OR_END})
            case _At.NOTHING:
                raise InvalidJsonError("there are bytes after its end")
        return b""

    def _other(self, value: bytes) -> None:
        if self._key != self._member:
            self.others[self._key] = value
        elif value == b"null":
            self.has_list = True
        else:
            raise InvalidJsonError(f"{self._member!r} is not a list")

    def _expect(self, first: bytes, next_by_sign: dict[bytes, _At]) -> None:
        if first not in next_by_sign:
            raise InvalidJsonError(f"{first!r} in place of {b' or '.join(next_by_sign)!r}")
        self._at = next_by_sign[first]
        self._position += 1

    def _value(self, then: _At) -> bytes | None:
        end = _end(self._buffer, self._position)
        # A number may continue in the next piece.
        if end is None or end == len(self._buffer):
            return None
        value = self._buffer[self._position : end]
        self._at, self._position = then, end
        return value

    @staticmethod
    def _incomplete(first: bytes, wanted: bytes) -> None:
        if first != wanted:
            raise InvalidJsonError(f"{first!r} in place of {wanted!r}")


def _end(text: bytes, start: int) -> int | None:
    """Return the end of the value that begins at `start`, or None if it is incomplete.

    Raises InvalidJsonError if no value begins there.
    """
    first = text[start : start + 1]
    if first == b"{" and (found := _OBJECT.match(text, start)):
        return found.end()
    if first in {b"{", b"["}:
        depth = 0
        for token in _BRACKET.finditer(text, start):
            sign = token[0]
            if sign == b'"':
                return None
            if len(sign) == 1:
                depth += 1 if sign in b"{[" else -1
                if depth == 0:
                    return token.end()
        return None
    found = (_TEXT if first == b'"' else _SCALAR).match(text, start)
    if found is None and first not in {b"", b'"'}:
        raise InvalidJsonError(f"{first!r} in place of a value")
    return found.end() if found else None
