"""OCI image layouts on disk, as another program leaves them (image-spec image-layout.md)."""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from bench import images
from zot.oci.digest import digest_of, hex_of
from zot.oci.media_types import IMAGE_MANIFEST

_LAYERS = 10
_CREATED = "2026-01-01T00:00:00Z"


def tag(number: int) -> str:
    """Return the tag of a repository's image with this number."""
    return f"v{number}"


def write(root: Path, repositories: int, images_each: int) -> list[str]:
    """Write repositories below `root`, each with that many tagged images; return their names.

    Each image has a manifest of its own; config and layer are shared within the repository.
    """
    names = [f"foreign/r{number:04}" for number in range(repositories)]
    for name in names:
        _write_repository(root / name, images_each)
    return names


def write_described(root: Path, name: str, count: int, tags_each: int = 1) -> None:
    """Write a repository of images such as builds make, tagged `v0`, `v1`, ...: for what reads configs.

    Each image has a config of its own with platform, time, seven labels and a history, and ten layers, of which the
    lower nine are shared within the repository.
    """
    layers = [f"{name} layer {number}".encode() for number in range(_LAYERS - 1)]
    described = []
    for number in range(count):
        config, own = _config(name, number), f"{name} {number}".encode()
        content = images.manifest(*layers, own, config=config)
        described.append((content, [config, own], [tag(number * tags_each + each) for each in range(tags_each)]))
    _write(root / name, layers, described)


def _config(name: str, number: int) -> bytes:
    steps: list[dict[str, str | bool]] = [
        {"created": _CREATED, "created_by": f"RUN apt-get install --yes part-{step}"} for step in range(_LAYERS)
    ]
    steps += [{"created": _CREATED, "created_by": f"ENV STEP={step}", "empty_layer": True} for step in range(5)]
    labels = {f"org.example.label-{each}": f"value {each} of {name}" for each in range(6)}
    return msgspec.json.encode(
        {
            "os": "linux",
            "architecture": ("amd64", "arm64")[number % 2],
            "created": _CREATED,
            "config": {"Labels": {**labels, "org.opencontainers.image.version": f"{number}"}},
            "history": steps,
        }
    )


def _write_repository(folder: Path, count: int) -> None:
    layer = os.urandom(1024)
    contents = [images.manifest(layer, note=f"{number}") for number in range(count)]
    _write(folder, [images.CONFIG, layer], [(each, [], [tag(number)]) for number, each in enumerate(contents)])


def _write(folder: Path, shared: Iterable[bytes], described: Iterable[tuple[bytes, list[bytes], list[str]]]) -> None:
    """Write a layout: content that images share, and of each image its manifest, its own content and its tags."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for content in shared:
        _write_blob(blobs, content)
    manifests = []
    for content, own, tags in described:
        for each in own:
            _write_blob(blobs, each)
        digest = _write_blob(blobs, content)
        manifests += [
            {
                "mediaType": IMAGE_MANIFEST,
                "digest": digest,
                "size": len(content),
                "annotations": {"org.opencontainers.image.ref.name": each},
            }
            for each in tags
        ]
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (folder / "index.json").write_bytes(msgspec.json.encode({"schemaVersion": 2, "manifests": manifests}))


def _write_blob(blobs: Path, content: bytes) -> str:
    digest = digest_of(content)
    (blobs / hex_of(digest)).write_bytes(content)
    return digest
