"""Reading what another program stored as a manifest: all that can be made out of it, and never a refusal.

Pushing is strict (`zot.oci.manifest`), reading is not: bytes that are stored already are served as they are, and what
they name is kept, whatever their JSON is like.
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
# What a manifest has one of. Configurations of images may have some of them, but not what says that it is a manifest.
_SHAPE = frozenset({"config", "layers", "manifests", "blobs", "fsLayers"})


class LenientManifest(NamedTuple):
    """What was made out of a manifest's bytes."""

    manifest: Manifest
    whole: bool
    """Whether all that it names is known. If not, it may need anything in its repository."""
    is_manifest: bool
    """Whether it has a manifest's form; anything has digests in it if one looks long enough."""


class _Object(list[tuple[str, Any]]):
    """A JSON object as it was written: a key may be there twice."""


def parse_leniently(content: bytes, media_type: str) -> LenientManifest:
    """Return what can be made out of a manifest that a descriptor calls `media_type`, empty if it does not say.

    What the strict parser accepts, by the descriptor's media type or the manifest's own, is read by that. Of any other
    JSON each `digest` (and schema 1's `blobSum`) counts as named; of what is no JSON, each text that is a digest.
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
    """Return the JSON, None if it is none that can be parsed."""
    if content.count(b"{") + content.count(b"[") > CONTAINERS_LIMIT:
        return None
    try:
        text = content.removeprefix(_BYTE_ORDER_MARK).decode(errors="replace")
        return json.loads(text, object_pairs_hook=_Object, strict=False)
    except (ValueError, RecursionError):
        return None


def _by_pattern(content: bytes, media_type: str) -> Manifest:
    """Return a manifest that lists each digest in the bytes: each may be a manifest or a blob."""
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
        for descriptor, is_known in _named(_Object([(key, value)])):
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
    says_so = "schemaVersion" in fields or fields.get("mediaType") == media_types.ARTIFACT_MANIFEST
    return LenientManifest(manifest, whole, says_so and not _SHAPE.isdisjoint(fields))


def _named(value: Any) -> Iterator[tuple[Descriptor, bool]]:
    """Iterate over all that a value names, at any depth, and whether the digest is one of a known algorithm."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if not isinstance(each, list):
            continue
        if not isinstance(each, _Object):
            waiting += each
            continue
        fields = dict(each)
        for key, inner in each:
            if key in {"digest", "blobSum"} and isinstance(inner, str):
                yield _descriptor(inner, fields)
            else:
                waiting.append(inner)


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
    """Return the media type of a manifest that has none, by its form."""
    if "manifests" in fields:
        return media_types.IMAGE_INDEX
    if "fsLayers" in fields:
        return media_types.DOCKER_SCHEMA1
    if "config" in fields or "layers" in fields:
        return media_types.IMAGE_MANIFEST
    return media_types.OCTET_STREAM


def _header_value(value: Any) -> str:
    """Return a media type that fits into a header, or nothing."""
    return value if isinstance(value, str) and MEDIA_TYPE.fullmatch(value) else ""


def _plain(text: str) -> str:
    """Return text without halves of surrogate pairs, which no encoding takes."""
    return text.encode(errors="replace").decode()
