"""Read BoltDB files (go.etcd.io/bbolt), the databases of zot. The files are neither written nor trusted.

A file consists of pages. Two alternating meta pages, of which the newer valid one counts, name the root of a tree of
branch and leaf pages. A bucket is a key whose value names another tree, or contains a small one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

_MAGIC, _VERSION = 0xED0CDAED, 2
_PAGE_SIZES = tuple(1 << bits for bits in range(9, 17))
_PAGE = struct.Struct("<QHHI")
_META = struct.Struct("<IIIIQQQQQ")
_CHECKSUM = struct.Struct("<Q")
_BRANCH = struct.Struct("<IIQ")
_LEAF = struct.Struct("<IIII")
_BUCKET = struct.Struct("<QQ")
_BRANCH_PAGE, _LEAF_PAGE = 0x01, 0x02
_IS_BUCKET = 0x01

Read = Callable[[int, int], bytes]
"""Returns bytes of a file by offset and length; fewer than the length only at the end."""


class InvalidBoltError(Exception):
    """The file is not a BoltDB file, or is damaged."""


class _Meta(NamedTuple):
    page_size: int
    root: int
    transaction: int


class BoltReader:
    """Reads one file. Blocks."""

    def __init__(self, read: Read, size_bytes: int) -> None:
        """Find the last committed state of a file of `size_bytes`. Raises InvalidBoltError."""
        self._read = read
        self._size_bytes = size_bytes
        metas = [found for size in _PAGE_SIZES for offset in (0, size) if (found := self._meta(offset, size))]
        if not metas:
            raise InvalidBoltError("neither of its meta pages is valid")
        self._state = max(metas, key=lambda meta: meta.transaction)

    def bucket(self, name: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over the keys and values of a bucket in the order of keys; over nothing if it is missing.

        Nested buckets are skipped. Raises InvalidBoltError.
        """
        for key, value, is_bucket in self._tree(self._state.root, set()):
            if key == name and is_bucket:
                yield from ((key, value) for key, value, nested in self._of_bucket(value) if not nested)

    def _of_bucket(self, value: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
        try:
            root, _ = _BUCKET.unpack_from(value)
        except struct.error as error:
            raise InvalidBoltError("a bucket without a root") from error
        # An inline bucket: its only page follows.
        return self._tree(root, set()) if root else self._leaf(value[_BUCKET.size :])

    def _meta(self, offset: int, page_size: int) -> _Meta | None:
        content = self._read(offset + _PAGE.size, _META.size + _CHECKSUM.size)
        if len(content) < _META.size + _CHECKSUM.size:
            return None
        magic, version, size, _, root, _, _, _, transaction = _META.unpack_from(content)
        if (magic, version, size) != (_MAGIC, _VERSION, page_size):
            return None
        (checksum,) = _CHECKSUM.unpack_from(content, _META.size)
        return _Meta(page_size, root, transaction) if checksum == _fnv1a(content[: _META.size]) else None

    def _tree(self, number: int, seen: set[int]) -> Iterator[tuple[bytes, bytes, bool]]:
        if number in seen:
            raise InvalidBoltError("a tree contains itself")
        seen.add(number)
        page = self._page(number)
        _, flags, count, _ = _PAGE.unpack_from(page)
        if flags & _LEAF_PAGE:
            yield from self._leaf(page)
        elif flags & _BRANCH_PAGE:
            for position in range(count):
                _, _, child = self._element(_BRANCH, page, position)
                yield from self._tree(child, seen)
        else:
            raise InvalidBoltError(f"page {number} does not belong to a tree")

    def _page(self, number: int) -> bytes:
        size = self._state.page_size
        if (number + 1) * size > self._size_bytes:
            raise InvalidBoltError(f"page {number} is beyond the end")
        head = self._read(number * size, _PAGE.size)
        own, _, _, overflow = _PAGE.unpack(head)
        if own != number:
            raise InvalidBoltError(f"page {number} has the number {own}")
        if (number + overflow + 1) * size > self._size_bytes:
            raise InvalidBoltError(f"page {number} ends beyond the end")
        return self._read(number * size, (overflow + 1) * size)

    def _leaf(self, page: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
        try:
            _, flags, count, _ = _PAGE.unpack_from(page)
        except struct.error as error:
            raise InvalidBoltError("a page without a header") from error
        if not flags & _LEAF_PAGE:
            raise InvalidBoltError("a bucket's page is not a leaf")
        for position in range(count):
            flags, start, key_size, value_size = self._element(_LEAF, page, position)
            # The offset counts from the element.
            begin = _PAGE.size + position * _LEAF.size + start
            middle, end = begin + key_size, begin + key_size + value_size
            if end > len(page):
                raise InvalidBoltError("an entry ends beyond its page")
            yield page[begin:middle], page[middle:end], bool(flags & _IS_BUCKET)

    @staticmethod
    def _element(kind: struct.Struct, page: bytes, position: int) -> tuple[int, ...]:
        try:
            return kind.unpack_from(page, _PAGE.size + position * kind.size)
        except struct.error as error:
            raise InvalidBoltError("a page has fewer entries than its header says") from error


def _fnv1a(content: bytes) -> int:
    """Return the 64-bit FNV-1a hash, the checksum of meta pages."""
    value = 0xCBF29CE484222325
    for byte in content:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value
