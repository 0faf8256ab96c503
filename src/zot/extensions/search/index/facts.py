"""What a manifest and its config say: read once a digest, bounded, and tolerant of anything.

Clients write both as they like: a field of another type is absent, a long text is cut, what is no JSON says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from zot.extensions.search.interface import Description, History, ImageKind, Layer, Platform, SignatureTool
from zot.foundation import times
from zot.oci import media_types
from zot.oci.digest import Digest, InvalidDigestError, parse_digest
from zot.oci.manifest import CONTAINERS_LIMIT, MEDIA_TYPE

CONFIG_LIMIT_BYTES = 4 * 1024 * 1024
"""A larger config is not read: its fields are unknown."""
MANIFEST_LIMIT_BYTES = 4 * 1024 * 1024

ENTRIES_LIMIT = 1024
"""Layers, entries of a history, and children that are kept of one manifest."""
PAIRS_LIMIT = 256
"""Annotations, and labels, that are kept of one manifest."""
TEXT_LIMIT = 4096
"""Characters of one text that are kept."""
NAME_LIMIT = 255
"""Characters of a key, of a part of a platform, and of other names."""
TEXTS_LIMIT = 64 * 1024
"""Characters that are kept of a history, of annotations, and of labels: what follows is left out."""

_SIZE_LIMIT = 2**63
_IMAGE_CONFIGS = frozenset({media_types.IMAGE_CONFIG, "application/vnd.docker.container.image.v1+json"})
_CHART_CONFIG = "application/vnd.cncf.helm.config.v1+json"
_SIGNATURES = {
    "application/vnd.dev.cosign.artifact.sig.v1+json": SignatureTool.COSIGN,
    "application/vnd.cncf.notary.signature": SignatureTool.NOTATION,
}
_SIGSTORE_BUNDLE = "application/vnd.dev.sigstore.bundle"

_ANNOTATION = "org.opencontainers.image."
_OLDER = "org.label-schema."
_OLDER_NAMES = {
    "title": "name",
    "description": "description",
    "licenses": "license",
    "source": "vcs-url",
    "documentation": "usage",
    "vendor": "vendor",
}


class ManifestFacts(msgspec.Struct, frozen=True, array_like=True):
    """What a manifest says, without its config."""

    is_index: bool = False
    config: Layer | None = None
    """The descriptor of its config."""
    layers: tuple[Layer, ...] = ()
    children: tuple[Digest, ...] = ()
    annotations: dict[str, str] = {}

    @property
    def config_is_read(self) -> bool:
        """Whether the config is one of an image, and not too large."""
        config = self.config
        return config is not None and config.media_type in _IMAGE_CONFIGS and config.size <= CONFIG_LIMIT_BYTES


class ConfigFacts(msgspec.Struct, frozen=True, array_like=True):
    """What the config of an image says."""

    platform: Platform = Platform()
    created_ns: int | None = None
    author: str = ""
    labels: dict[str, str] = {}
    history: tuple[History, ...] = ()


UNKNOWN = ConfigFacts()
"""Of a manifest without a config that can be read."""


class _Document(msgspec.Struct, rename="camel"):
    config: Any = None
    layers: Any = None
    manifests: Any = None
    annotations: Any = None


def manifest_facts(content: bytes, media_type: str) -> ManifestFacts:
    """Return what a manifest says; nothing if it is no JSON object."""
    is_index = media_type in media_types.INDEXES
    document = _decoded(content, MANIFEST_LIMIT_BYTES, _Document)
    if document is None:
        return ManifestFacts(is_index)
    config = None if is_index else _descriptor(document.config)
    layers = () if is_index else tuple(_descriptors(document.layers))
    children = tuple(each.digest for each in _descriptors(document.manifests)) if is_index else ()
    return ManifestFacts(is_index, config, layers, children, _pairs(document.annotations))


def config_facts(content: bytes) -> ConfigFacts:
    """Return what the config of an image says; nothing if it is no JSON object, or too large."""
    document = _decoded(content, CONFIG_LIMIT_BYTES, dict[str, Any])
    if document is None:
        return UNKNOWN
    history = tuple(_history(document.get("history")))
    created_ns = parse_time_ns(document.get("created"))
    if created_ns is None and history:
        created_ns = history[-1].created_ns
    config = document.get("config")
    return ConfigFacts(
        Platform(*(_text(document.get(name), NAME_LIMIT) for name in ("os", "architecture", "variant"))),
        created_ns,
        _text(document.get("author"), NAME_LIMIT),
        _pairs(config.get("Labels")) if isinstance(config, dict) else {},
        history,
    )


def kind_of(artifact_type: str | None, config: Layer | None) -> ImageKind:
    """Return what a manifest that is no index is for, by the types that it has."""
    config_type = config.media_type if config is not None else ""
    if config_type == _CHART_CONFIG:
        return ImageKind.CHART
    is_image = config_type in _IMAGE_CONFIGS and artifact_type in (None, "", config_type)
    return ImageKind.IMAGE if is_image else ImageKind.ARTIFACT


def signature_tool(artifact_type: str | None) -> SignatureTool | None:
    """Return the program whose signatures have this artifact type, None if it is of no signature."""
    if artifact_type is None:
        return None
    if artifact_type.startswith(_SIGSTORE_BUNDLE):
        return SignatureTool.COSIGN
    return _SIGNATURES.get(artifact_type)


def description_of(annotations: Mapping[str, str], labels: Mapping[str, str], author: str = "") -> Description:
    """Return how annotations, else labels, describe an image."""

    def value(name: str) -> str:
        older = _OLDER_NAMES.get(name)
        for pairs in (annotations, labels):
            found = pairs.get(f"{_ANNOTATION}{name}") or (pairs.get(f"{_OLDER}{older}") if older else None)
            if found:
                return found
        return ""

    return Description(
        title=value("title"),
        description=value("description"),
        licenses=value("licenses"),
        labels=value("labels"),
        source=value("source"),
        documentation=value("documentation"),
        vendor=value("vendor"),
        authors=value("authors") or author,
    )


def parse_time_ns(value: object) -> int | None:
    """Return a time of RFC 3339 in nanoseconds since the epoch; None if it is none, or Go's zero time."""
    return times.parse_time_ns(value) if isinstance(value, str) else None


