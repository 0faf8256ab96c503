"""What the arguments of queries mean: pages, orders, filters, the text of a search, references of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from zot.extensions.search.graphql.errors import FieldError
from zot.extensions.search.interface import TEXT_LIMIT, ImageFilter, ImageSort, RepositorySort
from zot.oci.digest import InvalidDigestError, parse_digest
from zot.oci.names import InvalidNameError, InvalidTagError, Reference, Repository, parse_name, parse_repository

Arguments = dict[str, Any]
"""The values of a field's arguments, as the schema declares them; what was not given is absent."""

Sort = TypeVar("Sort", RepositorySort, ImageSort)

_REPOSITORY_SORTS = {
    "RELEVANCE": RepositorySort.RELEVANCE,
    "UPDATE_TIME": RepositorySort.PUSHED,
    "ALPHABETIC_ASC": RepositorySort.NAME,
    "ALPHABETIC_DSC": RepositorySort.NAME_DESCENDING,
    "STARS": RepositorySort.STARS,
    "DOWNLOADS": RepositorySort.DOWNLOADS,
}
_IMAGE_SORTS = {
    "RELEVANCE": ImageSort.NAME,
    "UPDATE_TIME": ImageSort.UPDATED,
    "ALPHABETIC_ASC": ImageSort.NAME,
    "ALPHABETIC_DSC": ImageSort.NAME_DESCENDING,
    "DOWNLOADS": ImageSort.DOWNLOADS,
}


class Slice(NamedTuple):
    """The part of a list that a client wants."""

    offset: int = 0
    limit: int | None = None
    """None: all from the offset on."""


def requested_slice(arguments: Arguments) -> Slice:
    """Return the part that `requestedPage` asks for. Raises FieldError."""
    page = arguments.get("requestedPage") or {}
    limit, offset = page.get("limit") or 0, page.get("offset") or 0
    if limit < 0:
        raise FieldError("pagination limit has negative value")
    if offset < 0:
        raise FieldError("pagination offset has negative value")
    return Slice(offset, limit if limit or offset else None)


def repository_sort(arguments: Arguments, default: RepositorySort) -> RepositorySort:
    """Return the order of repositories that `requestedPage` asks for. Raises FieldError."""
    return _sort(arguments, _REPOSITORY_SORTS, default)


def image_sort(arguments: Arguments, default: ImageSort) -> ImageSort:
    """Return the order of images that `requestedPage` asks for. Raises FieldError."""
    return _sort(arguments, _IMAGE_SORTS, default)


def _sort(arguments: Arguments, sorts: dict[str, Sort], default: Sort) -> Sort:
    name = (arguments.get("requestedPage") or {}).get("sortBy")
    if name is None:
        return default
    if name not in sorts:
        raise FieldError(f"sorting repos by '{name}' is not supported the pagination sort criteria is not supported")
    return sorts[name]


class RepositoryText(NamedTuple):
    """A search for repositories with a part of the name."""

    text: str


class ImageText(NamedTuple):
    """A search for tags of a repository that begin with a prefix, or of all that contain a text."""

    repository: str | None
    tag: str


class DigestText(NamedTuple):
    """A search for images with a digest that contains the text."""

    text: str


SearchText = RepositoryText | ImageText | DigestText


def search_text(query: str) -> SearchText:
    """Return what the text of a GlobalSearch looks for. Raises FieldError."""
    _bounded("query", query)
    text = query.strip().strip("/")
    if ":" not in text and "@" not in text:
        return RepositoryText(text.lower())
    if text.lower().startswith("sha256:"):
        return DigestText(text.lower())
    repository, sign, tag = text.partition(":")
    if not sign:
        raise FieldError("invalid search query")
    if not repository:
        return ImageText(None, tag.strip())
    if ":" in tag:
        raise FieldError(
            "failed to parse search text, invalid format invalid image reference format,"
            " use [repo:tag] or [repo@digest]"
        )
    return ImageText(repository.strip().lower(), tag.strip())


def image_filter(arguments: Arguments) -> ImageFilter:
    """Return what `filter` limits images to. Raises FieldError."""
    given = arguments.get("filter") or {}
    return ImageFilter(
        os=_names("os", given.get("Os")),
        arch=_names("arch", given.get("Arch")),
        signed=True if given.get("HasToBeSigned") else None,
    )


def _names(kind: str, given: Sequence[str | None] | None) -> tuple[str, ...]:
    names = tuple(each for each in given or () if each is not None)
    for each in names:
        _bounded(kind, each)
    return names


def _bounded(kind: str, text: str) -> None:
    if len(text) > TEXT_LIMIT:
        raise FieldError(
            f"max string size limit exceeded for {kind} parameter. max={TEXT_LIMIT} current={len(text)} request"
            " parameter has invalid value"
        )


def searched_slice(arguments: Arguments) -> Slice:
    """Return the part that `requestedPage` of a GlobalSearch asks for: its errors have another text."""
    page = arguments.get("requestedPage") or {}
    for name in ("limit", "offset"):
        if (page.get(name) or 0) < 0:
            raise FieldError(f"requested page {name} parameter can't be negative request parameter has invalid value")
    return requested_slice(arguments)


class ImageReference(NamedTuple):
    """An image that a client names; what cannot be a name or a reference is None."""

    text: str
    repository: Repository | None
    reference: Reference | None


def image_reference(text: str) -> ImageReference:
    """Return the image that `repo:tag` or `repo@digest` names. Raises FieldError if there is no reference."""
    name, sign, reference = text.partition("@") if "@" in text else text.partition(":")
    if not sign or not reference:
        raise FieldError("no reference provided")
    return ImageReference(text, repository_name(name), _reference(reference))


def repository_name(text: str) -> Repository | None:
    """Return the name of a repository, None if no repository can have it."""
    try:
        return parse_repository(text)
    except InvalidNameError:
        return None


def _reference(text: str) -> Reference | None:
    try:
        return parse_digest(text) if ":" in text else parse_name(text)
    except (InvalidTagError, InvalidDigestError):
        return None
