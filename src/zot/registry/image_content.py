"""What an image is made of: its manifest and config, read and parsed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import ParamSpec, TypeVar

from zot.oci.digest import InvalidDigestError, parse_digest
from zot.oci.image_diff import CONTENT_LIMIT_BYTES, ImageContent, child_of, config_of, image_content
from zot.oci.media_types import INDEXES
from zot.oci.names import Repository
from zot.registry import blobs, manifests
from zot.registry.errors import BlobUnknown, Denied, ManifestTooLarge, ManifestUnknown
from zot.registry.large_manifests import LARGE_BYTES
from zot.registry.manifests import OpenedManifest, PulledManifest
from zot.registry.registry import Registry
from zot.registry.request import PullBlob, PullManifest, Request

P = ParamSpec("P")
T = TypeVar("T")


async def read_image(
    registry: Registry, request: PullManifest, platform: str, may: Callable[[Request], bool]
) -> ImageContent:
    """Return what an image is made of; of an index, its manifest for a platform, as `child_of` chooses it.

    `may` tells whether the caller may read that manifest and the config, which are requests of their own. A config that
    is missing, or no JSON, leaves its fields empty. Raises ManifestUnknown, ManifestTooLarge, NameUnknown, Denied,
    Unavailable, StorageError.
    """
    found = await _manifest(registry, request)
    if found.media_type in INDEXES:
        child = await _parsed(registry, child_of, found.content, platform)
        try:
            digest = parse_digest(child or "")
        except InvalidDigestError:
            wanted = f"a manifest for {platform}" if platform else "any manifest that can be compared"
            raise ManifestUnknown(f"the index does not list {wanted}", reference=request.reference) from None
        request = PullManifest(repository=request.repository, reference=digest)
        _check(may, request)
        found = await _manifest(registry, request)
    config = await _config(registry, request.repository, found, may)
    return await _parsed(registry, image_content, found.digest, found.media_type, found.content, config)


async def _parsed(registry: Registry, parse: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Parse in the thread of large manifests what takes more than a moment."""
    if max((len(each) for each in args if isinstance(each, bytes)), default=0) <= LARGE_BYTES:
        return parse(*args, **kwargs)
    return await registry.large_manifests.run(parse, *args, **kwargs)


async def _manifest(registry: Registry, request: PullManifest) -> PulledManifest:
    found = await manifests.pull(registry, request)
    if isinstance(found, OpenedManifest):
        found.content.close()
        raise ManifestTooLarge(reference=request.reference)
    return found


async def _config(
    registry: Registry, repository: Repository, found: PulledManifest, may: Callable[[Request], bool]
) -> bytes | None:
    descriptor = await _parsed(registry, config_of, found.content)
    if descriptor is None:
        return None
    try:
        request = PullBlob(repository=repository, digest=parse_digest(descriptor[0]))
    except InvalidDigestError:
        return None
    _check(may, request)
    try:
        row = await blobs.pull(registry, request)
        if row.size > CONTENT_LIMIT_BYTES:
            return None
        content, row = await blobs.open_content(registry, request, row)
    except BlobUnknown:
        return None
    with closing(content):
        return await content.read(0, row.size)


def _check(may: Callable[[Request], bool], request: Request) -> None:
    if not may(request):
        raise Denied
