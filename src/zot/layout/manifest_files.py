"""Manifests as a layout holds them: files below `blobs/` that `index.json`, or an index among them, names."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

from zot.catalog.edges import edges
from zot.catalog.layout_commands import LayoutManifest
from zot.layout.interface import ContentFile, LayoutFiles
from zot.oci import media_types
from zot.oci.digest import Digest
from zot.oci.manifest import InvalidManifestError, Manifest, parse_manifest
from zot.oci.names import Repository

MANIFEST_LIMIT_BYTES = 4 * 1024 * 1024

_BATCH = 32

_log = logging.getLogger(__name__)

MediaType = str | None
"""What a descriptor calls a manifest; None: it is asked by its digest alone."""


async def nothing_known(_: Digest) -> bool:
    """Know of no manifest."""
    return False


async def read_manifests(
    files: LayoutFiles,
    repository: Repository,
    listed: Mapping[Digest, MediaType],
    is_known: Callable[[Digest], Awaitable[bool]] = nothing_known,
) -> AsyncGenerator[LayoutManifest, None]:
    """Iterate over the manifests that are listed, and those that indexes among them list, each once.

    Passed over is what `is_known`, with what it lists; and, with a warning each, what is listed but cannot be served:
    its file is not there, is damaged, or is no manifest. Children of an index need not be there.
    """
    waiting = dict(listed)
    seen = set(listed)
    while waiting:
        batch = dict(waiting.popitem() for _ in range(min(_BATCH, len(waiting))))
        wanted = [digest for digest in batch if not await is_known(digest)]
        for digest, file in zip(wanted, await files.contents(repository, wanted, MANIFEST_LIMIT_BYTES), strict=True):
            if file is None:
                if digest in listed:
                    _log.warning("%s: manifest %s is missing, damaged or too large: left out", repository, digest)
                continue
            try:
                manifest = _parse(file.content, batch[digest])
            except InvalidManifestError as error:
                _log.warning("%s: %s is no manifest: left out: %s", repository, digest, error)
                continue
            yield _layout_manifest(digest, file, manifest)
            children = {Digest(each.digest): each.media_type for each in manifest.children}
            found = {
                digest: media_type
                for digest, media_type in children.items()
                if media_type in media_types.MANIFESTS and digest not in seen
            }
            waiting.update(found)
            seen.update(found)


def _parse(content: bytes, media_type: MediaType) -> Manifest:
    """Parse a manifest by its descriptor's type; where that is not its own, by its own."""
    try:
        return parse_manifest(content, media_type)
    except InvalidManifestError:
        if media_type is None:
            raise
        return parse_manifest(content, None)


def _layout_manifest(digest: Digest, file: ContentFile, manifest: Manifest) -> LayoutManifest:
    return LayoutManifest(
        digest=digest,
        content=file.content,
        media_type=manifest.media_type,
        artifact_type=manifest.artifact_type,
        subject=manifest.subject,
        annotations=manifest.annotations,
        edges=edges(manifest),
        pushed_ns=file.modified_ns,
    )
