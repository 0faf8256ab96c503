"""The pages of an image: a summary with layers and referrers, its history, its manifest, and a comparison."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from zot.admin.tag_history import as_of
from zot.extensions.search.interface import (
    Description,
    ImageSummary,
    Layer,
    ManifestSummary,
    PageBounds,
)
from zot.extensions.ui import files
from zot.extensions.ui.addresses import ImageView, Links, parse_digest_or_none, parse_tag_or_none
from zot.extensions.ui.comparison import ImageComparison, compare
from zot.extensions.ui.content import content
from zot.extensions.ui.documents import is_archive
from zot.extensions.ui.file_changes import compared_files
from zot.extensions.ui.json_fields import indented
from zot.extensions.ui.page import Download, HtmlPage, PageParts, PageVisit, may, not_found
from zot.extensions.ui.pull_commands import pinned_commands, pull_commands
from zot.extensions.ui.referrers import referrer_tree
from zot.extensions.ui.repository import restorable_tags, tag_changes
from zot.foundation.times import parse_time_ns
from zot.oci.names import Reference, Repository, Tag, as_digest, as_tag
from zot.registry.request import BeginUpload, DeleteManifest, PullManifest

_MINUTES, _AT_LIMIT = len("2026-01-02T03:04"), 40
_RELATED = PageBounds(12)
_RAW_LIMIT_BYTES = 512 * 1024
_PRETTY_LIMIT = 2 * 1024 * 1024
"""Characters of a manifest that is shown indented; a longer one is shown as it is."""
_DESCRIBED = (
    ("Licenses", "licenses"),
    ("Source", "source"),
    ("Documentation", "documentation"),
    ("Vendor", "vendor"),
    ("Authors", "authors"),
)


class Step(NamedTuple):
    """A line of the table of layers: a command of the history, a layer, or both."""

    number: int | None
    command: str
    layer: Layer | None


async def image(
    parts: PageParts, visit: PageVisit, name: Repository, reference: Reference, view: ImageView
) -> HtmlPage | Download:
    """Return a page. Raises SearchUnavailableError, CatalogError, StorageError, ThreadPoolBusyError."""
    if not _may_read(parts, visit, name, reference):
        return not_found(f"image {_title(name, reference)}")
    tag = as_tag(reference)
    if view is ImageView.HISTORY and tag is not None:
        return await _history(parts, visit, name, tag)
    if view is ImageView.CONTENT:
        return await content(parts, visit, name, reference)
    found = await parts.search.image(visit.visible, name, reference)
    if found is None:
        return await _unknown(parts, visit, name, reference)
    match view:
        case ImageView.RAW:
            return await _raw(parts, visit, name, reference, found)
        case ImageView.COMPARE:
            return await _compare(parts, visit, name, reference, found)
        case ImageView.FILES:
            page = await files.files(parts.layer_files, visit, name, reference, found)
            return replace(page, values={**_head(parts, name, reference, view), **page.values})
        case _:
            return await _summary(parts, visit, name, reference, found)


def _may_read(parts: PageParts, visit: PageVisit, name: Repository, reference: Reference) -> bool:
    """Tell whether the visitor may pull an image, and the manifest that the query chooses.

    By conditions that may differ from tag to tag of a repository which is listed.
    """
    chosen = parse_digest_or_none(visit.fields.get("digest", ""))
    references = (reference,) if chosen is None else (reference, chosen)
    is_listed = visit.visible is None or name in visit.visible
    return is_listed and all(may(parts, visit, PullManifest(repository=name, reference=each)) for each in references)


async def _history(parts: PageParts, visit: PageVisit, name: Repository, tag: Tag) -> HtmlPage:
    changes, older = await tag_changes(parts, visit, name, tag)
    address = Links.image(name, tag, view=ImageView.HISTORY, before=older) if older else None
    text = visit.fields.get("at", "")
    at_ns = parse_time_ns(f"{text}:00Z" if len(text) == _MINUTES else f"{text}Z") if text else None
    then = next(iter(await as_of(parts.catalog, name, tag, at_ns)), None) if at_ns is not None else None
    values = {
        **_head(parts, name, tag, ImageView.HISTORY),
        "changes": changes,
        "older": address,
        "restorable": await restorable_tags(parts, visit, name, changes),
        "at": text[:_AT_LIMIT],
        "at_ns": at_ns,
        "then": then,
        "pulls": pinned_commands(visit.host, name, then.digest, secure=visit.secure) if then is not None else [],
    }
    return HtmlPage("history.html", values)


async def download(
    parts: PageParts, visit: PageVisit, name: Repository, reference: Reference
) -> files.LayerDownload | HtmlPage:
    """Return the file of an image that is to be sent, or a page that says why there is none.

    Raises SearchUnavailableError, LayersUnavailableError.
    """
    found = None
    if _may_read(parts, visit, name, reference):
        found = await parts.search.image(visit.visible, name, reference)
    if found is None:
        return not_found(f"image {_title(name, reference)}")
    page = await files.download(parts.layer_files, visit, name, reference, found)
    if isinstance(page, HtmlPage):
        return replace(page, values={**_head(parts, name, reference, ImageView.FILES), **page.values})
    return page


async def _unknown(parts: PageParts, visit: PageVisit, name: Repository, reference: Reference) -> HtmlPage | Download:
    """Return the page of an image that is not here: a tag that was here once has a history."""
    tag = as_tag(reference)
    if tag is None or not await parts.catalog.tag_log(name, tag, None, 1):
        return not_found(f"image {_title(name, reference)}")
    return await image(parts, visit, name, reference, ImageView.HISTORY)


async def _summary(
    parts: PageParts, visit: PageVisit, name: Repository, reference: Reference, found: ImageSummary
) -> HtmlPage:
    manifest = _manifest_of(found, visit.fields.get("digest", ""))
    tag = as_tag(reference)
    usage = None
    if tag is not None:
        usage = (await parts.search.image_usage(visit.visible, name, [tag])).get(tag)
    subjects = list(dict.fromkeys([found.digest, *(each.digest for each in found.manifests)]))
    digest = manifest.digest if manifest is not None else None
    bases = await parts.search.base_images(visit.visible, found, manifest=digest, page=_RELATED)
    derived = await parts.search.derived_images(visit.visible, found, manifest=digest, page=_RELATED)
    steps = list(_steps(manifest)) if manifest is not None else []
    values = {
        **_head(parts, name, reference, ImageView.SUMMARY),
        "image": found,
        "manifest": manifest,
        "usage": usage,
        "may_delete": may(parts, visit, DeleteManifest(repository=name, reference=reference)),
        "may_tag": may(parts, visit, BeginUpload(repository=name)),
        "described": list(_described(found.description)),
        "pulls": pull_commands(visit.host, found, secure=visit.secure),
        "steps": steps,
        "shows_files": parts.layer_files is not None,
        "largest": max((each.layer.size for each in steps if each.layer is not None), default=0),
        "tables": [("Labels", manifest.labels), ("Annotations", manifest.annotations)] if manifest is not None else [],
        "documents": [each for each in manifest.layers if not is_archive(each.media_type)] if manifest else [],
        "referrers": await referrer_tree(parts, visit, name, subjects),
        "related": [("Built on", bases), ("Used by", derived)],
    }
    return HtmlPage("image.html", values)


async def _raw(
    parts: PageParts, visit: PageVisit, name: Repository, reference: Reference, found: ImageSummary
) -> HtmlPage:
    digest = parse_digest_or_none(visit.fields.get("digest", "")) or found.digest
    stored = await parts.catalog.manifest_content(name, digest)
    if stored is None:
        return not_found(f"manifest {digest}")
    values = {
        **_head(parts, name, reference, ImageView.RAW),
        "digest": digest,
        "address": f"/v2/{name}/manifests/{digest}",
        "length": len(stored),
        "pretty": _pretty(stored) if len(stored) <= _RAW_LIMIT_BYTES else None,
    }
    return HtmlPage("raw.html", values)


async def _compare(
    parts: PageParts, visit: PageVisit, name: Repository, reference: Reference, found: ImageSummary
) -> HtmlPage:
    wanted = visit.fields.get("with", "").strip()
    other_reference = parse_digest_or_none(wanted) or parse_tag_or_none(wanted)
    other = None
    if other_reference is not None and may(parts, visit, PullManifest(repository=name, reference=other_reference)):
        other = await parts.search.image(visit.visible, name, other_reference)
    compared = ImageComparison([], 0)
    if other is not None:
        compared = await compare(parts, visit, name, _manifest_of(found, ""), _manifest_of(other, ""))
    values = {
        **_head(parts, name, reference, ImageView.COMPARE),
        "with": wanted,
        "other": other,
        "image": found,
        "rows": compared.rows,
        "shared": compared.shared_bytes,
        "files": None,
        "file_problem": "",
        "waiting": 0,
    }
    one, another = _manifest_of(found, ""), _manifest_of(other, "") if other is not None else None
    if parts.layer_files is not None and other_reference is not None and one is not None and another is not None:
        address = Links.image(name, reference, view=ImageView.COMPARE, **{"with": wanted})
        values |= await compared_files(
            parts.layer_files, visit, name, ((reference, one), (other_reference, another)), address
        )
    return HtmlPage("compare.html", values)


def _manifest_of(found: ImageSummary, wanted: str) -> ManifestSummary | None:
    """Return the manifest of an image with this digest, else its first."""
    chosen = next((each for each in found.manifests if each.digest == wanted), None)
    return chosen or next(iter(found.manifests), None)


def _steps(manifest: ManifestSummary) -> Iterator[Step]:
    """Return the layers beside the commands that made them, in order, as far as the history tells."""
    layers, number = list(manifest.layers), 0
    for entry in manifest.history:
        if entry.empty_layer or number >= len(layers):
            yield Step(None, _command(entry.created_by or entry.comment), None)
        else:
            yield Step(number + 1, _command(entry.created_by or entry.comment), layers[number])
            number += 1
    for rest in layers[number:]:
        number += 1
        yield Step(number, "", rest)


def _command(text: str) -> str:
    """Return a command without what builders put before it."""
    return text.removeprefix("/bin/sh -c #(nop) ").removeprefix("/bin/sh -c ").strip()


def _described(description: Description) -> Iterator[tuple[str, str]]:
    for label, name in _DESCRIBED:
        if value := getattr(description, name):
            yield label, value


def _pretty(content: bytes) -> str:
    shown, is_cut = indented(content, _PRETTY_LIMIT)
    return content.decode(errors="replace") if is_cut else shown


def _title(name: Repository, reference: Reference) -> str:
    return f"{name}{'@' if as_digest(reference) else ':'}{reference}"


def _head(parts: PageParts, name: Repository, reference: Reference, view: ImageView) -> dict[str, object]:
    tag = as_tag(reference)
    titles = {
        ImageView.SUMMARY: "Image",
        ImageView.FILES: "Files",
        ImageView.RAW: "Manifest",
        ImageView.COMPARE: "Compare",
    }
    if parts.layer_files is None:
        del titles[ImageView.FILES]
    if tag is not None:
        titles[ImageView.HISTORY] = "History"
    tabs = [
        {
            "title": title,
            "href": Links.image(name, reference, view="" if each is ImageView.SUMMARY else each),
            "current": each is view,
        }
        for each, title in titles.items()
    ]
    return {"name": name, "tag": tag, "reference": reference, "tabs": tabs}
