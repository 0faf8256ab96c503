"""The page of what an artifact carries: its files, and one of them shown as what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zot.extensions.search.interface import ImageSummary
from zot.extensions.ui.addresses import ImageView, Links, parse_digest_or_none
from zot.extensions.ui.documents import DOCUMENT_LIMIT_BYTES, ArtifactFile
from zot.extensions.ui.page import Download, HtmlPage, PageParts, PageVisit, bounds_of, list_pages, not_found
from zot.extensions.ui.sbom import Package
from zot.oci.digest import Digest
from zot.oci.names import Reference, Repository

_ANNOTATIONS_LIMIT = 64


async def content(parts: PageParts, visit: PageVisit, name: Repository, reference: Reference) -> HtmlPage | Download:
    """Return the page of an artifact's files, or one of them to be kept.

    Raises SearchUnavailableError, CatalogError, StorageError, ThreadPoolBusyError.
    """
    found = await parts.search.image(visit.visible, name, reference)
    if found is None:
        return not_found(f"artifact {reference} of {name}")
    digest = _manifest(found, visit.fields.get("digest", ""))
    files = await parts.documents.files(name, digest) or []
    file = _chosen(files, visit.fields.get("file", ""))
    if visit.fields.get("download"):
        return await _download(parts, visit, name, file)
    details = await parts.catalog.manifest(name, digest)
    document = await parts.documents.opened(visit, name, file) if file is not None else None
    contains = visit.fields.get("filter", "").strip()
    packages = document.sbom.packages if document is not None and document.sbom is not None else ()
    matching = filtered(packages, contains)
    bounds = bounds_of(visit.fields)
    fields = {key: visit.fields.get(key, "") for key in ("digest", "file")}
    values = {
        "name": name,
        "reference": reference,
        "digest": digest,
        "details": details,
        "annotations": sorted(_annotations(found, digest).items())[:_ANNOTATIONS_LIMIT],
        "files": files,
        "file": file,
        "fields": fields,
        "document": document,
        "limit_bytes": DOCUMENT_LIMIT_BYTES,
        "filter": contains,
        "packages": matching[bounds.offset : bounds.offset + bounds.limit],
        "package_pages": list_pages(bounds, len(matching), address(name, reference, {**fields, "filter": contains})),
        "host": visit.host,
    }
    return HtmlPage("content.html", values)


def address(name: Repository, reference: str, fields: Mapping[str, str]) -> str:
    """Return the address of the page; `fields` are those of its query."""
    return Links.image(name, reference, view=ImageView.CONTENT, **fields)


async def _download(
    parts: PageParts, visit: PageVisit, name: Repository, file: ArtifactFile | None
) -> HtmlPage | Download:
    found = await parts.documents.content(visit, name, file) if file is not None else None
    if file is None or found is None:
        return not_found(f"file of {name} of at most {DOCUMENT_LIMIT_BYTES >> 20} MiB")
    return Download(file.title or file.digest.partition(":")[2], found)


def _manifest(found: ImageSummary, wanted: str) -> Digest:
    """Return the digest of the image, or of the one of its manifests that is wanted."""
    chosen = parse_digest_or_none(wanted)
    return chosen if chosen is not None and any(each.digest == chosen for each in found.manifests) else found.digest


def _chosen(files: Sequence[ArtifactFile], wanted: str) -> ArtifactFile | None:
    """Return the file with this digest, else the first."""
    return next((each for each in files if each.digest == wanted), next(iter(files), None))


def _annotations(found: ImageSummary, digest: Digest) -> Mapping[str, str]:
    if digest == found.digest:
        return found.annotations
    return next((each.annotations for each in found.manifests if each.digest == digest), {})


def filtered(packages: Sequence[Package], contains: str) -> Sequence[Package]:
    """Return the packages that have a text in their name, license or package URL, in any case."""
    wanted = contains.casefold()
    if not wanted:
        return packages
    return [
        each
        for each in packages
        if wanted in each.name.casefold() or wanted in each.license.casefold() or wanted in each.purl.casefold()
    ]
