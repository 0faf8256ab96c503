"""The catalog's lists, read to their end, which a page of fewer rows is. All of them raise CatalogError."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from zot.catalog.change_log import TagChange
from zot.catalog.interface import PAGE_LIMIT, Catalog
from zot.catalog.rows import CarriedEntry, ManifestDetails, TagRow
from zot.foundation.paging import pages, rows
from zot.oci.digest import Digest
from zot.oci.names import Repository, Tag

# A page of manifests with all their tags is read in some milliseconds.
_MANIFESTS = 200


def repositories(catalog: Catalog, after: str = "") -> AsyncIterator[Repository]:
    """Iterate over the names of the repositories greater than `after`, in byte order."""
    return rows(lambda last: catalog.repositories(last, PAGE_LIMIT), lambda name: name, after, PAGE_LIMIT)


def manifests(catalog: Catalog, repository: Repository) -> AsyncIterator[ManifestDetails]:
    """Iterate over a repository's manifests, in the order of digests."""
    return rows(lambda last: catalog.manifests(repository, last, _MANIFESTS), lambda row: row.digest, "", _MANIFESTS)


def tags(catalog: Catalog, repository: Repository, after: str = "") -> AsyncIterator[TagRow]:
    """Iterate over a repository's tags with names greater than `after`, in byte order."""
    return rows(lambda last: catalog.tags(repository, last, PAGE_LIMIT), lambda row: row.name, after, PAGE_LIMIT)


def tag_log(catalog: Catalog, repository: Repository, tag: Tag | None) -> AsyncIterator[TagChange]:
    """Iterate over the changes of a tag, or of all tags of a repository, newest first."""
    newest: int | None = None
    return rows(
        lambda last: catalog.tag_log(repository, tag, last, PAGE_LIMIT), lambda row: row.sequence, newest, PAGE_LIMIT
    )


def blob_pages(
    catalog: Catalog, repository: Repository, limit: int = PAGE_LIMIT
) -> AsyncIterator[Sequence[tuple[Digest, int]]]:
    """Iterate over the digests and sizes of a repository's blobs, in pages of at most `limit`."""
    return pages(lambda last: catalog.blobs(repository, last, limit), lambda row: row[0], "", min(limit, PAGE_LIMIT))


def held_blobs(catalog: Catalog, repository: Repository) -> AsyncIterator[tuple[Digest, int]]:
    """Iterate over a repository's held blobs, digest and `placed_ns`, in the order of digests."""
    return rows(lambda last: catalog.held_blobs(repository, last, PAGE_LIMIT), lambda row: row[0], "", PAGE_LIMIT)


def repositories_with(catalog: Catalog, digest: Digest) -> AsyncIterator[Repository]:
    """Iterate over the names of the repositories in which a blob is present, in byte order."""
    return rows(lambda last: catalog.repositories_with(digest, last, PAGE_LIMIT), lambda name: name, "", PAGE_LIMIT)


def carried_pages(catalog: Catalog, repository: Repository) -> AsyncIterator[Sequence[CarriedEntry]]:
    """Iterate over the entries that a repository carries along, in pages, in the order of keys."""
    return pages(lambda last: catalog.carried(repository, last, PAGE_LIMIT), lambda row: row.key, "", PAGE_LIMIT)


def carried(catalog: Catalog, repository: Repository) -> AsyncIterator[CarriedEntry]:
    """Iterate over the entries that a repository carries along, in the order of keys."""
    return rows(lambda last: catalog.carried(repository, last, PAGE_LIMIT), lambda row: row.key, "", PAGE_LIMIT)
