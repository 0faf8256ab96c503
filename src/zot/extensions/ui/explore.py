"""The page of repositories: all of them, or what a search finds, with facets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from zot.extensions.search.interface import (
    Facets,
    ImageFilter,
    ImageKind,
    ImagePage,
    ImageQuery,
    ImageSort,
    PageBounds,
    RepositoryQuery,
    RepositorySort,
)
from zot.extensions.ui.addresses import Links
from zot.extensions.ui.page import HtmlPage, PageParts, PageVisit, bounds_of, list_pages, starred
from zot.extensions.ui.pull_commands import first_push
from zot.oci.names import InvalidNameError, parse_repository

_FACETS = 12
_NO_IMAGES = ImagePage(0, ())
_RECENT = ImageQuery(sort=ImageSort.PUSHED, page=PageBounds(6))
_DIGEST = re.compile(r"(?:sha(?:256|512):)?[0-9a-f]{7,128}|sha(?:256|512):[0-9a-f]*")
_COLUMNS = (
    ("Repository", RepositorySort.NAME, ""),
    ("Platforms", None, "wide"),
    ("Tags", None, "number"),
    ("Size", None, "number wide"),
    ("Pulls", RepositorySort.DOWNLOADS, "number wide"),
    ("Pushed", RepositorySort.PUSHED, ""),
)
_STARS = ("Stars", RepositorySort.STARS, "number wide")
# The values of zui's addresses.
_SORTS = {
    "alphabetic_asc": RepositorySort.NAME,
    "alphabetic_dsc": RepositorySort.NAME_DESCENDING,
    "update_time": RepositorySort.UPDATED,
}
_OPERATING_SYSTEMS = frozenset({"linux", "windows", "freebsd", "darwin", "android"})


class _Choice(NamedTuple):
    label: str
    repositories: int
    href: str
    chosen: bool


class _Facet(NamedTuple):
    title: str
    choices: list[_Choice]


async def explore(parts: PageParts, visit: PageVisit) -> HtmlPage:
    """Return the page. Raises SearchUnavailableError, AccountsUnavailableError."""
    fields = _fields(visit.fields)
    text = fields.get("search", "")
    query = _repository_query(fields)
    stars = await starred(parts, visit)
    if fields.get("starred"):
        query = msgspec.structs.replace(query, among=stars)
    query = msgspec.structs.replace(query, page=bounds_of(visit.fields))
    if parts.accounts is not None and query.sort is RepositorySort.STARS:
        query = msgspec.structs.replace(query, stars=await parts.accounts.star_counts())
    result = await parts.search.repositories(visit.visible, query)
    counts = (
        {} if parts.accounts is None else {each.name: await parts.accounts.stars(each.name) for each in result.rows}
    )
    facets = await parts.search.facets(visit.visible, query)
    image_bounds = bounds_of(visit.fields, "images")
    wanted = image_query(text)
    images = _NO_IMAGES
    if wanted is not None:
        wanted = msgspec.structs.replace(wanted, page=image_bounds, filter=query.filter)
        images = await parts.search.images(visit.visible, wanted)
    recent = _NO_IMAGES
    if not fields and not query.page.offset:
        recent = await parts.search.images(visit.visible, _RECENT)
    address = Links.explore(fields)
    values = {
        "search_text": text,
        "narrowed": bool(fields.keys() - {"sortby"}),
        "result": result,
        "repository_pages": list_pages(query.page, result.total, address),
        "images": images,
        "recent": recent.rows,
        "image_pages": list_pages(image_bounds, images.total, address, "images"),
        "facets": list(_facets(facets, fields, has_stars=bool(stars))),
        "columns": list(_columns(fields, query.sort, has_stars=parts.accounts is not None)),
        "star_counts": counts,
        "starred": stars,
        "first_push": first_push(visit.host, secure=visit.secure),
    }
    return HtmlPage("explore.html", values)


async def suggestions(parts: PageParts, visit: PageVisit) -> HtmlPage:
    """Return what the text of the search box may stand for, as a piece of a page. Raises SearchUnavailableError."""
    text = visit.fields.get("search", "").strip()
    found = await parts.search.suggestions(visit.visible, text) if text else ()
    return HtmlPage("suggestions.html", {"suggestions": found})


def _fields(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the fields that say what is shown, zui's in the form of ours."""
    result = {key: fields[key] for key in ("os", "arch", "kind", "signed", "starred", "sortby") if fields.get(key)}
    if search := fields.get("search", "").strip():
        result["search"] = search
    match fields.get("filter", "").lower():
        case "":
            pass
        case "signed images":
            result["signed"] = "yes"
        case value if value in _OPERATING_SYSTEMS:
            result["os"] = value
        case value:
            result["arch"] = value
    return result


