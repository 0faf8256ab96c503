"""One entry of `index.json`: a descriptor, parsed leniently, and written again without loss."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping

import msgspec

from zot.catalog.rows import CarriedEntry, Unread
from zot.layout import json_text
from zot.oci.digest import Digest, InvalidDigestError, parse_digest
from zot.oci.manifest import MEDIA_TYPE
from zot.oci.names import InvalidTagError, Tag, parse_tag

REF_NAME = "org.opencontainers.image.ref.name"

_OWN_FIELDS = frozenset({"mediaType", "digest", "size", "annotations"})
_PLAIN_TEXT = re.compile(rb'"[ !#-\[\]-~]*+"')
_REPLACEMENT = "\ufffd"
_NOTHING: Mapping[str, msgspec.Raw] = {}


class IndexEntry(msgspec.Struct, frozen=True):
    """A descriptor of an index with a valid digest."""

    digest: Digest
    media_type: str
    size: int
    tag: Tag | None = None
    """The tag that the name stands for, if there is one."""
    annotations: Mapping[str, msgspec.Raw] = _NOTHING
    """The annotations but the name, as they are written."""
    others: Mapping[str, msgspec.Raw] = _NOTHING
    """Fields beyond those above, such as `platform`, as they are written."""
    name: str | None = None
    """The `ref.name` annotation, if it is not the tag itself."""
    line: bytes = b""
    """The descriptor as it is written, if the fields above lose something of it."""

    @property
    def ref_name(self) -> str | None:
        """The `ref.name` annotation."""
        return self.name if self.name is not None else self.tag


def order(entry: IndexEntry) -> tuple[bool, str]:
    """Return the sort key of an entry: tags by name, then entries without a tag by digest."""
    return (True, entry.digest) if entry.tag is None else (False, entry.tag)


def parse_ref_name(text: str) -> Tag | None:
    """Return the tag that a `ref.name` stands for, or None.

    That is the text itself. Some programs write whole image names (`docker.io/library/alpine:3.20`): then it is the
    part after the last colon, without the digest.
    """
    name, at, digest = text.partition("@")
    if at and _digest(digest) is None:
        return None
    for candidate in (name, name.rpartition(":")[2]):
        try:
            tag = parse_tag(candidate)
        except InvalidTagError:
            continue
        return None if _digest(text) else tag
    return None


def read_entry(descriptor: bytes) -> IndexEntry | None:
    """Return a descriptor's entry, or None if it has no valid digest. Raises InvalidJsonError.

    Whatever else is wrong with it is kept in `line`.
    """
    fields = _fields(descriptor)
    if fields is None or (digest := _digest(_text(fields, "digest"))) is None:
        return None
    media_type, size = _text(fields, "mediaType"), _size(fields.get("size"))
    found = _fields(fields["annotations"]) if fields.get("annotations", b"null") != b"null" else {}
    annotations = found or {}
    name = _text(annotations, REF_NAME)
    has_name = annotations.pop(REF_NAME, None) is not None
    is_plain = None not in (media_type, size, found) and has_name == (name is not None)
    # A replacement character stands for what cannot be written again.
    is_plain = is_plain and _REPLACEMENT not in "".join((*fields, *annotations, name or ""))
    for key in _OWN_FIELDS:
        fields.pop(key, None)
    tag = parse_ref_name(name) if name is not None else None
    return IndexEntry(
        digest,
        sys.intern(media_type or ""),
        size or 0,
        tag,
        _raws(annotations),
        _raws(fields),
        None if name == tag else name,
        b"" if is_plain else json_text.compact(descriptor),
    )


def encode_entry(entry: IndexEntry) -> bytes:
    """Return the entry's descriptor in JSON, without line breaks."""
    document: dict[str, object] = {
        "mediaType": entry.media_type,
        "digest": entry.digest,
        "size": entry.size,
        **entry.others,
    }
    annotations: dict[str, object] = dict(entry.annotations)
    if entry.ref_name is not None:
        annotations[REF_NAME] = entry.ref_name
    if annotations:
        document["annotations"] = annotations
    return msgspec.json.encode(document)


def carried(entry: IndexEntry, unread: Unread | None) -> CarriedEntry:
    """Return a carried entry, for a manifest that cannot be read or for a name that is not a tag."""
    line = entry.line or encode_entry(entry)
    media_type = entry.media_type if MEDIA_TYPE.fullmatch(entry.media_type) else ""
    return CarriedEntry(_key(line), line, entry.digest, entry.ref_name, media_type, unread)


def carried_line(descriptor: bytes) -> CarriedEntry:
    """Return the carried entry of a descriptor without a valid digest. Raises InvalidJsonError."""
    line = json_text.compact(descriptor)
    return CarriedEntry(_key(line), line, unread=Unread.DESCRIPTOR)


def carried_child(digest: Digest, media_type: str, unread: Unread) -> CarriedEntry:
    """Return the carried entry of a manifest that an index lists and that has an unreadable file."""
    return CarriedEntry(digest, b"", digest, None, media_type, unread)


def _key(line: bytes) -> str:
    # Another program may write the same fields in another order.
    return hashlib.sha256(json.dumps(json_text.parsed(line)).encode()).hexdigest()


def _fields(value: bytes) -> dict[str, bytes] | None:
    """Return the members of an object, or None if it is not an object. The last of duplicate keys counts."""
    try:
        found = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError):
        json_text.parsed(value)  # raises unless it is JSON
        members = json_text.members(value)
        return None if members is None else {json_text.text_of(key) or "": value for key, value in members}
    return {key: bytes(each) for key, each in found.items()}


def _raws(fields: dict[str, bytes]) -> Mapping[str, msgspec.Raw]:
    return {key: msgspec.Raw(json_text.compact(value)) for key, value in fields.items()} if fields else _NOTHING


def _text(fields: Mapping[str, bytes], key: str) -> str | None:
    value = fields.get(key)
    if value is None:
        return None
    return value[1:-1].decode() if _PLAIN_TEXT.fullmatch(value) else json_text.text_of(value)


def _size(value: bytes | None) -> int | None:
    return int(value) if value is not None and value.isdigit() and len(value) < 20 else None


def _digest(text: str | None) -> Digest | None:
    try:
        return parse_digest(text or "")
    except InvalidDigestError:
        return None
