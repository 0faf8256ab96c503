"""What the tests of the catalog put into it."""

from __future__ import annotations

from zot.catalog.blob_commands import (
    ClaimBlob,
    ClaimOutcome,
    DoomBlob,
    DoomOutcome,
    MarkUnreferenced,
    PublishBlob,
    PublishOutcome,
)
from zot.catalog.interface import Catalog
from zot.catalog.manifest_commands import Edge, PutManifest, Stored, TagMove
from zot.oci.digest import Digest, digest_of
from zot.oci.names import Repository, Tag, parse_repository, parse_tag

APP = parse_repository("team/app")
OTHER = parse_repository("other")

OWNER = "boot"
"""The owner that the catalogs of these tests are opened for."""

V1, V2, LATEST = parse_tag("v1"), parse_tag("v2"), parse_tag("latest")

LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
IMAGE_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


def digest(name: str) -> Digest:
    """Return the digest that stands for content of this name."""
    return digest_of(name.encode())


def layer(name: str, *, optional: bool = False) -> Edge:
    """Return an edge to a layer."""
    return Edge(digest(name), LAYER_TYPE, len(name), optional=optional)


def child(name: str) -> Edge:
    """Return an edge to a manifest in an index."""
    return Edge(digest(name), IMAGE_TYPE, len(name), child=True)


def put(name: str, *edges: Edge, tags: tuple[Tag, ...] = (), repository: Repository = APP) -> PutManifest:
    """Return the command that stores a manifest whose content is its name."""
    return PutManifest(
        repository=repository,
        digest=digest(name),
        content=name.encode(),
        media_type=INDEX_TYPE if any(edge.child for edge in edges) else IMAGE_TYPE,
        edges=edges,
        tags=tuple(TagMove(tag) for tag in tags),
        by="alice",
    )


async def push_blob(catalog: Catalog, name: str, repository: Repository = APP, owner: str = OWNER) -> Digest:
    """Make a blob present whose content is its name."""
    claim = ClaimBlob(repository=repository, digest=digest(name), token=f"push {name}", owner=owner)
    assert await catalog.do(claim) is ClaimOutcome.CLAIMED
    publish = PublishBlob(repository=repository, digest=digest(name), token=claim.token, size=len(name))
    assert await catalog.do(publish) is PublishOutcome.PRESENT
    return digest(name)


async def push(
    catalog: Catalog, name: str, *edges: Edge, tags: tuple[Tag, ...] = (), repository: Repository = APP
) -> Digest:
    """Store a manifest whose blobs are there."""
    assert isinstance(await catalog.do(put(name, *edges, tags=tags, repository=repository)), Stored)
    return digest(name)


async def stamp(catalog: Catalog, now_s: float = 100, repository: Repository = APP) -> int:
    """Let a sweep come by."""
    return await catalog.do(MarkUnreferenced(repository=repository, now_s=now_s))


async def doom(
    catalog: Catalog, blob: Digest, token: str = "doom", marked_before_s: float | None = None, *, orphan: bool = False
) -> DoomOutcome:
    """Let a delete or a collector come by."""
    return await catalog.do(
        DoomBlob(repository=APP, digest=blob, token=token, marked_before_s=marked_before_s, owner=OWNER, orphan=orphan)
    )
