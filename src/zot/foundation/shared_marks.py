"""A set in memory that the processes of a server share: what one of them has found, the others need not find again."""

from __future__ import annotations

from hashlib import blake2b
from mmap import mmap

_SLOTS = 1 << 16
_BYTES = 16
"""Of the hash of a mark: two marks with one hash do not occur."""


class SharedMarks:
    """Marks that processes forked after this was made share. A mark may be lost, and never appears by itself.

    Each has one place, by its hash: a later mark of that place replaces it. While it is written another process may
    read parts of two hashes, which are the hash of no mark.
    """

    def __init__(self) -> None:
        """Begin without marks."""
        self._memory = mmap(-1, _SLOTS * _BYTES)

    def add(self, mark: str) -> None:
        """Set a mark. Idempotent."""
        key, place = _key(mark)
        self._memory[place : place + _BYTES] = key

    def __contains__(self, mark: str) -> bool:
        key, place = _key(mark)
        return self._memory[place : place + _BYTES] == key


def _key(mark: str) -> tuple[bytes, int]:
    key = blake2b(mark.encode(), digest_size=_BYTES).digest()
    return key, int.from_bytes(key[:4], "little") % _SLOTS * _BYTES
