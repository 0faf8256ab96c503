"""`index.json`, the list of a layout's manifests (image-spec image-layout.md): bytes to entries and back.

Each tag has a descriptor with the annotation `org.opencontainers.image.ref.name`; a manifest without a tag has one
descriptor without it. What other programs add to a descriptor or to the index is kept when it is written again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from zot.oci.digest import Digest, InvalidDigestError, parse_digest
from zot.oci.names import InvalidTagError, Tag, parse_tag

REF_NAME = "org.opencontainers.image.ref.name"
SHOWN = "dev.zotregistry.layout.shown"
"""Annotation of an index that we wrote: the time of the last tag change that it shows, in nanoseconds.

Programs that add to a layout keep it, so that it tells which of our exports they started from.
"""

# Our own form: a descriptor a line, so that a large index can be read a line at a time.
_OPENING = b'"manifests":['
_CLOSING = b"]}"
_CHUNK_BYTES = 64 * 1024

_OWN_FIELDS = frozenset({"mediaType", "digest", "size", "annotations"})


class LayoutBroken(Exception):
    """An `index.json` cannot be read as one; the message says why."""


class Entry(msgspec.Struct, frozen=True):
    """A descriptor of an index."""

    digest: Digest
    media_type: str
    size: int
    tag: Tag | None = None
    annotations: Mapping[str, str] = {}
    """Without the tag's."""
    others: Mapping[str, msgspec.Raw] = {}
    """Fields beyond those above, such as `platform`."""


