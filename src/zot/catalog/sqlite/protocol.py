"""How commands travel to the writer's process and outcomes back: frames on a Unix socket.

A frame is four bytes of length, big-endian, and that many bytes of MessagePack: a command on the way there, an
`Answer` on the way back. Many commands are under way on a connection, and answers name them by id.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from zot.catalog.command import Command
from zot.catalog.interface import CatalogError, CatalogFullError, CatalogUnavailableError, LeaseEndedError
from zot.catalog.sqlite.codec import decode_outcome, encode

FRAME_LIMIT_BYTES = 64 << 20
"""Far above a manifest; one command of an import has to stay below."""

_LENGTH_BYTES = 4
_ERRORS = {kind.__name__: kind for kind in (CatalogError, CatalogFullError, CatalogUnavailableError, LeaseEndedError)}


class FrameTooLargeError(CatalogError):
    """The command is larger than a frame may be."""


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """What came of the command of this id: an outcome, or the name and text of an error."""

    id: str
    outcome: msgspec.Raw
    error: str = ""
    text: str = ""


_decode_answer = msgspec.msgpack.Decoder(Reply).decode


def frame(content: bytes) -> bytes:
    """Return content as a frame. Raises FrameTooLargeError."""
    if len(content) > FRAME_LIMIT_BYTES:
        raise FrameTooLargeError(f"a command of {len(content)} bytes, the limit is {FRAME_LIMIT_BYTES}")
    return len(content).to_bytes(_LENGTH_BYTES, "big") + content


def answer_frame(command: Command[Any], outcome: Any) -> bytes:
    """Return the frame that answers a command with its outcome or CatalogError."""
    if isinstance(outcome, CatalogError):
        return frame(encode((command.id, None, type(outcome).__name__, str(outcome))))
    return frame(encode((command.id, outcome)))


def read_answer(content: bytes) -> Reply:
    """Return the answer that a frame's content stands for."""
    return _decode_answer(content)


def outcome_of(answer: Reply, command: Command[Any]) -> Any:
    """Return the outcome, or the CatalogError, that answers the command."""
    if answer.error:
        return _ERRORS[answer.error](answer.text)
    return decode_outcome(type(command), answer.outcome)


class Frames:
    """Cuts a stream of bytes into the contents of frames."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._pending = bytearray()

    def feed(self, received: bytes) -> Iterator[bytes]:
        """Yield the contents of the frames that are complete now. Raises FrameTooLargeError, and then it is over."""
        # Frames mostly arrive whole: then nothing is kept, and each is copied once.
        stream: bytes | bytearray = received
        if self._pending:
            self._pending += received
            stream = self._pending
        start = 0
        while len(stream) - start >= _LENGTH_BYTES:
            begin = start + _LENGTH_BYTES
            length = int.from_bytes(stream[start:begin], "big")
            if length > FRAME_LIMIT_BYTES:
                raise FrameTooLargeError(f"a frame of {length} bytes, the limit is {FRAME_LIMIT_BYTES}")
            if len(stream) - begin < length:
                break
            yield bytes(stream[begin : begin + length])
            start = begin + length
        if stream is received:
            self._pending += received[start:]
        else:
            del self._pending[:start]
