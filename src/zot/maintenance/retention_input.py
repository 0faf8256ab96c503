"""Collect the input of retention: a repository's tags and dangling manifests, with their statistics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zot.catalog import paging
from zot.catalog.interface import PAGE_LIMIT, Catalog
from zot.catalog.rows import DanglingManifest, ManifestDetails
from zot.foundation.paging import rows
from zot.maintenance.retention import Candidate
from zot.oci.digest import Digest
from zot.oci.names import Repository, Tag
from zot.statistics.interface import Statistic

Known = Mapping[Digest, Statistic]


async def tagged(catalog: Catalog, repository: Repository, known: Known) -> list[Candidate]:
    """Return a repository's tags but those of manifests that could not be parsed. Raises CatalogError."""
    return [
        candidate(manifest, tag, known.get(manifest.digest))
        async for manifest in paging.manifests(catalog, repository)
        if manifest.whole
        for tag in manifest.tags
    ]


def candidate(manifest: ManifestDetails, tag: Tag, statistic: Statistic | None) -> Candidate:
    """Return a tag of a manifest with its statistics."""
    return Candidate(manifest.digest, manifest.media_type, tag, *_times(statistic, manifest.pushed_ns))


def untagged(dangling: Iterable[DanglingManifest], known: Known) -> list[Candidate]:
    """Return the dangling manifests that are not referrers."""
    return [
        Candidate(each.digest, each.media_type, None, *_times(known.get(each.digest), each.pushed_ns))
        for each in dangling
        if each.subject is None
    ]


async def dangling(catalog: Catalog, repository: Repository) -> list[DanglingManifest]:
    """Return a repository's dangling manifests, in the order of digests. Raises CatalogError."""
    return [
        row
        async for row in rows(
            lambda last: catalog.dangling_manifests(repository, last, PAGE_LIMIT), lambda row: row.digest, ""
        )
    ]


def _times(statistic: Statistic | None, pushed_ns: int) -> tuple[float | None, float | None]:
    """Return the times of push and pull that count for retention.

    A manifest that was deleted and pushed again is as new as its last push, which the catalog knows.
    """
    if statistic is None or statistic.pushed_s is None:
        return None, statistic.pulled_s if statistic else None
    return max(statistic.pushed_s, pushed_ns / 10**9), statistic.pulled_s