def _decoded(content: bytes, limit_bytes: int, type_: Any) -> Any:
    # Lists and objects take many times the memory of their text.
    if len(content) > limit_bytes or content.count(b"{") + content.count(b"[") > CONTAINERS_LIMIT:
        return None
    try:
        return msgspec.json.decode(content, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _descriptors(value: object) -> Iterator[Layer]:
    for each in value[:ENTRIES_LIMIT] if isinstance(value, list) else ():
        descriptor = _descriptor(each)
        if descriptor is not None:
            yield descriptor


def _descriptor(value: object) -> Layer | None:
    if not isinstance(value, dict):
        return None
    digest, size, media_type = value.get("digest"), value.get("size"), value.get("mediaType")
    try:
        parsed = parse_digest(digest) if isinstance(digest, str) else None
    except InvalidDigestError:
        return None
    if parsed is None:
        return None
    known_size = size if type(size) is int and 0 <= size < _SIZE_LIMIT else 0
    known_type = media_type if isinstance(media_type, str) and MEDIA_TYPE.fullmatch(media_type) else ""
    return Layer(parsed, known_size, known_type)


def _history(value: object) -> Iterator[History]:
    left = TEXTS_LIMIT
    for each in value[:ENTRIES_LIMIT] if isinstance(value, list) else ():
        if not isinstance(each, dict):
            continue
        created_by = _text(each.get("created_by"), min(TEXT_LIMIT, left))
        author = _text(each.get("author"), min(NAME_LIMIT, left))
        comment = _text(each.get("comment"), min(NAME_LIMIT, left))
        left = max(0, left - len(created_by) - len(author) - len(comment))
        yield History(parse_time_ns(each.get("created")), created_by, author, comment, each.get("empty_layer") is True)


def _pairs(value: object) -> dict[str, str]:
    found: dict[str, str] = {}
    left = TEXTS_LIMIT
    for key, each in value.items() if isinstance(value, dict) else ():
        if not isinstance(each, str) or len(key) > NAME_LIMIT:
            continue
        text = _text(each)
        left -= len(key) + len(text)
        if left < 0 or len(found) == PAIRS_LIMIT:
            break
        found[key] = text
    return found


def _text(value: object, limit: int = TEXT_LIMIT) -> str:
    return value[:limit] if isinstance(value, str) else ""
