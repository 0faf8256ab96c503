"""Content files that other programs wrote into a repository that the catalog knows."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from zot.catalog.blob_commands import ClaimBlob, ClaimOutcome, DropClaim, PublishBlob, PublishOutcome
from zot.catalog.command import new_id
from zot.catalog.interface import Catalog
from zot.catalog.manifest_commands import Edge
from zot.oci import media_types
from zot.oci.digest import Digest
from zot.oci.names import Repository
from zot.storage.interface import Storage

_log = logging.getLogger(__name__)


async def register_named(catalog: Catalog, storage: Storage, repository: Repository, edges: Iterable[Edge]) -> None:
    """Register the content files that a found manifest names, before the manifest is stored.

    Raises CatalogError, StorageError.
    """
    for edge in edges:
        # An index may list layers directly, as a build cache does.
        if edge.child and edge.media_type in media_types.MANIFESTS:
            continue
        row = await catalog.blob(repository, edge.digest)
        # Collection runs concurrently: it must not delete what the manifest is about to name.
        if row is not None and not row.marked:
            continue
        registered = await register_existing(catalog, storage, repository, edge.digest)
        if not registered and await storage.stat(repository, edge.digest) is not None:
            _log.warning("%s: %s is not served: its bytes have another digest", repository, edge.digest)


async def register_existing(catalog: Catalog, storage: Storage, repository: Repository, digest: Digest) -> bool:
    """Make a content file of another program a blob; False: it is missing, damaged or being deleted.

    Its bytes are hashed first: what is served has the digest of its name. The digest is claimed before the file is
    looked at: otherwise a deletion under way could unlink the file after it was seen, and the catalog would have a blob
    without a file. Raises CatalogError, StorageError.
    """
    token = new_id()
    match await catalog.do(ClaimBlob(repository=repository, digest=digest, token=token, owner=catalog.owner)):
        case ClaimOutcome.PRESENT:
            return True
        case ClaimOutcome.DOOMED:
            return False
        case ClaimOutcome.CLAIMED:
            pass
    size = None
    try:
        if await storage.is_whole(repository, digest):
            size = await storage.stat(repository, digest)
    finally:
        if size is None:
            await catalog.do(DropClaim(repository=repository, digest=digest, token=token))
    if size is None:
        return False
    published = await catalog.do(PublishBlob(repository=repository, digest=digest, token=token, size=size))
    return published is PublishOutcome.PRESENT
