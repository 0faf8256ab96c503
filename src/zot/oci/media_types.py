"""Media types of manifests, configs and layers."""

import re

IMAGE_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
IMAGE_INDEX = "application/vnd.oci.image.index.v1+json"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
OCTET_STREAM = "application/octet-stream"

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"

DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
ARTIFACT_MANIFEST = "application/vnd.oci.artifact.manifest.v1+json"

OCI_MANIFESTS = frozenset({IMAGE_MANIFEST, IMAGE_INDEX})
DOCKER_MANIFESTS = frozenset({DOCKER_MANIFEST, DOCKER_MANIFEST_LIST})
MANIFESTS = OCI_MANIFESTS | DOCKER_MANIFESTS
INDEXES = frozenset({IMAGE_INDEX, DOCKER_MANIFEST_LIST})

# RFC 6838, section 4.2, with optional parameters, which some artifact types have.
_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_MEDIA_TYPE = re.compile(rf"{_NAME}/{_NAME}(?: *;[ -~]*)?")
_LENGTH_LIMIT = 255

# Layers of these types may be stored elsewhere: a registry accepts manifests without them.
_NON_DISTRIBUTABLE = (
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
)


def is_non_distributable(media_type: str) -> bool:
    """Tell whether a layer of this type may be absent from the registry."""
    return media_type.startswith(_NON_DISTRIBUTABLE)


def is_media_type(text: str) -> bool:
    """Tell whether the text is a media type (RFC 6838), with or without parameters."""
    return len(text) <= _LENGTH_LIMIT and _MEDIA_TYPE.fullmatch(text) is not None


def may_be_manifest(media_type: str) -> bool:
    """Tell whether an entry of an index with this media type, or with none, may be a manifest."""
    return media_type in MANIFESTS or not media_type or media_type.endswith(("json", "prettyjws"))
