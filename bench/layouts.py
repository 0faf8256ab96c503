"""OCI image layouts on disk, as another program leaves them (image-spec image-layout.md)."""

import os
from pathlib import Path

import msgspec

from bench import images
from zot.oci.digest import digest_of, hex_of
from zot.oci.media_types import IMAGE_MANIFEST


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


def _write_repository(folder: Path, count: int) -> None:
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    layer = os.urandom(1024)
    for content in (images.CONFIG, layer):
        _write_blob(blobs, content)
    manifests = []
    for number in range(count):
        content = images.manifest(layer, note=f"{number}")
        manifests.append(
            {
                "mediaType": IMAGE_MANIFEST,
                "digest": _write_blob(blobs, content),
                "size": len(content),
                "annotations": {"org.opencontainers.image.ref.name": tag(number)},
            }
        )
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (folder / "index.json").write_bytes(msgspec.json.encode({"schemaVersion": 2, "manifests": manifests}))


def _write_blob(blobs: Path, content: bytes) -> str:
    digest = digest_of(content)
    (blobs / hex_of(digest)).write_bytes(content)
    return digest
