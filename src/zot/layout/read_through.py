"""Reading one manifest straight from a layout that is not adopted yet, so that pulls work at once after a start."""

from __future__ import annotations

from contextlib import aclosing

from zot.catalog.layout_commands import LayoutManifest
from zot.layout.index_json import LayoutBroken
from zot.layout.interface import LayoutFiles
from zot.layout.manifest_files import read_manifests
from zot.oci.names import Reference, Repository
from zot.registry.errors import Unavailable


async def read_through(files: LayoutFiles, repository: Repository, reference: Reference) -> LayoutManifest | None:
    """Return the manifest that `index.json` lists for a tag or digest, None if it lists none, or it is damaged.

    Raises Unavailable if `index.json` is broken, StorageError.
    """
    try:
        file = await files.load(repository)
    except LayoutBroken as error:
        raise Unavailable(f"the repository cannot be read: {error}", 60, name=repository) from error
    entries = file.parsed.entries if file else ()
    entry = next((entry for entry in entries if reference in (entry.tag, entry.digest)), None)
    if entry is None:
        return None
    async with aclosing(read_manifests(files, repository, {entry.digest: entry.media_type})) as manifests:
        return await anext(manifests, None)
