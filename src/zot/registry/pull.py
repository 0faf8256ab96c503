"""Reading manifests and blobs."""

from __future__ import annotations

from typing import NamedTuple

from zot.catalog.blob_commands import TouchBlob
from zot.catalog.manifest_commands import TouchManifest
from zot.catalog.rows import BlobRow, CarriedEntry, ManifestRow, Unread
from zot.oci.digest import Digest
from zot.oci.media_types import OCTET_STREAM
from zot.oci.names import as_digest
from zot.registry.blobs import manifest_as_blob
from zot.registry.damage import FoundBy, size_mismatch
from zot.registry.delete import damaged_blob
from zot.registry.errors import BlobUnknown, ManifestUnknown, NameUnknown
from zot.registry.manifest_bytes import read_manifest
from zot.registry.registry import Registry
from zot.registry.request import PullBlob, PullManifest
from zot.storage.interface import Content, ContentMissingError


class OpenedManifest(NamedTuple):
    """A manifest that is too large to be held: its file, which the caller closes."""

    digest: Digest
    media_type: str
    content: Content


class PulledManifest(NamedTuple):
    """A manifest as it was pushed, byte for byte."""

    digest: Digest
    media_type: str
    content: bytes


async def manifest(registry: Registry, request: PullManifest) -> PulledManifest | OpenedManifest:
    """Return the manifest that the reference stands for now. Raises ManifestUnknown, NameUnknown.

    Whoever asks may rely on it for the collection's delay, as with blobs: a push that is about to list it in an index.
    """
    row = await registry.catalog.resolve(request.repository, request.reference)
    # A digest that is known stands for the same content, whatever another program wrote.
    if (row is None or not as_digest(request.reference)) and await registry.level(request.repository):
        row = await registry.catalog.resolve(request.repository, request.reference)
    if row is None:
        return await _outside_catalog(registry, request)
    return await _stored(registry, request, row)


async def _stored(registry: Registry, request: PullManifest, row: ManifestRow) -> PulledManifest:
    if row.stamped and not await _touch(registry, TouchManifest(repository=request.repository, digest=row.digest)):
        raise ManifestUnknown(reference=request.reference)
    content = registry.cache.get(row.digest)
    if content is None:
        found = await read_manifest(
            registry.catalog,
            registry.storage,
            registry.damage,
            request.repository,
            row.digest,
            FoundBy.PULL,
            mends=not registry.read_only,
        )
        content = found.content
        if content is None:  # deleted between the two reads, or damaged
            raise ManifestUnknown(reference=request.reference)
        registry.cache.put(row.digest, content)
    return PulledManifest(row.digest, row.media_type, content)


async def _outside_catalog(registry: Registry, request: PullManifest) -> PulledManifest | OpenedManifest:
    row = await registry.catalog.repository(request.repository)
    if row is None or not row.adopted:
        found = await registry.layouts.read(request.repository, request.reference)
        if found is not None:
            return PulledManifest(*found)
        if row is None and not await registry.layouts.exists(request.repository):
            raise NameUnknown(name=request.repository, reference=request.reference)
    for entry in await registry.catalog.carried_as(request.repository, request.reference):
        if (carried := await _carried(registry, request, entry)) is not None:
            return carried
    raise ManifestUnknown(reference=request.reference)


async def _carried(
    registry: Registry, request: PullManifest, entry: CarriedEntry
) -> PulledManifest | OpenedManifest | None:
    """Return the manifest of an entry of `index.json` that is carried along, None if there is nothing to serve."""
    if entry.digest is None:
        return None
    if entry.unread is not None:
        await registry.layouts.read_carried(request.repository, entry)
    row = await registry.catalog.resolve(request.repository, entry.digest)
    if row is not None:
        return await _stored(registry, request, row)
    if entry.unread is not Unread.TOO_LARGE:
        return None
    try:
        opened = await registry.storage.open(request.repository, entry.digest)
    except ContentMissingError:
        return None
    return OpenedManifest(entry.digest, entry.media_type or OCTET_STREAM, opened)


async def blob(registry: Registry, request: PullBlob) -> BlobRow:
    """Return a present blob; a manifest of that digest is one, too. Raises BlobUnknown, NameUnknown.

    Whoever asks may rely on it for the collection's delay: a stamped blob is touched, and one that is gone by then
    is unknown.
    """
    row = await registry.catalog.blob(request.repository, request.digest)
    if row is None:
        await registry.known(request.repository)
        row = await registry.catalog.blob(request.repository, request.digest)
        row = row or await manifest_as_blob(registry, request.repository, request.digest)
    touch = TouchBlob(repository=request.repository, digest=request.digest)
    if row is None or (row.stamped and not await _touch(registry, touch)):
        raise BlobUnknown(digest=request.digest)
    return row


async def content(registry: Registry, request: PullBlob, row: BlobRow) -> tuple[Content, BlobRow]:
    """Open a present blob for reading; return its row, too, which is a later one if it was pushed since.

    A blob that is missing or has another size is made absent, so that the next push heals it. Raises BlobUnknown for
    it, and if it was deleted since it was seen; StorageError.
    """
    while True:
        try:
            opened = await registry.storage.open(request.repository, request.digest)
        except ContentMissingError:
            found = None
        else:
            if opened.size == row.size:
                return opened, row
            found = opened.size
            opened.close()
        row = await _later(registry, request, row, found)


async def check(registry: Registry, request: PullBlob, row: BlobRow) -> BlobRow:
    """Return the row of a blob whose content is there, with its size: what `content` would open. Raises as `content`.

    A client that finds a blob here does not send it.
    """
    while (found := await registry.storage.stat(request.repository, request.digest)) != row.size:
        row = await _later(registry, request, row, found)
    return row


async def _later(registry: Registry, request: PullBlob, row: BlobRow, found: int | None) -> BlobRow:
    """Return the row of a later push of a blob that was found damaged; if there is none it is made absent.

    `found` is its size, None if it is missing. Raises BlobUnknown.
    """
    now = await registry.catalog.blob(request.repository, request.digest)
    if now is not None and now.placed_ns == row.placed_ns:
        error = size_mismatch(found, row.size)
        await damaged_blob(registry, request.repository, request.digest, row, error, FoundBy.PULL)
        now = None
    if now is None:
        raise BlobUnknown(digest=request.digest)
    return now


async def _touch(registry: Registry, touch: TouchBlob | TouchManifest) -> bool:
    # A read-only registry collects nothing, so what is there stays.
    return registry.read_only or await registry.catalog.do(touch)
