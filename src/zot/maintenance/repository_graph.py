"""A repository's manifests, blobs and references, read completely. For requests of operators, never for a sweep."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from zot.catalog import paging
from zot.catalog.interface import Catalog
from zot.catalog.rows import ManifestDetails
from zot.oci.digest import Digest
from zot.oci.lenient import parse_leniently
from zot.oci.names import Repository, Tag


@dataclass(frozen=True, slots=True)
class RepositoryGraph:
    """The content of a repository; changes during the read may be missing."""

    manifests: dict[Digest, ManifestDetails]
    """By digest, in that order."""
    blobs: dict[Digest, int]
    """Sizes of the present ones."""
    names: dict[Digest, frozenset[Digest]]
    """The blobs that each manifest names."""
    children: dict[Digest, frozenset[Digest]]
    """The manifests that each index lists, present or not."""
    unread: bool = False
    """Whether an entry could not be read, so that only tags are collected."""
    tags_only: bool = False
    """There are more manifests than were to be read: blobs and references were not."""

    @property
    def tags(self) -> dict[Tag, Digest]:
        """The tags and their manifests."""
        return {tag: digest for digest, manifest in self.manifests.items() for tag in manifest.tags}

    def closure(self, digests: Iterable[Digest]) -> set[Digest]:
        """Return the manifests with all manifests that they list, directly or indirectly."""
        found: set[Digest] = set()
        waiting = [digest for digest in digests if digest in self.manifests]
        while waiting:
            digest = waiting.pop()
            if digest not in found:
                found.add(digest)
                waiting += [child for child in self.children[digest] if child in self.manifests]
        return found

    def needed_by(self, tag: Tag) -> set[Digest]:
        """Return all content that a tag needs, with its referrers and theirs. Raises KeyError."""
        found = self.closure([self.tags[tag]])
        while more := {digest for digest, each in self.manifests.items() if each.subject in found} - found:
            found |= self.closure(more)
        return found | self.blobs_of(found)

    def blobs_of(self, manifests: Collection[Digest]) -> set[Digest]:
        """Return the present blobs that the manifests name."""
        return {blob for digest in manifests for blob in self.names[digest] if blob in self.blobs}

    def bytes_of(self, manifests: Collection[Digest], blobs: Collection[Digest]) -> int:
        """Return the bytes of manifests and blobs together; content that is both counts once."""
        sizes = {digest: self.manifests[digest].size for digest in manifests}
        return sum((sizes | {digest: self.blobs[digest] for digest in blobs}).values())


async def read(catalog: Catalog, repository: Repository, manifests_limit: float = math.inf) -> RepositoryGraph:
    """Read a repository; one of more manifests than the limit without what they name. Raises CatalogError."""
    manifests = {each.digest: each async for each in paging.manifests(catalog, repository)}
    if len(manifests) > manifests_limit:
        return RepositoryGraph(manifests, {}, {}, {}, tags_only=True)
    names: dict[Digest, frozenset[Digest]] = {}
    children: dict[Digest, frozenset[Digest]] = {}
    for digest, manifest in manifests.items():
        content = await catalog.manifest_content(repository, digest)
        # A manifest that was deleted concurrently names nothing.
        parsed = parse_leniently(content or b"", manifest.media_type).manifest
        names[digest] = frozenset(Digest(each.digest) for each in (*parsed.blobs, *parsed.elsewhere))
        children[digest] = frozenset(Digest(each.digest) for each in parsed.children)
        await asyncio.sleep(0)
    blobs: dict[Digest, int] = {}
    async for page in paging.blob_pages(catalog, repository):
        blobs.update(page)
    return RepositoryGraph(manifests, blobs, names, children, await catalog.unread(repository))
