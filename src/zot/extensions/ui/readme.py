"""The README of a repository: Markdown that was attached to an image, or pushed under the tag `readme`.

Registries have no README of their own, and clients agree on none: what counts is an artifact whose file is Markdown.
"""

from __future__ import annotations

import msgspec
from markupsafe import Markup

from zot.extensions.search.interface import ImageQuery, ImageSort, ImageSummary, PageBounds, Referrer
from zot.extensions.ui.page import PageParts, PageVisit
from zot.oci.digest import Digest
from zot.oci.names import Repository, Tag

TAG = Tag("readme")
_IMAGES = PageBounds(10)
"""The images pushed last, among whose referrers a README is looked for."""
_READ_LIMIT = 4
"""Artifacts that are opened to find one."""
_MARKS = ("markdown", "readme")
_CREATED = "org.opencontainers.image.created"
_LINKS = ("io.artifacthub.package.readme-url", "org.opencontainers.image.documentation", "org.opencontainers.image.url")


class Readme(msgspec.Struct, frozen=True):
    """What a repository says of itself. Empty: nothing."""

    html: Markup | None = None
    source: Digest | None = None
    """The artifact that has it."""
    subject: ImageSummary | None = None
    """The image that it is attached to."""
    description: str = ""
    """Plain text of an annotation of the image pushed last."""
    links: tuple[str, ...] = ()
    """Where annotations say that there is more to read."""


async def readme(parts: PageParts, visit: PageVisit, name: Repository) -> Readme:
    """Return the README of a repository.

    Raises SearchUnavailableError, CatalogError, StorageError, ThreadPoolBusyError.
    """
    query = ImageQuery(repository=name, sort=ImageSort.PUSHED, page=_IMAGES)
    images = (await parts.search.images(visit.visible, query)).rows
    newest = next(iter(images), None)
    annotations = _annotations(newest) if newest is not None else {}
    said = Readme(
        description=newest.description.description if newest is not None else "",
        links=tuple(dict.fromkeys(annotations[key] for key in _LINKS if key in annotations)),
    )
    for digest, subject in await _candidates(parts, visit, name, images):
        file = next((each for each in await parts.documents.files(name, digest) or () if each.is_markdown), None)
        if file is not None and (html := await parts.documents.markdown(visit, name, file)) is not None:
            return msgspec.structs.replace(said, html=html, source=digest, subject=subject)
    return said


async def _candidates(
    parts: PageParts, visit: PageVisit, name: Repository, images: tuple[ImageSummary, ...]
) -> list[tuple[Digest, ImageSummary | None]]:
    """Return artifacts that may be a README, best first, each with the image that it is attached to."""
    subjects: dict[Digest, ImageSummary] = {}
    for image in images:
        for digest in (image.digest, *(each.digest for each in image.manifests)):
            subjects.setdefault(digest, image)
    referrers = await parts.search.referrers(visit.visible, name, list(subjects)) if subjects else {}
    found: list[tuple[Digest, ImageSummary | None]] = []
    for digest, image in subjects.items():
        latest = sorted(filter(_may_be_one, referrers.get(digest, ())), key=_created, reverse=True)
        found += [(each.digest, image) for each in latest]
    tagged = await parts.catalog.resolve(name, TAG)
    return [*([(tagged.digest, None)] if tagged is not None else []), *found][:_READ_LIMIT]


def _may_be_one(referrer: Referrer) -> bool:
    return any(mark in referrer.artifact_type.lower() for mark in _MARKS)


def _created(referrer: Referrer) -> str:
    return referrer.annotations.get(_CREATED, "")


def _annotations(image: ImageSummary) -> dict[str, str]:
    first = image.manifests[0] if image.manifests else None
    return {**(first.labels | first.annotations if first is not None else {}), **image.annotations}
