"""Read one manifest from a layout that is not imported yet, so that pulls work at once after a start."""

from __future__ import annotations

from contextlib import aclosing

from zot.catalog.layout_commands import LayoutManifest
from zot.layout.index_entry import IndexEntry
from zot.layout.index_json import InvalidLayoutError, entry_of
from zot.layout.interface import LayoutFiles
from zot.layout.manifest_files import read_manifests
from zot.oci.names import Reference, Repository
from zot.registry.errors import Unavailable


async def read_through(
    files: LayoutFiles, repository: Repository, reference: Reference, limit_bytes: int
) -> LayoutManifest | None:
    """Return the manifest that `index.json` lists under a name or digest; None if it lists none or it is unreadable.

    Raises Unavailable if `index.json` is invalid, StorageError.
    """
    try:
        entry = await _entry(files, repository, reference)
    except InvalidLayoutError as error:
        raise Unavailable(f"the repository cannot be read: {error}", 60, name=repository) from error
    if entry is None:
        return None
    listed = {entry.digest: entry.media_type}
    async with aclosing(read_manifests(files, repository, listed, limit_bytes)) as manifests:
        found = await anext(manifests, None)
    return found if isinstance(found, LayoutManifest) else None


async def _entry(files: LayoutFiles, repository: Repository, reference: Reference) -> IndexEntry | None:
    """Return the first entry with that digest or exactly that name, else the first whose name stands for the tag."""
    asked = reference.encode()
    stands_for: IndexEntry | None = None
    async with files.scan(repository) as scan:
        if scan is None:
            return None
        async for descriptors in scan.descriptors():
            # Nearly all descriptors are of other manifests, and are skipped without parsing them. One that is written
            # with escapes is found when the repository is imported.
            for descriptor in (each for each in descriptors if asked in each):
                entry = entry_of(descriptor)
                if entry is not None and reference in (entry.digest, entry.ref_name):
                    return entry
                if entry is not None and entry.tag == reference:
                    stands_for = stands_for or entry
    return stands_for