def _repository_query(fields: Mapping[str, str]) -> RepositoryQuery:
    kind = fields.get("kind")
    text = fields.get("search", "")
    chosen = ImageFilter(
        os=(fields["os"],) if "os" in fields else (),
        arch=(fields["arch"],) if "arch" in fields else (),
        kinds=(ImageKind(kind),) if kind in set(ImageKind) else (),
        signed=True if "signed" in fields else None,
    )
    sort = fields.get("sortby", "")
    order = _SORTS.get(sort.lower())
    if order is None:
        default = RepositorySort.RELEVANCE if text else RepositorySort.PUSHED
        order = RepositorySort(sort) if sort in set(RepositorySort) else default
    return RepositoryQuery(text=text, filter=chosen, sort=order)


def image_query(text: str) -> ImageQuery | None:
    """Return which images a text of the search box means; None: it is the name of a repository.

    `repository:tag`, `:tag`, `key=value` of an annotation or label, or part of a digest.
    """
    if _DIGEST.fullmatch(text):
        return ImageQuery(digest=text, sort=ImageSort.PUSHED)
    name, colon, tag = text.partition(":")
    if "=" in text:
        return ImageQuery(label=text, sort=ImageSort.PUSHED)
    if not colon:
        return None
    if not name:
        return ImageQuery(tag_contains=tag, sort=ImageSort.PUSHED)
    try:
        return ImageQuery(repository=parse_repository(name), tag_prefix=tag)
    except InvalidNameError:
        return None


def _columns(fields: Mapping[str, str], sort: RepositorySort, *, has_stars: bool) -> Iterator[dict[str, object]]:
    for title, order, css_class in (*_COLUMNS, _STARS) if has_stars else _COLUMNS:
        href = Links.explore({**fields, "sortby": order.value}) if order is not None else ""
        yield {"title": title, "class": css_class, "href": href, "chosen": order is sort}


def _facets(facets: Facets, fields: Mapping[str, str], *, has_stars: bool) -> Iterator[_Facet]:
    systems: dict[str, int] = {}
    architectures: dict[str, int] = {}
    for platform, count in facets.platforms:
        systems[platform.os] = max(systems.get(platform.os, 0), count)
        architectures[platform.arch] = max(architectures.get(platform.arch, 0), count)
    yield _Facet("System", _choices("os", systems, fields))
    yield _Facet("Architecture", _choices("arch", architectures, fields))
    yield _Facet("Kind", _choices("kind", {kind.value: count for kind, count in facets.kinds}, fields))
    others = [_choice("signed", "yes", "signed", facets.signed, fields)] if facets.signed else []
    if has_stars:
        others.append(_choice("starred", "yes", "starred by you", facets.total, fields))
    yield _Facet("More", others)


def _choices(field: str, counts: Mapping[str, int], fields: Mapping[str, str]) -> list[_Choice]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [_choice(field, value, value, count, fields) for value, count in ordered[:_FACETS] if value]


def _choice(field: str, value: str, label: str, count: int, fields: Mapping[str, str]) -> _Choice:
    """Return a link that sets a filter, or removes it if it is set."""
    chosen = fields.get(field) == value
    others = {key: each for key, each in fields.items() if key != field}
    return _Choice(label, count, Links.explore(others if chosen else {**others, field: value}), chosen)
