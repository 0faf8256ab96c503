"""Image layouts as other programs write them: by hand, sharing no code with the product."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"
REF_NAME = "org.opencontainers.image.ref.name"


def sha256(content: bytes) -> str:
    """Return the digest."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True)
class Image:
    """A manifest and its blobs."""

    content: bytes
    media_type: str = MANIFEST
    blobs: tuple[bytes, ...] = ()
    children: tuple[Image, ...] = ()

    @property
    def digest(self) -> str:
        """Return the manifest's digest."""
        return sha256(self.content)

    def descriptor(self, tag: str | None = None, **others: Any) -> dict[str, Any]:
        """Return its descriptor, with the tag's annotation if there is a tag."""
        document = {"mediaType": self.media_type, "digest": self.digest, "size": len(self.content), **others}
        if tag is not None:
            document["annotations"] = {**document.get("annotations", {}), REF_NAME: tag}
        return document


def image(name: str, media_type: str = MANIFEST, subject: Image | None = None) -> Image:
    """Return an image with a config and a layer of its own."""
    config, layer = json.dumps({"config": name}).encode(), f"layer of {name}".encode()
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": {"mediaType": CONFIG, "digest": sha256(config), "size": len(config)},
        "layers": [{"mediaType": LAYER, "digest": sha256(layer), "size": len(layer)}],
    }
    if subject is not None:
        document["subject"] = subject.descriptor()
    return Image(json.dumps(document).encode(), media_type, (config, layer))


def odd_images() -> dict[str, Image]:
    """Return images by tag that registries accept although they are not valid JSON or OCI manifests."""
    found: dict[str, Image] = {}

    def add(name: str, media_type: str = MANIFEST, raw: bytes = b"", **changes: Any) -> None:
        plain = image(name, media_type)
        document = json.loads(plain.content)
        for key, value in changes.items():
            if value is ...:
                del document[key]
            else:
                document[key] = value
        found[name] = Image(json.dumps(document).encode()[:-1] + raw + b"}", media_type, plain.blobs)

    layers = json.loads(image("negative").content)["layers"]
    add("docker-annotation-null", DOCKER_MANIFEST, annotations={"a": None})
    add("key-twice", raw=b',"schemaVersion":2')
    add("negative", layers=[{**layers[0], "size": -1}])
    add("latin1", raw=b',"annotations":{"authors":"Bj\xf6rn"}')
    add("half-emoji", raw=b',"annotations":{"description":"hello \\ud83d"}')
    add("no-media-type", mediaType=...)
    add("other-media-type", mediaType="application/vnd.example+json")
    add("schema-3", schemaVersion=3)
    add("algorithm", annotations={}, subject={"mediaType": MANIFEST, "digest": "blake3:" + "0" * 64, "size": 1})
    config, layer = image("artifact").blobs
    blobs = [{"mediaType": LAYER, "digest": sha256(each), "size": len(each)} for each in (config, layer)]
    artifact = {"mediaType": ARTIFACT, "artifactType": "text/x", "blobs": blobs}
    found["artifact"] = Image(json.dumps(artifact).encode(), ARTIFACT, (config, layer))
    layer = image("schema-1").blobs[1]
    schema1 = {"schemaVersion": 1, "name": "x", "fsLayers": [{"blobSum": sha256(layer)}], "signatures": []}
    found["schema-1"] = Image(json.dumps(schema1).encode(), DOCKER_SCHEMA1, (layer,))
    mark = image("byte-order-mark")
    found["byte-order-mark"] = Image(b"\xef\xbb\xbf" + mark.content, MANIFEST, mark.blobs)
    cut = image("cut")
    found["cut"] = Image(cut.content[:-2], MANIFEST, cut.blobs)
    return found


def index(*children: Image) -> Image:
    """Return an index of images."""
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [child.descriptor() for child in children]}
    return Image(json.dumps(document).encode(), INDEX, (), children)


class Layout:
    """The directory of a layout."""

    def __init__(self, path: Path) -> None:
        """Look at `path`."""
        self.path = path

    def write(self, *descriptors: dict[str, Any], **others: Any) -> None:
        """Make it a layout with these descriptors, `index.json` written in place as skopeo does it."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self.write_index({"schemaVersion": 2, "manifests": list(descriptors), **others})

    def write_index(self, document: dict[str, Any]) -> None:
        """Write `index.json` in place."""
        (self.path / "index.json").write_text(json.dumps(document))

    def put(self, *images: Image) -> None:
        """Write the files of images."""
        for each in images:
            for content in (each.content, *each.blobs):
                self.put_content(content)
            self.put(*each.children)

    def put_content(self, content: bytes) -> None:
        """Write one content file."""
        file = self.file(sha256(content))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    def file(self, digest: str) -> Path:
        """Return the path of a content file."""
        return self.path / "blobs" / digest.replace(":", "/")

    def read_index(self) -> dict[str, Any]:
        """Return `index.json`."""
        document: dict[str, Any] = json.loads((self.path / "index.json").read_bytes())
        return document

    def tags(self) -> dict[str, str]:
        """Return each tag's digest."""
        return {
            descriptor["annotations"][REF_NAME]: descriptor["digest"]
            for descriptor in self.read_index()["manifests"]
            if REF_NAME in descriptor.get("annotations", {})
        }

    def untagged(self) -> list[str]:
        """Return the digests that are listed without a tag."""
        return [
            descriptor["digest"]
            for descriptor in self.read_index()["manifests"]
            if REF_NAME not in descriptor.get("annotations", {})
        ]
