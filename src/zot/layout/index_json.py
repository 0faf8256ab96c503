"""Read and write `index.json`, the list of a layout's manifests (image-spec image-layout.md).

Each tag has a descriptor with the annotation `org.opencontainers.image.ref.name`, and a manifest without a tag has one
without it; the carried entries follow. Fields that other programs add to a descriptor or to the index are kept when it
is written again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from zot.layout.index_entry import IndexEntry, encode_entry, order, read_entry
from zot.layout.json_text import ArrayReader, InvalidJsonError, compact, members, text_of

SHOWN = "dev.zotregistry.layout.shown"
"""Annotation of an exported index: the time of the last tag change that it shows, in nanoseconds.

Programs that add to a layout keep it, so that it identifies the export that they started from.
"""

# Our own form has one descriptor a line, so that a large index can be read line by line.
_OPENING = b'"manifests":['
_CLOSING = b"]}"
_CHUNK_BYTES = 64 * 1024


class InvalidLayoutError(Exception):
    """An `index.json` cannot be parsed; the message says why."""


class IndexHead(NamedTuple):
    """The fields of an index other than its descriptors."""

    annotations: Mapping[str, msgspec.Raw] = {}
    """As they are written."""
    others: Mapping[str, msgspec.Raw] = {}

    @property
    def shown_ns(self) -> int | None:
        """The value of the SHOWN annotation, or None."""
        text = text_of(bytes(self.annotations.get(SHOWN, b""))) or ""
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else None

    def showing(self, shown_ns: int) -> IndexHead:
        """Return a copy with another SHOWN annotation."""
        return self._replace(annotations={**self.annotations, SHOWN: msgspec.Raw(b'"%d"' % shown_ns)})


class Index(NamedTuple):
    """A parsed index."""

    head: IndexHead = IndexHead()
    entries: Sequence[IndexEntry] = ()
    """In the order of `order`."""
    unreadable: Sequence[bytes] = ()
    """Descriptors without a valid digest, as they are written."""


class IndexReader:
    """Reads an index of any writer piece by piece, and yields its descriptors as they are written."""

    def __init__(self) -> None:
        """Start before the first piece."""
        self._reader = ArrayReader("manifests")

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Iterate over the descriptors that are complete with this piece. Raises InvalidLayoutError."""
        try:
            yield from self._reader.feed(piece)
        except InvalidJsonError as error:
            raise _broken(error) from error

    def finish(self) -> IndexHead:
        """Return the fields other than the descriptors. Raises InvalidLayoutError if it is torn or not an index."""
        try:
            self._reader.finish()
            return _head(self._reader)
        except InvalidJsonError as error:
            raise _broken(error) from error


def entry_of(descriptor: bytes) -> IndexEntry | None:
    """Return a descriptor's entry, or None if it has no valid digest. Raises InvalidLayoutError."""
    try:
        return read_entry(descriptor)
    except InvalidJsonError as error:
        raise _broken(error) from error


def decode(content: bytes) -> Index:
    """Parse an index. Raises InvalidLayoutError."""
    reader = IndexReader()
    entries: list[IndexEntry] = []
    unreadable: list[bytes] = []
    for start in range(0, len(content), _CHUNK_BYTES):
        for descriptor in reader.feed(content[start : start + _CHUNK_BYTES]):
            entry = entry_of(descriptor)
            if entry is None:
                unreadable.append(descriptor)
            else:
                entries.append(entry)
    head = reader.finish()
    entries.sort(key=order)
    return Index(head, entries, unreadable)


def _head(reader: ArrayReader) -> IndexHead:
    others = dict(reader.others)
    version = others.pop("schemaVersion", b"2")
    if version != b"2":
        raise InvalidLayoutError(f"index.json has schemaVersion {version[:20]!r}, not 2")
    if not reader.has_list:
        raise InvalidLayoutError("index.json has no 'manifests'")
    annotations = members(others.pop("annotations", b"{}")) or ()
    return IndexHead(
        {text_of(key) or "": msgspec.Raw(value) for key, value in annotations},
        {key: msgspec.Raw(compact(value)) for key, value in others.items()},
    )


def _broken(error: InvalidJsonError) -> InvalidLayoutError:
    return InvalidLayoutError(f"index.json is not an image index: {error}")


async def encode(head: IndexHead, entries: AsyncIterator[IndexEntry | bytes]) -> AsyncIterator[bytes]:
    """Encode an index of any size in pieces. Equal entries in equal order give equal bytes.

    An entry of bytes is a descriptor that is written as it is.
    """
    pieces = [_opening(head)]
    size, separator = 0, b"\n"
    async for entry in entries:
        line = separator + _line(entry)
        pieces.append(line)
        size, separator = size + len(line), b",\n"
        if size >= _CHUNK_BYTES:
            yield b"".join(pieces)
            pieces, size = [], 0
    pieces.append(b"\n" + _CLOSING)
    yield b"".join(pieces)


def encode_whole(head: IndexHead, entries: Iterable[IndexEntry | bytes]) -> bytes:
    """Encode an index of few entries, as `encode` does."""
    lines = b",\n".join(map(_line, entries))
    return _opening(head) + (b"\n" if lines else b"") + lines + b"\n" + _CLOSING


def _opening(head: IndexHead) -> bytes:
    fields = {"schemaVersion": 2, **head.others}
    if head.annotations:
        fields["annotations"] = head.annotations
    return msgspec.json.encode(fields)[:-1] + b"," + _OPENING


def _line(entry: IndexEntry | bytes) -> bytes:
    return entry if isinstance(entry, bytes) else encode_entry(entry)


class IndexListing(NamedTuple):
    """An index that is being read line by line."""

    head: IndexHead
    entries: AsyncIterator[IndexEntry]
    """In the order of `order`, then the carried ones with a valid digest.

    Raises InvalidLayoutError if the index is torn.
    """


async def read(content: AsyncIterator[bytes]) -> IndexListing | None:
    """Return the listing of an index that `encode` wrote, read line by line; None for any other index.

    Raises InvalidLayoutError if its first line does not begin an index.
    """
    lines = _lines(content)
    first = await anext(lines, b"")
    if not first.endswith(_OPENING):
        return None
    reader = IndexReader()
    for _ in reader.feed(first + _CLOSING):
        pass
    return IndexListing(reader.finish(), _entries(lines))


async def _entries(lines: AsyncIterator[bytes]) -> AsyncIterator[IndexEntry]:
    async for line in lines:
        if line == _CLOSING:
            return
        entry = entry_of(line.removesuffix(b","))
        if entry is not None:
            yield entry
    raise InvalidLayoutError("index.json is torn: its end is missing")


async def iterate(entries: Iterable[IndexEntry]) -> AsyncIterator[IndexEntry]:
    """Iterate over entries in memory."""
    for entry in entries:
        yield entry


async def _lines(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    begun: list[bytes] = []
    async for piece in content:
        first, *others = piece.split(b"\n")
        begun.append(first)
        for other in others:
            yield b"".join(begun)
            begun = [other]
    yield b"".join(begun)
