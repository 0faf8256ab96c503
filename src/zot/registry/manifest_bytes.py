"""A manifest's bytes, checked against its digest: a database has no checksums, and its disk may change a bit."""

from __future__ import annotations

from typing import NamedTuple

from zot.catalog.interface import Catalog
from zot.catalog.manifest_commands import MendManifest
from zot.oci.digest import Digest, has_digest
from zot.oci.names import Repository
from zot.registry.damage import BAD_DIGEST, DamageReports, FoundBy
from zot.storage.interface import Storage, StorageError


class ManifestBytes(NamedTuple):
    """A manifest's bytes, and whether the catalog's were damaged."""

    content: bytes | None
    """Bytes that have the digest; None: there are none, or the manifest is gone."""
    damaged: bool = False
    """The catalog's bytes had another digest, or were lost. With `content` the layout's file had the right ones."""


async def read_manifest(
    catalog: Catalog,
    storage: Storage,
    damage: DamageReports,
    repository: Repository,
    digest: Digest,
    found_by: FoundBy,
    *,
    mends: bool = True,
) -> ManifestBytes:
    """Return a manifest's bytes if they have its digest, those of its layout's file if the catalog's are damaged.

    With `mends` the right bytes take the place of the damaged ones. Damage is reported. The caller treats a
    manifest without right bytes as missing, so that clients push it again, which mends it. Raises CatalogError.
    """
    content = await catalog.manifest_content(repository, digest)
    if content is not None and has_digest(content, digest):
        return ManifestBytes(content)
    row = await catalog.resolve(repository, digest)
    if row is None:  # deleted between the two reads
        return ManifestBytes(None)
    content = await _of_layout(storage, repository, digest, row.size)
    if content is None:
        outcome = "its layout has no right copy: it is missing until it is pushed again"
    elif mends:
        await catalog.do(MendManifest(repository=repository, digest=digest, content=content))
        outcome = "mended from its layout"
    else:
        outcome = "served from its layout"
    damage.report(repository, digest, f"{BAD_DIGEST} of a manifest in the catalog", found_by, outcome)
    return ManifestBytes(content, damaged=True)


async def _of_layout(storage: Storage, repository: Repository, digest: Digest, size: int) -> bytes | None:
    try:
        file = await storage.open(repository, digest)
    except StorageError:
        return None
    try:
        if file.size != size:
            return None
        content = await file.read(0, size)
    except StorageError:
        return None
    finally:
        file.close()
    return content if has_digest(content, digest) else None
