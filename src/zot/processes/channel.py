"""The channel from a process to its supervisor: a pipe with frames of a kind and a content."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator

_HEAD = struct.Struct(">cI")
_READ_BYTES = 1 << 16

READY = b"R"
"""Kind of the frame that a process sends once it does its work; it has no content."""


class ChannelSender:
    """The process's end."""

    def __init__(self, descriptor: int) -> None:
        """Own the descriptor."""
        self._descriptor = descriptor
        self._sending = threading.Lock()

    def send(self, kind: bytes, content: bytes = b"") -> None:
        """Send a frame; without a supervisor do nothing. It blocks while the pipe is full."""
        frame = memoryview(_HEAD.pack(kind, len(content)) + content)
        with self._sending:
            try:
                while frame:
                    frame = frame[os.write(self._descriptor, frame) :]
            except BrokenPipeError:
                return


class ChannelReceiver:
    """The supervisor's end."""

    def __init__(self, descriptor: int) -> None:
        """Own the descriptor."""
        self.descriptor = descriptor
        self._received = bytearray()
        self.ended = False

    def receive(self) -> Iterator[tuple[bytes, bytes]]:
        """Read once from the pipe and yield the complete frames. It blocks if the pipe is empty."""
        read = os.read(self.descriptor, _READ_BYTES)
        self.ended = not read
        self._received += read
        while len(self._received) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(self._received)
            end = _HEAD.size + length
            if len(self._received) < end:
                return
            content = bytes(self._received[_HEAD.size : end])
            del self._received[:end]
            yield kind, content

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.descriptor)
