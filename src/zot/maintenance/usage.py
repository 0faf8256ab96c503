"""The storage usage of repositories and tags, from the catalog."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import msgspec

from zot.catalog.interface import PAGE_LIMIT, Catalog
from zot.catalog.rows import UsageRow
from zot.config.globs import Glob
from zot.foundation.paging import rows
from zot.maintenance import repository_graph
from zot.oci.names import Repository


class TagUsage(msgspec.Struct, frozen=True):
    """The bytes of a tag: its manifest and all content that it needs."""

    repository: Repository
    tag: str
    bytes: int
    unique: int
    """Of these, the bytes that no other tag of the repository needs, and that deleting the tag can free."""


async def repositories(catalog: Catalog, glob: Glob | None) -> AsyncIterator[UsageRow]:
    """Iterate over the counts of the repositories that match. Raises CatalogError."""
    async for row in rows(lambda last: catalog.usage(last, PAGE_LIMIT), lambda row: row.repository, ""):
        if glob is None or glob.matches(row.repository):
            yield row


async def tags(catalog: Catalog, repository: Repository) -> list[TagUsage]:
    """Return the bytes of each tag of a repository, sorted by name. Raises CatalogError."""
    found = await repository_graph.read(catalog, repository)
    # Tags of the same manifest need the same content.
    needed = {}
    for digest in set(found.tags.values()):
        manifests = found.closure([digest])
        needed[digest] = manifests, found.blobs_of(manifests)
    users: Counter[str] = Counter()
    for digest in found.tags.values():
        manifests, blobs = needed[digest]
        users.update(manifests | blobs)
    rows = []
    for tag, digest in sorted(found.tags.items()):
        manifests, blobs = needed[digest]
        alone = {each for each in manifests if users[each] == 1}, {each for each in blobs if users[each] == 1}
        rows.append(TagUsage(repository, tag, found.bytes_of(manifests, blobs), found.bytes_of(*alone)))
    return rows
