"""The pages of files: directories and files of an image or of one layer, a search in them, and downloads."""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from zot.extensions.layers.interface import (
    IMPLIED_MODE,
    ImageFile,
    LayerContentError,
    LayerFile,
    LayerFileKind,
    LayerFiles,
    LayerList,
    LayersUnavailableError,
    ListStatus,
)
from zot.extensions.search.interface import ImageSummary, ManifestSummary
from zot.extensions.ui.addresses import ImageView, Links
from zot.extensions.ui.file_names import named, shown_name
from zot.extensions.ui.file_text import SHOWN_BYTES, as_text
from zot.extensions.ui.page import HtmlPage, PageVisit, bounds_of, list_pages, not_found
from zot.oci.digest import Digest
from zot.oci.names import Reference, Repository

UNAVAILABLE = "The registry cannot read or write its lists of files now. Its log says why."

_FIND_LIMIT = 256
_KINDS = {
    LayerFileKind.FILE: stat.S_IFREG,
    LayerFileKind.HARD_LINK: stat.S_IFREG,
    LayerFileKind.DIRECTORY: stat.S_IFDIR,
    LayerFileKind.SYMLINK: stat.S_IFLNK,
    LayerFileKind.CHARACTER_DEVICE: stat.S_IFCHR,
    LayerFileKind.BLOCK_DEVICE: stat.S_IFBLK,
    LayerFileKind.FIFO: stat.S_IFIFO,
}
_WORDS = {
    LayerFileKind.CHARACTER_DEVICE: "character device",
    LayerFileKind.BLOCK_DEVICE: "block device",
    LayerFileKind.FIFO: "FIFO",
    LayerFileKind.OTHER: "of an unknown kind",
}


_log = logging.getLogger("zot.ui")


class FileRow(NamedTuple):
    """A line of a list of files."""

    name: str
    note: str
    """What it is beside its name: where a link leads, what kind of device it is, what it deletes."""
    href: str | None
    size: int | None
    mode: str
    owner: str
    modified_ns: int | None
    layer: int | None
    """Its number, from 1."""
    layer_href: str
    gone: str
    """Why it is not in the image; empty: it is."""


class LayerDownload(NamedTuple):
    """A file to send."""

    repository: Repository
    layer: Digest
    file: LayerFile
    name: bytes


class _Subject(NamedTuple):
    """What a page of files is about: an image by one of its manifests, or one of its layers."""

    name: Repository
    reference: Reference
    manifest: ManifestSummary
    chosen: Digest | None

    @property
    def layers(self) -> list[Digest]:
        """The layers that are shown, the lowest first."""
        return [self.chosen] if self.chosen else [each.digest for each in self.manifest.layers]

    def number(self, position: int) -> int:
        """Return the number of a layer of `layers` in the manifest, from 1."""
        digests = [each.digest for each in self.manifest.layers]
        return digests.index(self.chosen) + 1 if self.chosen else position + 1

    def link(self, *, chosen: Digest | None = None, view: ImageView = ImageView.FILES, **fields: str) -> str:
        """Return the address of a page of files of the same manifest, or of one of its layers."""
        return Links.image(self.name, self.reference, self.manifest.digest, view, layer=chosen or "", **fields)

    def file_link(self, path: bytes, chosen: Digest | None = None) -> str:
        """Return the address of a path."""
        return self.link(chosen=chosen or self.chosen, path=shown_name(path))


async def files(
    layer_files: LayerFiles | None,
    visit: PageVisit,
    name: Repository,
    reference: Reference,
    found: ImageSummary,
) -> HtmlPage:
    """Return a page of files, without what all pages of an image have; it says so while lists cannot be used.

    Raises StorageError.
    """
    subject = _subject(visit, name, reference, found)
    if layer_files is None or subject is None:
        return not_found("layer with this digest in this image" if layer_files else "page at this address")
    try:
        return await _listed(layer_files, visit, subject, found)
    except LayersUnavailableError as error:
        _log.warning("the page of an image's files shows none: %s", error)
        return HtmlPage("files.html", {**_common(subject, found), "problem": UNAVAILABLE})


