"""Strict parsing of manifests and indexes (image-spec manifest.md, image-index.md)."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

import msgspec

from zot.oci import media_types
from zot.oci.digest import Digest, InvalidDigestError, parse_digest

CONTAINERS_LIMIT = 100_000
"""The most lists and objects in a manifest. A descriptor is one object of about 100 bytes, so that real manifests stay
below the limit; JSON beyond it would only keep the parser busy."""

# Wider than RFC 6838, which some clients ignore, but always valid in a header.
MEDIA_TYPE = re.compile(r"[ -~]{1,255}")


class InvalidManifestError(ValueError):
    """The content is not a valid manifest of its media type."""


Size = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A number of bytes: int64 in the specification and in databases."""


class Descriptor(msgspec.Struct, frozen=True, rename="camel"):
    """A reference to content by digest, size and media type (image-spec descriptor.md)."""

    media_type: str
    digest: str
    size: Size
    urls: list[str] | None = None
    annotations: dict[str, str] | None = None
    artifact_type: str | None = None
    platform: dict[str, Any] | None = None


class Manifest(msgspec.Struct, frozen=True):
    """The fields of a manifest or an index that a registry acts on; its bytes are stored unchanged."""

    media_type: str
    artifact_type: str | None
    """For referrers: an image's `artifactType`, else its config's media type; an index's `artifactType` or None."""
    annotations: dict[str, str]
    subject: Digest | None
    blobs: tuple[Descriptor, ...]
    """Config and layers that must be in the repository, without non-distributable layers."""
    children: tuple[Descriptor, ...]
    """Manifests that an index lists; they may be absent (sparse index)."""
    elsewhere: tuple[Descriptor, ...] = ()
    """Non-distributable layers: they may be absent, and are kept while they are there."""


class _Document(msgspec.Struct, rename="camel"):
    schema_version: int
    media_type: str | None = None
    artifact_type: str | None = None
    config: Descriptor | None = None
    # Go programs write an empty list as null, so that null is an empty list and only an absent key is missing.
    layers: list[Descriptor] | msgspec.UnsetType | None = msgspec.UNSET
    manifests: list[Descriptor] | msgspec.UnsetType | None = msgspec.UNSET
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None


def parse_manifest(content: bytes, media_type: str | None) -> Manifest:
    """Parse a manifest or index of `media_type`, or, if that is None, of its own `mediaType`.

    Raises InvalidManifestError if the content is not UTF-8 JSON, has a key twice, has another `mediaType`, or violates
    the schema. Unknown fields are allowed, as the specification requires.
    """
    document = _decode(content)
    if document.schema_version != 2:
        raise InvalidManifestError(f"schemaVersion is {document.schema_version}, not 2")
    claimed = media_type or document.media_type
    if claimed is None:
        raise InvalidManifestError("no media type: neither Content-Type nor mediaType is given")
    if claimed not in media_types.MANIFESTS:
        raise InvalidManifestError(f"{claimed[:200]!r} is not a media type of manifests")
    if document.media_type not in (None, claimed):
        raise InvalidManifestError(f"mediaType {document.media_type[:200]!r} was sent as {claimed!r}")
    parse = _index if claimed in media_types.INDEXES else _image
    return parse(document, claimed)


def _image(document: _Document, media_type: str) -> Manifest:
    if _is_given(document.manifests):
        raise InvalidManifestError("an image manifest has no 'manifests'")
    if document.config is None:
        raise InvalidManifestError("an image manifest needs a 'config'")
    if document.layers is msgspec.UNSET:
        raise InvalidManifestError("an image manifest needs 'layers'")
    layers = document.layers or ()
    _check(document.config, *layers)
    here: list[Descriptor] = [document.config]
    elsewhere: list[Descriptor] = []
    for layer in layers:
        (elsewhere if media_types.is_non_distributable(layer.media_type) else here).append(layer)
    return Manifest(
        media_type=media_type,
        artifact_type=document.artifact_type or document.config.media_type,
        annotations=document.annotations or {},
        subject=_subject(document),
        blobs=tuple(here),
        children=(),
        elsewhere=tuple(elsewhere),
    )


def _index(document: _Document, media_type: str) -> Manifest:
    if document.config is not None or _is_given(document.layers):
        raise InvalidManifestError("an index has neither 'config' nor 'layers'")
    if document.manifests is msgspec.UNSET:
        raise InvalidManifestError("an index needs 'manifests'")
    children = document.manifests or ()
    _check(*children)
    return Manifest(
        media_type=media_type,
        artifact_type=document.artifact_type,
        annotations=document.annotations or {},
        subject=_subject(document),
        blobs=(),
        children=tuple(children),
    )


def _is_given(descriptors: list[Descriptor] | msgspec.UnsetType | None) -> bool:
    return descriptors is not None and descriptors is not msgspec.UNSET


def _subject(document: _Document) -> Digest | None:
    if document.subject is None:
        return None
    _check(document.subject)
    return Digest(document.subject.digest)


def _check(*descriptors: Descriptor) -> None:
    for descriptor in descriptors:
        if not MEDIA_TYPE.fullmatch(descriptor.media_type):
            raise InvalidManifestError(f"descriptor {descriptor.digest[:200]!r} has an invalid mediaType")
        try:
            parse_digest(descriptor.digest)
        except InvalidDigestError as error:
            raise InvalidManifestError(f"descriptor: {error}") from error


def _decode(content: bytes) -> _Document:
    if content.count(b"{") + content.count(b"[") > CONTAINERS_LIMIT:
        raise InvalidManifestError(f"the JSON has more than {CONTAINERS_LIMIT} lists and objects")
    try:
        document = msgspec.json.decode(content, type=_Document)
        # Only the standard decoder detects duplicate keys, of which each parser keeps another value.
        json.loads(content, object_pairs_hook=_unique)
    except InvalidManifestError:
        raise
    except RecursionError as error:
        raise InvalidManifestError("the JSON is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise InvalidManifestError("the JSON is not UTF-8") from error
    except ValueError as error:
        raise InvalidManifestError(str(error)[:400]) from error
    return document


def _unique(pairs: list[tuple[str, object]]) -> None:
    """Check an object's keys and return None, so that a large document is not held in memory twice."""
    if len(dict(pairs)) != len(pairs):
        raise InvalidManifestError("the JSON has a key twice in one object")
