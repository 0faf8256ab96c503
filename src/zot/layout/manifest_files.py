"""Read and remove the manifests of a layout: files below `blobs/` that `index.json` or an index names."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import NamedTuple

from zot.catalog.blob_commands import DoomBlob
from zot.catalog.command import new_id
from zot.catalog.edges import edges
from zot.catalog.interface import Catalog
from zot.catalog.layout_commands import LayoutManifest
from zot.catalog.rows import CarriedEntry, Unread
from zot.config import default_limits
from zot.layout.index_entry import carried_child
from zot.layout.interface import ContentFile, LayoutFiles
from zot.oci import media_types
from zot.oci.digest import Digest
from zot.oci.lenient import LenientManifest, parse_leniently
from zot.oci.names import Repository
from zot.registry.blob_deletion import delete_blob
from zot.storage.interface import Storage

MANIFEST_LIMIT_BYTES = default_limits.MANIFEST_BYTES
"""The least limit for reading, whatever the limit of pushes is: a manifest that was once pushed stays readable."""

_BATCH = 32


class NotRead(NamedTuple):
    """A listed manifest that cannot be read."""

    digest: Digest
    why: Unread


async def nothing_known(_: Digest) -> bool:
    """Know of no manifest."""
    return False


async def read_manifests(
    files: LayoutFiles,
    repository: Repository,
    listed: Mapping[Digest, str],
    limit_bytes: int,
    is_known: Callable[[Digest], Awaitable[bool]] = nothing_known,
) -> AsyncGenerator[LayoutManifest | CarriedEntry | NotRead, None]:
    """Iterate over listed manifests, and over those that indexes among them list.

    `listed` maps digests to media types. Bytes of at most `limit_bytes` that have the digest of their name are a
    manifest, whatever they contain. For a listed manifest that cannot be read it yields the reason; for one that an
    index lists it yields an entry to be carried, or nothing if there is no file. A manifest that `is_known` is skipped,
    with those that it lists. Raises StorageError.
    """
    waiting = dict(listed)
    seen = set(listed)
    while waiting:
        batch = dict(waiting.popitem() for _ in range(min(_BATCH, len(waiting))))
        wanted = [digest for digest in batch if not await is_known(digest)]
        found_files = await files.contents(repository, wanted, limit_bytes)
        waiting.update((digest, batch[digest]) for digest in wanted[len(found_files) :])
        for digest, file in zip(wanted, found_files, strict=False):
            media_type = batch[digest]
            if isinstance(file, Unread):
                if digest in listed:
                    yield NotRead(digest, file)
                elif file is not Unread.MISSING and media_type in media_types.MANIFESTS:
                    yield carried_child(digest, media_type, file)
                continue
            reading = parse_leniently(file.content, media_type)
            if digest not in listed and not reading.is_manifest and media_type not in media_types.MANIFESTS:
                continue  # a blob that an index lists
            yield _layout_manifest(digest, file, reading)
            children = {Digest(each.digest): each.media_type for each in reading.manifest.children}
            found = {
                digest: media_type
                for digest, media_type in children.items()
                if media_types.may_be_manifest(media_type) and digest not in seen
            }
            waiting.update(found)
            seen.update(found)


async def remove_manifest_file(catalog: Catalog, storage: Storage, repository: Repository, digest: Digest) -> None:
    """Remove a manifest's file unless the catalog has a manifest or a blob of that digest.

    Durable and idempotent. Raises StorageError, CatalogError.
    """
    if await catalog.resolve(repository, digest) is not None:
        return
    # While it is doomed, no push of a blob with these bytes can be placed.
    doom = DoomBlob(repository=repository, digest=digest, token=new_id(), owner=catalog.owner, orphan=True)
    await delete_blob(catalog, storage, doom)


def _layout_manifest(digest: Digest, file: ContentFile, reading: LenientManifest) -> LayoutManifest:
    manifest = reading.manifest
    return LayoutManifest(
        digest=digest,
        content=file.content,
        media_type=manifest.media_type,
        artifact_type=manifest.artifact_type,
        subject=manifest.subject,
        annotations=manifest.annotations,
        edges=edges(manifest),
        pushed_ns=file.modified_ns,
        whole=reading.whole,
    )