async def _listed(layer_files: LayerFiles, visit: PageVisit, subject: _Subject, found: ImageSummary) -> HtmlPage:
    """Return the page of a directory, a search or a file. Raises LayersUnavailableError, StorageError."""
    name = subject.name
    lists = await layer_files.lists(name, subject.layers)
    values = {**_common(subject, found), **list_notes(lists, subject)}
    if values["waiting"]:
        return HtmlPage("files.html", values)
    if text := visit.fields.get("find", "").strip()[:_FIND_LIMIT]:
        return HtmlPage("files.html", {**values, "find": text, **await _found(layer_files, visit, subject, text)})
    path = named(visit.fields.get("path", "")).strip(b"/")
    values |= {"file_path": shown_name(path), "crumbs": list(_crumbs(subject, path))}
    bounds = bounds_of(visit.fields)
    page = await layer_files.directory(name, subject.layers, path, bounds.offset, bounds.limit)
    if page is not None:
        values |= {
            "rows": [_row(subject, each, path) for each in page.rows],
            "partial": page.partial,
            "file_pages": list_pages(bounds, page.total, subject.file_link(path)),
        }
        return HtmlPage("files.html", values)
    file = await layer_files.file(name, subject.layers, path)
    if file is None:
        return not_found(f"file {shown_name(path)} in this image")
    return HtmlPage("file.html", {**values, **await _file(layer_files, subject, file)})


async def download(
    layer_files: LayerFiles | None, visit: PageVisit, name: Repository, reference: Reference, found: ImageSummary
) -> LayerDownload | HtmlPage:
    """Return the file that a download asks for, or a page that says why not. Raises LayersUnavailableError."""
    subject = _subject(visit, name, reference, found)
    path = named(visit.fields.get("path", "")).strip(b"/")
    if layer_files is None or subject is None:
        return not_found("file at this address")
    lists = await layer_files.lists(name, subject.layers)
    if any(each.status is ListStatus.WAITING for each in lists):
        return HtmlPage("files.html", {**_common(subject, found), **list_notes(lists, subject)}, 503)
    file = await layer_files.file(name, subject.layers, path)
    content = await _content_of(layer_files, subject, file) if file is not None else None
    if file is None or content is None or content.offset is None:
        return not_found(f"file {shown_name(path)} with content in this image")
    return LayerDownload(name, subject.layers[file.layer], content, path.rpartition(b"/")[2])


def list_notes(lists: Sequence[LayerList], subject: _Subject) -> dict[str, object]:
    """Return how many lists are waited for, and what the others do not have."""
    notes = []
    for position, each in enumerate(lists):
        if each.note:
            notes.append(f"Layer {subject.number(position)}: {each.note}")
    return {
        "waiting": sum(each.status is ListStatus.WAITING for each in lists),
        "lists": len(lists),
        "notes": list(dict.fromkeys(notes)),
        "no_list": all(each.status in {ListStatus.FAILED, ListStatus.MISSING} for each in lists),
    }


def _subject(visit: PageVisit, name: Repository, reference: Reference, found: ImageSummary) -> _Subject | None:
    """Return what a page is about; None: the image has no such manifest or layer."""
    wanted, layer = visit.fields.get("digest", ""), visit.fields.get("layer", "")
    manifests = [each for each in found.manifests if not wanted or each.digest == wanted]
    if not manifests:
        return None
    chosen = next((each.digest for each in manifests[0].layers if each.digest == layer), None)
    if layer and chosen is None:
        return None
    return _Subject(name, reference, manifests[0], chosen)


def _common(subject: _Subject, found: ImageSummary) -> dict[str, object]:
    return {
        "manifest": subject.manifest,
        "manifests": [each for each in found.manifests if each.layers],
        "layer": subject.chosen,
        "layer_number": subject.number(0) if subject.chosen else None,
        "layers": subject.manifest.layers,
        "address": subject.link(),
        "problem": "",
        "find": "",
        "file_path": "",
        "crumbs": [],
        "rows": None,
        "partial": False,
        "file_pages": None,
    }


async def _found(layer_files: LayerFiles, visit: PageVisit, subject: _Subject, text: str) -> dict[str, object]:
    bounds = bounds_of(visit.fields)
    page = await layer_files.find(subject.name, subject.layers, named(text), bounds.offset, bounds.limit)
    return {
        "rows": [_row(subject, each, None) for each in page.rows],
        "partial": page.partial,
        "file_pages": list_pages(bounds, page.total, subject.link(chosen=subject.chosen, find=text)),
    }


def _crumbs(subject: _Subject, path: bytes) -> Iterator[tuple[str, str]]:
    """Yield the names of a path, each with the address of its directory."""
    names = path.split(b"/") if path else []
    for count, each in enumerate(names, 1):
        yield shown_name(each), subject.file_link(b"/".join(names[:count]))


