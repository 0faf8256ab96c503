"""The files in which two images differ, as the page that compares them shows it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import NamedTuple

from zot.extensions.layers.interface import (
    IMPLIED_MODE,
    FileChange,
    LayerFile,
    LayerFileKind,
    LayerFiles,
    LayersUnavailableError,
    ListStatus,
)
from zot.extensions.search.interface import ManifestSummary
from zot.extensions.ui.addresses import ImageView, Links
from zot.extensions.ui.file_names import shown_name
from zot.extensions.ui.files import UNAVAILABLE, mode_text, owner_text
from zot.extensions.ui.page import PageVisit, bounds_of, list_pages
from zot.oci.names import Reference, Repository

_log = logging.getLogger("zot.ui")


class ChangeRow(NamedTuple):
    """A line of the files in which two images differ."""

    change: str
    """`added`, `removed` or `changed`."""
    name: str
    href: str
    before: int | None
    """Its size; None: it was not there, or is no file."""
    after: int | None
    what: str
    """What is different of a changed one."""


ComparedImage = tuple[Reference, ManifestSummary]
"""One of the images that are compared: how it is named, and its manifest."""


async def compared_files(
    layer_files: LayerFiles,
    visit: PageVisit,
    name: Repository,
    images: tuple[ComparedImage, ComparedImage],
    address: str,
) -> dict[str, object]:
    """Return what the page shows of files, at `address`; it says so while lists cannot be used.

    It asks for lists that are not made.
    """
    try:
        return await _compared(layer_files, visit, name, images, address)
    except LayersUnavailableError as error:
        _log.warning("the page of a comparison shows no files: %s", error)
        return {"file_problem": UNAVAILABLE}


async def _compared(
    layer_files: LayerFiles,
    visit: PageVisit,
    name: Repository,
    images: tuple[ComparedImage, ComparedImage],
    address: str,
) -> dict[str, object]:
    """Return the files that differ, or how many lists are waited for. Raises LayersUnavailableError."""
    before, after = ([each.digest for each in manifest.layers] for _, manifest in images)
    asked = list(dict.fromkeys([*before, *after]))
    lists = await layer_files.lists(name, asked)
    waiting = sum(each.status is ListStatus.WAITING for each in lists)
    values: dict[str, object] = {"waiting": waiting, "lists": len(lists), "files": None}
    if waiting:
        return values
    bounds = bounds_of(visit.fields)
    found = await layer_files.compare(name, before, after, bounds.offset, bounds.limit)
    notes = [f"{each.digest[:19]}…: {each.note}" for each in lists if each.note]
    return values | {
        "files": found,
        "file_rows": [_row(each, name, images) for each in found.rows],
        "file_notes": notes,
        "file_pages": list_pages(bounds, found.total, address),
    }


def _row(change: FileChange, name: Repository, images: tuple[ComparedImage, ComparedImage]) -> ChangeRow:
    before, after = change.before, change.after
    what = "added" if before is None else "removed" if after is None else "changed"
    either = after or before
    mark = "/" if either is not None and either.kind is LayerFileKind.DIRECTORY else ""
    details = ", ".join(_details(before, after)) if before is not None and after is not None else ""
    reference, manifest = images[0] if after is None else images[1]
    path = shown_name(change.path)
    href = Links.image(name, reference, manifest.digest, ImageView.FILES, path=path)
    return ChangeRow(what, path + mark, href, _size(before), _size(after), details)


def _size(file: LayerFile | None) -> int | None:
    return file.size if file is not None and file.kind is LayerFileKind.FILE else None


def _details(before: LayerFile, after: LayerFile) -> Iterator[str]:
    """Yield what is different of a file."""
    if before.kind is not after.kind:
        yield f"{before.kind.name.lower().replace('_', ' ')} → {after.kind.name.lower().replace('_', ' ')}"
        return
    if before.sha256 != after.sha256 or before.size != after.size:
        yield "content"
    if before.target != after.target:
        yield f"→ {shown_name(before.target)} became → {shown_name(after.target)}"
    if before.mode != after.mode and IMPLIED_MODE not in {before.mode, after.mode}:
        yield f"{mode_text(before)} → {mode_text(after)}"
    if (before.uid, before.gid) != (after.uid, after.gid):
        yield f"{owner_text(before)} → {owner_text(after)}"
