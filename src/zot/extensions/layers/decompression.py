"""Decompresses layers piece by piece: gzip, zstd, or none. What a layer is, its first bytes say."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any, Protocol

PIECE_BYTES = 1 << 20
"""The most that one step decompresses: the memory of a layer, however far it expands."""
HEAD_BYTES = 512
"""How many first bytes `detect` looks at."""

_GZIP_WINDOW = 31
_ZSTD_WINDOW_LOG = 27
"""Windows of up to 128 MiB, as the zstd program accepts them by default."""


class LayerDamagedError(Exception):
    """The layer's bytes do not decompress; the message says where and why."""


class Compression(StrEnum):
    """How a layer is compressed."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


def detect(head: bytes) -> Compression | None:
    """Return how a layer is compressed that begins so; None: it is no archive that is known here.

    Media types are not asked: they are often wrong, and clients decide by the bytes as well.
    """
    if head.startswith(b"\x1f\x8b"):
        return Compression.GZIP
    # The second one is a frame that decompressors skip, of any of 16 numbers.
    if head.startswith(b"\x28\xb5\x2f\xfd") or (head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F):
        return Compression.ZSTD
    # A header of POSIX and GNU archives, or the end of an empty one. Older kinds have no mark: Docker refuses them too.
    if head[257:262] == b"ustar" or (len(head) >= HEAD_BYTES and not head.strip(b"\0")):
        return Compression.NONE
    return None


class _Decompressor(Protocol):
    """One member of gzip, or one frame of zstd."""

    @property
    def damage(self) -> type[Exception]:
        """What `step` raises for bytes that do not decompress."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def step(self, data: bytes) -> bytes:
        """Decompress at most PIECE_BYTES; empty: it needs more data, or has ended."""


class _Gzip:
    damage = zlib.error

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(_GZIP_WINDOW)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def step(self, data: bytes) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, PIECE_BYTES)


class _Zstd:
    def __init__(self) -> None:
        library = _zstd()
        self.damage: type[Exception] = library.ZstdError
        self._inner = library.ZstdDecompressor(
            options={library.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
        )

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inner.unused_data)

    def step(self, data: bytes) -> bytes:
        return bytes(self._inner.decompress(data, PIECE_BYTES))


def _zstd() -> Any:
    """Return Python's module for zstd: imported where a layer needs it."""
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415
    else:
        from backports import zstd  # noqa: PLC0415
    return zstd


_DECOMPRESSORS: dict[Compression, Callable[[], _Decompressor]] = {Compression.GZIP: _Gzip, Compression.ZSTD: _Zstd}


class LayerDecompressor:
    """Decompresses a layer whose bytes come in pieces; gzip members and zstd frames may follow each other."""

    def __init__(self, compression: Compression) -> None:
        """Begin with the first byte."""
        self._make = _DECOMPRESSORS.get(compression)
        self._current: _Decompressor | None = None
        self._members = 0

    @property
    def complete(self) -> bool:
        """Whether the layer may end here: no member has begun that has not ended."""
        return self._current is None and (self._members > 0 or self._make is None)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Yield what the next bytes of the layer decompress to, each piece at most PIECE_BYTES.

        Take all of it before the next call. Raises LayerDamagedError.
        """
        if self._make is None:
            for start in range(0, len(data), PIECE_BYTES):
                yield data[start : start + PIECE_BYTES]
            return
        while data:
            if self._current is None:
                if self._members and not data.strip(b"\0"):  # padding, which the gzip program takes as well
                    return
                self._current = self._make()
            piece = self._step(self._current, data)
            data = b""
            while piece:
                yield piece
                piece = b"" if self._current.eof else self._step(self._current, b"")
            if self._current.eof:
                data, self._current = self._current.unused_data, None
                self._members += 1

    @staticmethod
    def _step(current: _Decompressor, data: bytes) -> bytes:
        try:
            return current.step(data)
        except current.damage as error:
            raise LayerDamagedError(f"it does not decompress: {error}") from error
