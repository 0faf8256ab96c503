"""What an image is made of, and in what two images differ: for the registry, its pages and its clients.

Manifests and configs are those of any program: what cannot be read is left out, and nothing fails.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from zot.oci.manifest import CONTAINERS_LIMIT

CONTENT_LIMIT_BYTES = 4 * 1024 * 1024
"""A larger manifest or config is not read."""

_LAYERS_LIMIT = 4096
_DEFAULT_PLATFORM = "linux/amd64"
# Keys of a config's `config` that are compared as a whole; environment and labels are compared one by one.
_SETTINGS = (
    *("User", "Entrypoint", "Cmd", "WorkingDir", "ExposedPorts", "Volumes", "StopSignal", "Shell", "Healthcheck"),
    *("OnBuild", "ArgsEscaped"),
)


class ImageLayer(msgspec.Struct, frozen=True):
    """A layer of a manifest, as its descriptor says; `size` is in bytes."""

    digest: str
    size: int
    media_type: str


class ImageContent(msgspec.Struct, frozen=True):
    """What a manifest that is no index, and its config, say."""

    digest: str
    media_type: str
    platform: str
    """`os/architecture/variant`, as far as it is known."""
    size: int
    """Of the manifest, its config and its layers, in bytes."""
    layers: tuple[ImageLayer, ...]
    config: dict[str, str]
    """What containers start with: `Entrypoint`, `User` and others, and `created`; lists and objects as JSON."""
    environment: dict[str, str]
    labels: dict[str, str]
    annotations: dict[str, str]


class LayerDiff(msgspec.Struct, frozen=True):
    """A layer of one of two images, or of both."""

    digest: str
    size: int
    media_type: str
    side: str
    """`before`, `after` or `both`."""


class ValueDiff(msgspec.Struct, frozen=True):
    """A value that two images do not have in common; None: one does not have it."""

    name: str
    before: str | None
    after: str | None


class ImageDiff(msgspec.Struct, frozen=True):
    """In what an image differs from an earlier one, or from any other. Values that are the same are left out."""

    before: ComparedImage
    after: ComparedImage
    shared_bytes: int
    """Bytes of the layers that both have."""
    layers: tuple[LayerDiff, ...]
    """All of both: those of `after` in their order, before them those that only `before` has."""
    config: tuple[ValueDiff, ...]
    environment: tuple[ValueDiff, ...]
    labels: tuple[ValueDiff, ...]
    annotations: tuple[ValueDiff, ...]


class ComparedImage(msgspec.Struct, frozen=True):
    """An image that was compared."""

    digest: str
    platform: str
    size: int


def child_of(index: bytes, platform: str) -> str | None:
    """Return the digest of an index's manifest for a platform (`os/architecture[/variant]`), None if it has none.

    Without a platform, that of linux/amd64, else the first one; attestations of builders are none.
    """
    listed = _decoded(index).get("manifests")
    found: list[tuple[str, str]] = []
    for each in listed if isinstance(listed, list) else ():
        if isinstance(each, dict) and isinstance(each.get("digest"), str):
            named = _platform(each.get("platform"))
            if not named.startswith("unknown"):
                found.append((named, each["digest"]))
    wanted = platform or _DEFAULT_PLATFORM
    for named, digest in found:
        if f"{named}/".startswith(f"{wanted}/"):
            return digest
    return found[0][1] if found and not platform else None


def config_of(manifest: bytes) -> tuple[str, int] | None:
    """Return digest and size of a manifest's config, None if it names none."""
    descriptor = _decoded(manifest).get("config")
    if not isinstance(descriptor, dict) or not isinstance(descriptor.get("digest"), str):
        return None
    return descriptor["digest"], _size(descriptor)


def image_content(digest: str, media_type: str, manifest: bytes, config: bytes | None) -> ImageContent:
    """Return what a manifest and its config say; `config` is None if it could not be read."""
    document, settings = _decoded(manifest), _decoded(config or b"")
    inner = settings.get("config")
    runs: Mapping[str, Any] = inner if isinstance(inner, dict) else {}
    layers = tuple(_layers(document.get("layers")))
    descriptor = config_of(manifest)
    values = {name: _text(runs[name]) for name in _SETTINGS if runs.get(name) not in (None, "", [], {}, False)}
    if isinstance(settings.get("created"), str):
        values["created"] = settings["created"]
    return ImageContent(
        digest,
        media_type,
        _platform(settings),
        len(manifest) + (descriptor[1] if descriptor is not None else 0) + sum(each.size for each in layers),
        layers,
        values,
        dict(_environment(runs.get("Env"))),
        _texts(runs.get("Labels")),
        _texts(document.get("annotations")),
    )


def image_diff(before: ImageContent, after: ImageContent) -> ImageDiff:
    """Return in what two images differ."""
    olds, news = ({each.digest for each in side.layers} for side in (before, after))
    layers = [_layer(each, "before") for each in before.layers if each.digest not in news]
    layers += [_layer(each, "both" if each.digest in olds else "after") for each in after.layers]
    shared = {each.digest: each.size for each in after.layers if each.digest in olds}
    return ImageDiff(
        ComparedImage(before.digest, before.platform, before.size),
        ComparedImage(after.digest, after.platform, after.size),
        sum(shared.values()),
        tuple(layers),
        tuple(_values(before.config, after.config)),
        tuple(_values(before.environment, after.environment)),
        tuple(_values(before.labels, after.labels)),
        tuple(_values(before.annotations, after.annotations)),
    )


def _layer(layer: ImageLayer, side: str) -> LayerDiff:
    return LayerDiff(layer.digest, layer.size, layer.media_type, side)


def _values(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[ValueDiff]:
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield ValueDiff(name, before.get(name), after.get(name))


def _layers(value: object) -> Iterator[ImageLayer]:
    for each in value[:_LAYERS_LIMIT] if isinstance(value, list) else ():
        if isinstance(each, dict) and isinstance(each.get("digest"), str):
            media_type = each.get("mediaType")
            yield ImageLayer(each["digest"], _size(each), media_type if isinstance(media_type, str) else "")


def _size(descriptor: Mapping[str, object]) -> int:
    size = descriptor.get("size")
    return size if type(size) is int and 0 <= size < 2**63 else 0


def _platform(value: object) -> str:
    fields = value if isinstance(value, dict) else {}
    return "/".join(
        text for name in ("os", "architecture", "variant") if isinstance(text := fields.get(name), str) and text
    )


def _environment(value: object) -> Iterator[tuple[str, str]]:
    for each in value if isinstance(value, list) else ():
        if isinstance(each, str):
            name, _, text = each.partition("=")
            yield name, text


def _texts(value: object) -> dict[str, str]:
    return {key: each for key, each in value.items() if isinstance(each, str)} if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _decoded(content: bytes) -> dict[str, Any]:
    """Return a JSON object, an empty one for anything else."""
    if not content or len(content) > CONTENT_LIMIT_BYTES or _containers(content) > CONTAINERS_LIMIT:
        return {}
    try:
        return msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def _containers(content: bytes) -> int:
    """Return how many lists and objects a JSON text may have: they take many times the memory of their text."""
    return content.count(b"{") + content.count(b"[")
