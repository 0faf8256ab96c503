"""Batch the content of a layout into `ImportLayout` commands, each small enough not to delay other writers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

from zot.catalog.command import ChangeSource
from zot.catalog.layout_commands import ImportLayout, LayoutBlob, LayoutManifest, LayoutTag
from zot.catalog.rows import CarriedEntry
from zot.oci.names import Repository


class Dropped(NamedTuple):
    """The key of an entry that is no longer carried."""

    key: str


Item = LayoutBlob | LayoutManifest | LayoutTag | CarriedEntry | Dropped

# Less than 5 ms of the catalog's writer.
PART_ROWS = 256
_PART_BYTES = 256 * 1024


async def import_batches(
    repository: Repository, items: AsyncIterator[Item], source: ChangeSource, by: str = ""
) -> AsyncIterator[ImportLayout]:
    """Iterate over the commands that import the items, in their order: a tag comes after its manifest."""
    part: list[Item] = []
    rows = size = 0
    async for item in items:
        item_rows, item_size = _weight(item)
        if part and (rows + item_rows > PART_ROWS or size + item_size > _PART_BYTES):
            yield _command(repository, part, source, by)
            part, rows, size = [], 0, 0
        part.append(item)
        rows, size = rows + item_rows, size + item_size
    if part:
        yield _command(repository, part, source, by)


def _weight(item: Item) -> tuple[int, int]:
    if isinstance(item, LayoutManifest):
        return 1 + len(item.edges), len(item.content)
    return 1, len(item.line) if isinstance(item, CarriedEntry) else 0


def _command(repository: Repository, part: list[Item], source: ChangeSource, by: str) -> ImportLayout:
    return ImportLayout(
        repository=repository,
        blobs=tuple(item for item in part if isinstance(item, LayoutBlob)),
        manifests=tuple(item for item in part if isinstance(item, LayoutManifest)),
        carried=tuple(item for item in part if isinstance(item, CarriedEntry)),
        dropped=tuple(item.key for item in part if isinstance(item, Dropped)),
        tags=tuple(item for item in part if isinstance(item, LayoutTag)),
        by=by,
        source=source,
    )
