"""Delete from the catalog what another program removed from a layout together with its blobs."""

from __future__ import annotations

from collections.abc import Collection

from zot.catalog import paging
from zot.catalog.blob_commands import Disposal, DoomBlob
from zot.catalog.command import ChangeSource, new_id
from zot.catalog.edges import edges
from zot.catalog.interface import Catalog
from zot.catalog.manifest_commands import Deleted, DeleteTag, RemoveManifest
from zot.catalog.rows import ManifestDetails
from zot.oci.digest import Digest
from zot.oci.manifest import InvalidManifestError, parse_manifest
from zot.oci.names import Repository
from zot.registry.blob_deletion import delete_blob
from zot.storage.interface import Storage


async def forget_removed(
    catalog: Catalog,
    storage: Storage,
    repository: Repository,
    listed: Collection[Digest],
    *,
    pushed_until_ns: int | None,
    by: str,
) -> list[ManifestDetails]:
    """Delete manifests that are not `listed` and whose blobs were removed from the disk; return them.

    Their tags are deleted with them, and indexes that list one. A manifest with all its blobs stays: only its entry is
    missing. So does one that needs a blob which never existed here, and one that was pushed later than
    `pushed_until_ns` (None: no limit), which the other program had not seen. `by` is the author in the tag log.
    Idempotent. Raises CatalogError, StorageError.
    """
    lost: dict[Digest, ManifestDetails] = {}
    missing: set[Digest] = set()
    parents: dict[Digest, list[ManifestDetails]] = {}
    async for manifest in paging.manifests(catalog, repository):
        if manifest.digest in listed or (pushed_until_ns is not None and manifest.pushed_ns > pushed_until_ns):
            continue
        blobs, children = await _names(catalog, repository, manifest)
        gone = [blob for blob in blobs if await _is_gone(catalog, storage, repository, blob)]
        if gone:
            lost[manifest.digest] = manifest
            missing.update(gone)
        for child in children:
            parents.setdefault(child, []).append(manifest)
    waiting = list(lost)
    while waiting:
        for parent in parents.get(waiting.pop(), ()):
            if parent.digest not in lost:
                lost[parent.digest] = parent
                waiting.append(parent.digest)
    await _delete(catalog, repository, list(lost.values()), by)
    for digest in missing:
        await _forget_blob(catalog, storage, repository, digest)
    return list(lost.values())


async def _names(
    catalog: Catalog, repository: Repository, manifest: ManifestDetails
) -> tuple[list[Digest], list[Digest]]:
    """Return the blobs that a manifest needs, and the manifests that it lists."""
    content = await catalog.manifest_content(repository, manifest.digest)
    try:
        found = edges(parse_manifest(content or b"", manifest.media_type))
    except InvalidManifestError:  # deleted since, or unreadable: its needs are unknown
        return [], []
    blobs = [edge.digest for edge in found if not (edge.child or edge.optional)]
    return blobs, [edge.digest for edge in found if edge.child]


async def _is_gone(catalog: Catalog, storage: Storage, repository: Repository, blob: Digest) -> bool:
    """Return whether a blob existed and its file is missing; a read may have recorded that before."""
    row = await catalog.blob(repository, blob)
    if (row is not None and row.held) or await storage.stat(repository, blob) is not None:
        return False
    return row is not None or await storage.is_quarantined(repository, blob)


async def _forget_blob(catalog: Catalog, storage: Storage, repository: Repository, digest: Digest) -> None:
    """Remove the row of a blob without a file: collection would unlink a file that is restored."""
    doom = DoomBlob(
        repository=repository,
        digest=digest,
        token=new_id(),
        owner=catalog.owner,
        damaged=True,
        source=ChangeSource.MERGE,
        disposal=Disposal.NO_FILE,
    )
    await delete_blob(catalog, storage, doom)


async def _delete(catalog: Catalog, repository: Repository, lost: list[ManifestDetails], by: str) -> None:
    """Delete manifests, indexes first. A manifest that an index still lists only loses its tags."""
    for manifest in lost:
        for tag in manifest.tags:
            await catalog.do(
                DeleteTag(repository=repository, tag=tag, if_digest=manifest.digest, by=by, source=ChangeSource.MERGE)
            )
    left, deleted = lost, True
    while left and deleted:
        deleted = False
        remaining = []
        for manifest in left:
            delete = RemoveManifest(
                repository=repository, digest=manifest.digest, if_tags=(), by=by, source=ChangeSource.MERGE
            )
            if isinstance(await catalog.do(delete), Deleted):
                deleted = True
            else:
                remaining.append(manifest)
        left = remaining
