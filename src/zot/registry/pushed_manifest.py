"""A pushed manifest, parsed and checked: reading is lenient, pushing is strict."""

from __future__ import annotations

from typing import NamedTuple

from zot.catalog.edges import edges
from zot.catalog.manifest_commands import Edge
from zot.oci import media_types
from zot.oci.digest import CANONICAL, Digest, algorithm_of, digest_of
from zot.oci.manifest import InvalidManifestError, Manifest, parse_manifest
from zot.oci.names import Reference, as_digest
from zot.registry.errors import DigestInvalid, ManifestInvalid, ManifestTooLarge, MediaTypeUnsupported
from zot.registry.registry import Registry
from zot.registry.request import PushManifest


class PushedManifest(NamedTuple):
    """A manifest's bytes and what they say."""

    content: bytes
    digest: Digest
    manifest: Manifest
    edges: tuple[Edge, ...]
    """The blobs and manifests that it names."""


def check(registry: Registry, request: PushManifest, content: bytes, media_type: str | None) -> PushedManifest:
    """Return what pushed bytes say, if they are a valid manifest. CPU work only; a large one may take a second.

    `media_type` is the request's Content-Type. Raises DigestInvalid, ManifestTooLarge, MediaTypeUnsupported,
    ManifestInvalid.
    """
    digest = _digest(request, content)
    parsed = _parse(registry, request.reference, content, media_type)
    return PushedManifest(content, digest, parsed, edges(parsed, sparse=registry.sparse))


def _digest(request: PushManifest, content: bytes) -> Digest:
    """Return the digest to store under: the one asked for, which must be the content's, else the canonical one."""
    claimed = as_digest(request.reference)
    actual = digest_of(content, algorithm_of(claimed) if claimed else CANONICAL)
    if claimed is not None and claimed != actual:
        raise DigestInvalid(f"the manifest has digest {actual}", reference=claimed)
    return actual


def _parse(registry: Registry, reference: Reference, content: bytes, media_type: str | None) -> Manifest:
    if len(content) > registry.limits.manifest_bytes:
        raise ManifestTooLarge(f"a manifest has at most {registry.limits.manifest_bytes} bytes")
    accepted = media_types.MANIFESTS if registry.docker_types else media_types.OCI_MANIFESTS
    if media_type is not None and media_type not in accepted:
        raise MediaTypeUnsupported(mediaType=media_type[:200])
    try:
        parsed = parse_manifest(content, media_type)
    except InvalidManifestError as error:
        raise ManifestInvalid(str(error), reference=reference) from error
    if parsed.media_type not in accepted:
        raise MediaTypeUnsupported(mediaType=parsed.media_type)
    _check_types(parsed, reference)
    return parsed


def _check_types(parsed: Manifest, reference: Reference) -> None:
    """Refuse types by which nothing can be found (image-spec manifest.md)."""
    named = {"artifactType": parsed.artifact_type or None}
    if parsed.media_type not in media_types.INDEXES:
        named["config.mediaType"] = parsed.blobs[0].media_type
    for field, media_type in named.items():
        if media_type is not None and not media_types.is_media_type(media_type):
            shown = repr(media_type[:200])
            raise ManifestInvalid(f"{field} {shown} is not a media type such as type/subtype", reference=reference)