class Head(NamedTuple):
    """What an index says beside its descriptors."""

    annotations: Mapping[str, str] = {}
    others: Mapping[str, msgspec.Raw] = {}

    @property
    def shown_ns(self) -> int | None:
        """The SHOWN mark, None if there is none."""
        text = self.annotations.get(SHOWN, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else None

    def showing(self, shown_ns: int) -> Head:
        """Return it with another mark."""
        return self._replace(annotations={**self.annotations, SHOWN: str(shown_ns)})


class Index(NamedTuple):
    """An index read whole."""

    head: Head = Head()
    entries: Sequence[Entry] = ()
    """In the order of `order`."""
    flaws: Sequence[str] = ()
    """What is wrong with the descriptors that were left out."""


class _Descriptor(msgspec.Struct, rename="camel"):
    media_type: str
    digest: str
    size: int
    annotations: dict[str, str] | None = None


class _Index(msgspec.Struct, rename="camel"):
    schema_version: int = 2
    manifests: list[msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET
    annotations: dict[str, str] | None = None


_descriptor = msgspec.json.Decoder(_Descriptor)
_index = msgspec.json.Decoder(_Index)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def order(entry: Entry) -> tuple[bool, str]:
    """Return the key by which entries are sorted: tags by name, then what has none by digest."""
    return (True, entry.digest) if entry.tag is None else (False, entry.tag)


def parse_ref_name(text: str) -> Tag | None:
    """Return the tag that a `ref.name` stands for, None if it is none.

    That is the text itself, or, as some programs write whole image names (`docker.io/library/alpine:3.20`), what
    stands behind the last colon of a name without its digest.
    """
    name = text.partition("@")[0]
    for candidate in (name, name.rpartition(":")[2]):
        try:
            tag = parse_tag(candidate)
        except InvalidTagError:
            continue
        return None if _is_digest(text) else tag
    return None


def _is_digest(text: str) -> bool:
    try:
        parse_digest(text)
    except InvalidDigestError:
        return False
    return True


def decode(content: bytes) -> Index:
    """Return an index; raise LayoutBroken if the bytes are none.

    A descriptor that is malformed is left out. Of two for one tag the first has it, as in zot.
    """
    head, descriptors = _decode(content)
    entries: list[Entry] = []
    flaws: list[str] = []
    tags: set[Tag] = set()
    for number, descriptor in enumerate(descriptors):
        try:
            entry = _entry(descriptor)
        except ValueError as error:
            flaws.append(f"descriptor {number}: {error}")
            continue
        if entry.tag in tags:
            flaws.append(f"descriptor {number}: tag {entry.tag!r} is taken by another one")
            entry = msgspec.structs.replace(entry, tag=None)
        elif entry.tag is not None:
            tags.add(entry.tag)
        entries.append(entry)
    return Index(head, sorted(entries, key=order), flaws)


def _decode(content: bytes) -> tuple[Head, Sequence[msgspec.Raw]]:
    try:
        index = _index.decode(content)
        others = _others(content, {"schemaVersion", "manifests", "annotations"})
    except (ValueError, RecursionError) as error:
        raise LayoutBroken(f"index.json is not an image index: {error}") from error
    if index.schema_version != 2:
        raise LayoutBroken(f"index.json has schemaVersion {index.schema_version}, not 2")
    if index.manifests is msgspec.UNSET:
        raise LayoutBroken("index.json has no 'manifests'")
    # Go programs write an empty list as null.
    return Head(index.annotations or {}, others), index.manifests or ()


def _entry(descriptor: bytes | msgspec.Raw) -> Entry:
    """Return a descriptor's entry; raise ValueError if it is malformed."""
    known = _descriptor.decode(descriptor)
    annotations = known.annotations or {}
    ref_name = annotations.pop(REF_NAME, None)
    return Entry(
        parse_digest(known.digest),
        known.media_type,
        known.size,
        parse_ref_name(ref_name) if ref_name is not None else None,
        annotations,
        _others(descriptor, _OWN_FIELDS),
    )


def _others(content: bytes | msgspec.Raw, known: Iterable[str]) -> dict[str, msgspec.Raw]:
    fields = _fields.decode(content)
    for name in known:
        fields.pop(name, None)
    # Without line breaks, and a copy: a Raw keeps all of the text alive that it was found in.
    return {name: msgspec.Raw(msgspec.json.format(value, indent=-1)) for name, value in fields.items()}


async def encode(head: Head, entries: AsyncIterator[Entry]) -> AsyncIterator[bytes]:
    """Write an index, in pieces, whatever its size. The same entries in the same order give the same bytes."""
    fields = {"schemaVersion": 2, **head.others}
    if head.annotations:
        fields["annotations"] = head.annotations
    pieces = [msgspec.json.encode(fields)[:-1] + b"," + _OPENING]
    size, separator = 0, b"\n"
    async for entry in entries:
        line = separator + msgspec.json.encode(_document(entry))
        pieces.append(line)
        size, separator = size + len(line), b",\n"
        if size >= _CHUNK_BYTES:
            yield b"".join(pieces)
            pieces, size = [], 0
    pieces.append(b"\n" + _CLOSING)
    yield b"".join(pieces)


def _document(entry: Entry) -> dict[str, object]:
    document: dict[str, object] = {
        "mediaType": entry.media_type,
        "digest": entry.digest,
        "size": entry.size,
        **entry.others,
    }
    annotations = dict(entry.annotations)
    if entry.tag is not None:
        annotations[REF_NAME] = entry.tag
    if annotations:
        document["annotations"] = annotations
    return document


class Listing(NamedTuple):
    """An index that is read piece by piece."""

    head: Head
    entries: AsyncIterator[Entry]
    """In the order of `order`. Raises LayoutBroken when the index turns out to be torn."""


async def read(content: AsyncIterator[bytes]) -> Listing | None:
    """Return the listing of an index that `encode` wrote, read a line at a time; None of any other.

    Raises LayoutBroken if its first line is none of an index.
    """
    lines = _lines(content)
    first = await anext(lines, b"")
    if not first.endswith(_OPENING):
        return None
    return Listing(_decode(first + _CLOSING)[0], _entries(lines))


async def _entries(lines: AsyncIterator[bytes]) -> AsyncIterator[Entry]:
    async for line in lines:
        if line == _CLOSING:
            return
        try:
            yield _entry(line.removesuffix(b","))
        except ValueError as error:
            raise LayoutBroken(f"index.json is torn: {error}") from error
    raise LayoutBroken("index.json is torn: its end is missing")


async def iterate(entries: Iterable[Entry]) -> AsyncIterator[Entry]:
    """Iterate over entries that are at hand."""
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