def _row(subject: _Subject, found: ImageFile, parent: bytes | None) -> FileRow:
    """Return the line of a file, by its name in `parent`, or by its path."""
    file = found.file
    deletes = file.kind in {LayerFileKind.WHITEOUT, LayerFileKind.OPAQUE}
    path = file.path if parent is None else file.path.rpartition(b"/")[2]
    layer = subject.layers[found.layer]
    gone = "" if found.hidden_by is None else f"deleted or replaced by layer {subject.number(found.hidden_by)}"
    return FileRow(
        name=shown_name(path) + ("/" if file.kind is LayerFileKind.DIRECTORY else ""),
        note=_note(file),
        href=None if deletes else subject.file_link(file.path, layer if gone else None),
        size=file.size if file.kind is LayerFileKind.FILE else None,
        mode=mode_text(file),
        owner="" if deletes or file.mode == IMPLIED_MODE else owner_text(file),
        modified_ns=None if deletes or file.mode == IMPLIED_MODE else file.modified_s * 10**9,
        layer=subject.number(found.layer) if subject.chosen is None else None,
        layer_href=subject.file_link(file.path, layer),
        gone=gone,
    )


def _note(file: LayerFile) -> str:
    match file.kind:
        case LayerFileKind.SYMLINK:
            return f"→ {shown_name(file.target)}"
        case LayerFileKind.HARD_LINK:
            return f"= {shown_name(file.target)}"
        case LayerFileKind.WHITEOUT:
            return "deleted from the layers below"
        case LayerFileKind.OPAQUE:
            return "all that the layers below have in this directory is deleted"
        case LayerFileKind.CHARACTER_DEVICE | LayerFileKind.BLOCK_DEVICE:
            return f"{_WORDS[file.kind]} {shown_name(file.target)}"
        case _:
            return _WORDS.get(file.kind, "")


def mode_text(file: LayerFile) -> str:
    """Return the mode of a file as `ls` shows it; empty: it has none."""
    if file.kind not in _KINDS or file.mode == IMPLIED_MODE:
        return ""
    return stat.filemode(_KINDS[file.kind] | file.mode)


def owner_text(file: LayerFile) -> str:
    """Return the owner and group of a file, by name where the archive has names."""
    user, group = shown_name(file.user) or str(file.uid), shown_name(file.group) or str(file.gid)
    return f"{user}:{group}"


async def _file(layer_files: LayerFiles, subject: _Subject, found: ImageFile) -> dict[str, object]:
    """Return what the page of a file shows: facts, and its beginning if that is text."""
    content = await _content_of(layer_files, subject, found)
    layer = subject.layers[found.layer]
    values: dict[str, object] = {
        "file": found.file,
        "note": _note(found.file),
        "mode": mode_text(found.file),
        "owner": owner_text(found.file),
        "modified_ns": found.file.modified_s * 10**9,
        "found_in": subject.number(found.layer),
        "found_in_href": subject.link(chosen=layer),
        "target_href": await _target(layer_files, subject, found.file),
        "content": content,
        "sha256": content.sha256.hex() if content is not None else "",
        "download": None,
        "text": None,
        "fault": "",
        "shown_bytes": 0,
    }
    if content is None or content.offset is None:
        return values
    values["download"] = subject.link(chosen=subject.chosen, view=ImageView.DOWNLOAD, path=shown_name(found.file.path))
    try:
        beginning = await _beginning(layer_files, subject.name, layer, content)
    except LayerContentError as error:
        return {**values, "fault": str(error)}
    return {**values, "text": as_text(beginning), "shown_bytes": len(beginning)}


async def _content_of(layer_files: LayerFiles, subject: _Subject, found: ImageFile) -> LayerFile | None:
    """Return the file whose bytes a file has: itself, or of a hard link the one in the same layer; None: none."""
    file = found.file
    if file.kind is LayerFileKind.HARD_LINK:
        target = await layer_files.file(subject.name, [subject.layers[found.layer]], file.target)
        file = target.file if target is not None else file
    return file if file.kind is LayerFileKind.FILE else None


async def _target(layer_files: LayerFiles, subject: _Subject, file: LayerFile) -> str | None:
    """Return the address of what a symlink leads to, if that is in the image."""
    if file.kind is not LayerFileKind.SYMLINK:
        return None
    names = [] if file.target.startswith(b"/") else file.path.split(b"/")[:-1]
    for name in file.target.split(b"/"):
        if name == b"..":
            del names[-1:]
        elif name not in {b"", b"."}:
            names.append(name)
    path = b"/".join(names)
    found = await layer_files.file(subject.name, subject.layers, path)
    return subject.file_link(path) if found is not None else None


async def _beginning(layer_files: LayerFiles, name: Repository, layer: Digest, file: LayerFile) -> bytes:
    """Return the first bytes of a file. Raises LayerContentError, LayersUnavailableError, StorageError."""
    held = b""
    async with layer_files.open(name, layer, file) as pieces:
        async for piece in pieces:
            held += piece[: SHOWN_BYTES - len(held)]
            if len(held) == SHOWN_BYTES:
                break
    return held
