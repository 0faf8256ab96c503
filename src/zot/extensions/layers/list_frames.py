"""What the process that makes a list writes to its output: frames of a length and a message."""

from __future__ import annotations

import struct
from typing import BinaryIO

import msgspec

from zot.extensions.layers.interface import LayerFile

HEAD = struct.Struct(">I")
FRAME_LIMIT_BYTES = 16 << 20
"""A longer frame is no frame."""


class FilesListed(msgspec.Struct, frozen=True, tag="files"):
    """Some files, in the order of the archive."""

    files: list[LayerFile]


class ListEnded(msgspec.Struct, frozen=True, tag="end"):
    """The end of the list: nothing follows."""

    is_archive: bool
    compression: str
    size: int
    note: str


Frame = FilesListed | ListEnded

_decoder = msgspec.msgpack.Decoder(Frame)
_encoder = msgspec.msgpack.Encoder()


def write_frame(output: BinaryIO, frame: Frame) -> None:
    """Write a frame. Raises OSError."""
    content = _encoder.encode(frame)
    output.write(HEAD.pack(len(content)) + content)
    output.flush()


def decode_frame(content: bytes) -> Frame:
    """Return the message of a frame. Raises msgspec.DecodeError, msgspec.ValidationError."""
    frame: Frame = _decoder.decode(content)
    return frame
