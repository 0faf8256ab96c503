"""What the layout of a small repository has to show, as each driver reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zot.catalog.rows import HeldBlob, LayoutSnapshot
from zot.oci.names import Repository

if TYPE_CHECKING:
    from zot.catalog.interface import Catalog


async def read_layout_snapshot(
    catalog: Catalog, repository: Repository, limit: int, limit_bytes: int
) -> LayoutSnapshot | None:
    """Read a `Catalog.layout_snapshot`. The caller sees to it that the catalog does not change in between."""
    row = await catalog.repository(repository)
    export = await catalog.export(repository)
    if row is None or export is None or not row.imported:
        return None
    tags = await catalog.tags(repository, "", limit + 1)
    manifests = await catalog.manifests(repository, "", limit + 1)
    carried = await catalog.carried(repository, "", limit + 1)
    known = await catalog.held_blobs(repository, "", limit + 1)
    if max(map(len, (tags, manifests, carried, known))) > limit:
        return None
    held: list[HeldBlob] = []
    for digest, placed_ns in known:
        content = await catalog.held_content(repository, digest)
        if content is None or (limit_bytes := limit_bytes - len(content)) < 0:
            return None
        held.append(HeldBlob(digest, placed_ns, content))
    changes = await catalog.tag_log(repository, None, None, 1)
    return LayoutSnapshot(export, changes[0].at_ns if changes else 0, tags, manifests, carried, held)
