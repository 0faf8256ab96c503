"""Read Protocol Buffers (protobuf.dev, Encoding), as far as zot's records need it."""

from __future__ import annotations

from collections.abc import Iterator


class InvalidProtobufError(ValueError):
    """The bytes are not a message."""


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Iterate over the fields of a message: number, and an integer or bytes. Raises InvalidProtobufError.

    Integers are unsigned as on the wire; `signed` converts an int64. Fields of fixed width are bytes.
    """
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, position = _varint(message, position)
            yield number, value
            continue
        if kind == 2:
            length, position = _varint(message, position)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise InvalidProtobufError(f"a field of wire type {kind}")
        if position + length > len(message):
            raise InvalidProtobufError("a field ends beyond its message")
        yield number, message[position : position + length]
        position += length


def signed(value: int) -> int:
    """Return the signed value of an int64 on the wire."""
    return value - (1 << 64) if value >> 63 else value


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(message) or shift > 63:
            raise InvalidProtobufError("an integer without an end")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value & ((1 << 64) - 1), position
