"""Lenient parsing of manifests that another program stored; never fails.

Pushes are parsed strictly (`zot.oci.manifest`). Manifests that are stored already are served byte for byte, and the
content that they reference is kept, even if their JSON is invalid.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from zot.oci import media_types
from zot.oci.digest import HEX_LENGTHS, Digest, InvalidDigestError, parse_digest
from zot.oci.manifest import (
    CONTAINERS_LIMIT,
    MEDIA_TYPE,
    Descriptor,
    InvalidManifestError,
    Manifest,
    parse_manifest,
)

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SIZE_LIMIT = 2**63

_DIGESTS = re.compile(
    b"|".join(b"%s:[0-9a-f]{%d}(?![0-9a-f])" % (name.encode(), length) for name, length in HEX_LENGTHS.items())
)
# A manifest has at least one of these fields. An image's config may have some of them, but no `schemaVersion`.
_SHAPE = frozenset({"config", "layers", "manifests", "blobs", "fsLayers"})


class LenientManifest(NamedTuple):
    """The result of `parse_leniently`."""

    manifest: Manifest
    whole: bool
    """Whether all its references are known. If not, it may need any content of its repository."""
    is_manifest: bool
    """Whether it has the fields of a manifest. Digests alone prove nothing: any file may contain some."""


class _Object(list[tuple[str, Any]]):
    """A JSON object as key-value pairs, since a key may occur twice."""


def parse_leniently(content: bytes, media_type: str) -> LenientManifest:
    """Parse a manifest as far as possible; `media_type` is its descriptor's, or empty.

    The strict parser is tried first, with the descriptor's media type, then with the manifest's own. In other JSON
    each `digest`, and each `blobSum` of schema 1, is a reference. In other content each text with the form of a
    digest is one.
    """
    for claimed in dict.fromkeys((media_type or None, None)):
        try:
            return LenientManifest(parse_manifest(content, claimed), whole=True, is_manifest=True)
        except InvalidManifestError:
            continue
    document = _decode(content)
    if document is None:
        return LenientManifest(_by_pattern(content, media_type), whole=False, is_manifest=False)
    return _from_json(document, media_type)


def _decode(content: bytes) -> Any:
    """Return the decoded JSON, or None if it cannot be parsed."""
    if content.count(b"{") + content.count(b"[") > CONTAINERS_LIMIT:
        return None
    try:
        text = content.removeprefix(_BYTE_ORDER_MARK).decode(errors="replace")
        return json.loads(text, object_pairs_hook=_Object, strict=False)
    except (ValueError, RecursionError):
        return None


def _by_pattern(content: bytes, media_type: str) -> Manifest:
    """Return a manifest whose children are all digests in `content`: each may be a manifest or a blob."""
    found = dict.fromkeys(each.decode() for each in _DIGESTS.findall(content))
    return Manifest(
        media_type=_header_value(media_type) or media_types.OCTET_STREAM,
        artifact_type=None,
        annotations={},
        subject=None,
        blobs=(),
        children=tuple(Descriptor("", digest, 0) for digest in found),
    )


def _from_json(document: Any, media_type: str) -> LenientManifest:
    pairs = document if isinstance(document, _Object) else _Object()
    fields = dict(pairs)
    blobs: dict[str, Descriptor] = {}
    children: dict[str, Descriptor] = {}
    whole = True
    for key, value in pairs if isinstance(document, _Object) else [("", document)]:
        if key == "subject":
            continue
        for descriptor, is_known in _references(_Object([(key, value)])):
            if is_known:
                (children if key == "manifests" else blobs).setdefault(descriptor.digest, descriptor)
            elif key == "manifests":
                whole = False
    config = fields.get("config")
    config_type = dict(config).get("mediaType") if isinstance(config, _Object) else None
    annotations = fields.get("annotations")
    manifest = Manifest(
        media_type=_header_value(fields.get("mediaType")) or _header_value(media_type) or _guess(fields),
        artifact_type=_header_value(fields.get("artifactType")) or _header_value(config_type) or None,
        annotations={
            _plain(key): _plain(value)
            for key, value in (annotations if isinstance(annotations, _Object) else ())
            if isinstance(value, str)
        },
        subject=_subject(fields.get("subject")),
        blobs=tuple(each for each in blobs.values() if each.digest not in children),
        children=tuple(children.values()),
    )
    is_declared = "schemaVersion" in fields or fields.get("mediaType") == media_types.ARTIFACT_MANIFEST
    return LenientManifest(manifest, whole, is_declared and not _SHAPE.isdisjoint(fields))


def _references(value: Any) -> Iterator[tuple[Descriptor, bool]]:
    """Iterate over the descriptors in a value, at any depth, each with whether its digest is valid."""
    unvisited = [value]
    while unvisited:
        each = unvisited.pop()
        if not isinstance(each, list):
            continue
        if not isinstance(each, _Object):
            unvisited += each
            continue
        fields = dict(each)
        for key, inner in each:
            if key in {"digest", "blobSum"} and isinstance(inner, str):
                yield _descriptor(inner, fields)
            else:
                unvisited.append(inner)


def _descriptor(text: str, fields: dict[str, Any]) -> tuple[Descriptor, bool]:
    size = fields.get("size")
    known_size = size if type(size) is int and 0 <= size < _SIZE_LIMIT else 0
    try:
        return Descriptor(_header_value(fields.get("mediaType")), parse_digest(text), known_size), True
    except InvalidDigestError:
        return Descriptor("", text, known_size), False


def _subject(value: Any) -> Digest | None:
    digest = dict(value).get("digest") if isinstance(value, _Object) else None
    try:
        return parse_digest(digest) if isinstance(digest, str) else None
    except InvalidDigestError:
        return None


def _guess(fields: dict[str, Any]) -> str:
    """Guess the media type of a manifest from its fields."""
    if "manifests" in fields:
        return media_types.IMAGE_INDEX
    if "fsLayers" in fields:
        return media_types.DOCKER_SCHEMA1
    if "config" in fields or "layers" in fields:
        return media_types.IMAGE_MANIFEST
    return media_types.OCTET_STREAM


def _header_value(value: Any) -> str:
    """Return a media type if it is valid in a header, else the empty text."""
    return value if isinstance(value, str) and MEDIA_TYPE.fullmatch(value) else ""


def _plain(text: str) -> str:
    """Replace unpaired surrogates, which UTF-8 cannot encode."""
    return text.encode(errors="replace").decode()
