"""The comparison of two images of a page: the rows of its table."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from zot.extensions.search.interface import ManifestSummary
from zot.extensions.ui.page import PageParts, PageVisit, may
from zot.maintenance.units import size
from zot.oci.image_diff import ImageDiff, image_diff
from zot.oci.names import Repository
from zot.registry.errors import Denied
from zot.registry.image_content import read_image
from zot.registry.request import PullManifest


class Difference(NamedTuple):
    """A line of a comparison: what one image has, and the other."""

    name: str
    one: str
    other: str


class ImageComparison(NamedTuple):
    """In what two images differ, and the bytes of the layers that both have."""

    rows: list[Difference]
    shared_bytes: int


async def compare(
    parts: PageParts, visit: PageVisit, name: Repository, one: ManifestSummary | None, other: ManifestSummary | None
) -> ImageComparison:
    """Compare two manifests of a repository, also in what the index does not have of their configs.

    Raises Denied, ManifestUnknown, ManifestTooLarge, NameUnknown, Unavailable, CatalogError, StorageError.
    """
    if one is None or other is None:
        return ImageComparison([], 0)

    read = []
    for manifest in (one, other):
        request = PullManifest(repository=name, reference=manifest.digest)
        if not may(parts, visit, request):
            raise Denied
        read.append(await read_image(parts.registry, request, "", partial(may, parts, visit)))
    found = image_diff(*read)
    return ImageComparison(list(_rows(found)), found.shared_bytes)


def _rows(found: ImageDiff) -> Iterator[Difference]:
    for name, one, other in (
        ("size", _exact(found.before.size), _exact(found.after.size)),
        ("platform", found.before.platform, found.after.platform),
    ):
        if one != other:
            yield Difference(name, one, other)
    for layer in found.layers:
        if layer.side != "both":
            one, other = (layer.digest, "") if layer.side == "before" else ("", layer.digest)
            yield Difference("layer", one, other)
    for kind, values in (
        ("config", found.config),
        ("environment", found.environment),
        ("label", found.labels),
        ("annotation", found.annotations),
    ):
        for each in values:
            yield Difference(f"{kind} {each.name}", each.before or "", each.after or "")


def _exact(count: int) -> str:
    """Return a number of bytes for people, and to the byte: images that differ little would look alike."""
    return size(count) if count < 1024 else f"{size(count)} ({count:,} B)"
