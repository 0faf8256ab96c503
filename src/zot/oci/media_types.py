"""Media types of manifests, configs and layers."""

IMAGE_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
IMAGE_INDEX = "application/vnd.oci.image.index.v1+json"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
OCTET_STREAM = "application/octet-stream"

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"

OCI_MANIFESTS = frozenset({IMAGE_MANIFEST, IMAGE_INDEX})
DOCKER_MANIFESTS = frozenset({DOCKER_MANIFEST, DOCKER_MANIFEST_LIST})
MANIFESTS = OCI_MANIFESTS | DOCKER_MANIFESTS
INDEXES = frozenset({IMAGE_INDEX, DOCKER_MANIFEST_LIST})

# Layers of these types may live elsewhere: a registry must not insist on having them.
_NON_DISTRIBUTABLE = (
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
)


def is_non_distributable(media_type: str) -> bool:
    """Tell whether a layer of this type may be absent from the registry."""
    return media_type.startswith(_NON_DISTRIBUTABLE)
