"""Reading all of a list, page by page, with a pause for others after each page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from zot.catalog.interface import PAGE_LIMIT, Catalog
from zot.catalog.rows import CarriedEntry, ManifestDetails
from zot.oci.names import Repository

# A page of manifests with all their tags is read in some milliseconds.
_MANIFESTS = 200


async def manifests(catalog: Catalog, repository: Repository) -> AsyncIterator[ManifestDetails]:
    """Iterate over a repository's manifests, in the order of digests. Raises CatalogError."""
    after = ""
    while page := await catalog.manifests(repository, after, _MANIFESTS):
        for manifest in page:
            yield manifest
        after = page[-1].digest
        await asyncio.sleep(0)


async def carried(catalog: Catalog, repository: Repository) -> AsyncIterator[CarriedEntry]:
    """Iterate over the entries that a repository carries along, in the order of keys. Raises CatalogError."""
    after = ""
    while page := await catalog.carried(repository, after, PAGE_LIMIT):
        for entry in page:
            yield entry
        after = page[-1].key
        await asyncio.sleep(0)
