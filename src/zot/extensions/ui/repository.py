"""The pages of a repository: its tags, its untagged manifests, and what happened to its tags."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from zot.catalog.change_log import TagChange
from zot.extensions.search.interface import ImagePage, ImageQuery, ImageSort
from zot.extensions.ui.access import access
from zot.extensions.ui.addresses import Links, RepositoryView
from zot.extensions.ui.page import ROWS, HtmlPage, PageParts, PageVisit, bounds_of, list_pages, may, not_found, starred
from zot.extensions.ui.pull_commands import attach_readme
from zot.extensions.ui.readme import readme
from zot.extensions.ui.retention import retention
from zot.extensions.ui.usage import usage
from zot.oci.names import Repository, Tag
from zot.registry.request import BeginUpload, DeleteManifest, PushManifest

_SORTS = (
    (ImageSort.PUSHED, "Pushed last"),
    (ImageSort.NAME, "Name"),
    (ImageSort.NAME_DESCENDING, "Name, descending"),
    (ImageSort.UPDATED, "Created last"),
    (ImageSort.SIZE, "Largest"),
    (ImageSort.DOWNLOADS, "Most pulls"),
)


async def repository(parts: PageParts, visit: PageVisit, name: Repository, view: RepositoryView) -> HtmlPage:
    """Return a page.

    Raises SearchUnavailableError, AccountsUnavailableError, CatalogError, StorageError, ThreadPoolBusyError.
    """
    is_hidden = visit.visible is not None and name not in visit.visible
    if is_hidden or await parts.catalog.repository(name) is None:
        return not_found(f"repository {name}")
    page = await _PAGES[view](parts, visit, name)
    return replace(page, values={**await _head(parts, visit, name, view), **page.values})


async def _tags(parts: PageParts, visit: PageVisit, name: Repository) -> HtmlPage:
    summary = await parts.search.repository(visit.visible, name)
    contains, sort = visit.fields.get("filter", ""), visit.fields.get("sortby", "")
    order = ImageSort(sort) if sort in set(ImageSort) else ImageSort.PUSHED
    bounds = bounds_of(visit.fields)
    query = ImageQuery(repository=name, tag_contains=contains, sort=order, page=bounds)
    result = await parts.search.images(visit.visible, query)
    values = {
        "summary": summary,
        "usage": await parts.search.repository_usage(visit.visible, name),
        "filter": contains,
        "sort": order.value,
        "sorts": [(each.value, title) for each, title in _SORTS],
        "result": result,
        "may_delete": _may_delete(parts, visit, result),
        "may_push": may(parts, visit, BeginUpload(repository=name)),
        "tag_pages": list_pages(bounds, result.total, Links.repository(name, filter=contains, sortby=sort)),
    }
    return HtmlPage("repository.html", values)


async def _readme(parts: PageParts, visit: PageVisit, name: Repository) -> HtmlPage:
    summary = await parts.search.repository(visit.visible, name)
    found = await readme(parts, visit, name)
    values = {
        "readme": found,
        "attach": attach_readme(visit.host, name, summary, secure=visit.secure),
    }
    return HtmlPage("readme.html", values)


async def _untagged(parts: PageParts, visit: PageVisit, name: Repository) -> HtmlPage:
    bounds = bounds_of(visit.fields)
    result = await parts.search.untagged(visit.visible, name, bounds)
    values = {
        "result": result,
        "may_delete": _may_delete(parts, visit, result),
        "untagged_pages": list_pages(bounds, result.total, Links.repository(name, RepositoryView.UNTAGGED)),
    }
    return HtmlPage("untagged.html", values)


async def _history(parts: PageParts, visit: PageVisit, name: Repository) -> HtmlPage:
    changes, older = await tag_changes(parts, visit, name, None)
    address = Links.repository(name, RepositoryView.HISTORY, before=older) if older else None
    values = {
        "tag": None,
        "changes": changes,
        "older": address,
        "restorable": await restorable_tags(parts, visit, name, changes),
    }
    return HtmlPage("history.html", values)


def _may_delete(parts: PageParts, visit: PageVisit, result: ImagePage) -> bool:
    """Tell whether the visitor may delete anything of a page: with conditions, that may differ from tag to tag."""
    requests = (DeleteManifest(repository=each.repository, reference=each.tag or each.digest) for each in result.rows)
    return any(may(parts, visit, each) for each in requests)


async def restorable_tags(
    parts: PageParts, visit: PageVisit, name: Repository, changes: Sequence[TagChange]
) -> Mapping[Tag, str]:
    """Return the tags of some changes that the visitor may create or move, each with where it points now; empty: it is
    not there. Raises CatalogError.
    """
    found: dict[Tag, str] = {}
    for tag in dict.fromkeys(each.tag for each in changes):
        if may(parts, visit, PushManifest(repository=name, reference=tag, tags=(tag,))):
            row = await parts.catalog.tag(name, tag)
            found[tag] = row.digest if row is not None else ""
    return found


async def tag_changes(
    parts: PageParts, visit: PageVisit, name: Repository, tag: Tag | None
) -> tuple[list[TagChange], str]:
    """Return a page of the history of a tag, or of all, latest first, and where older ones begin; empty: nowhere.

    Raises CatalogError.
    """
    text = visit.fields.get("before", "")
    before = int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None
    changes = await parts.catalog.tag_log(name, tag, before, ROWS)
    return changes, str(changes[-1].sequence) if len(changes) == ROWS else ""


async def _head(parts: PageParts, visit: PageVisit, name: Repository, view: RepositoryView) -> dict[str, object]:
    tabs = [
        {
            "title": title,
            "href": Links.repository(name, "" if each is RepositoryView.TAGS else each),
            "current": each is view,
        }
        for each, title in _TITLES.items()
    ]
    return {"name": name, "tabs": tabs, "starred": name in await starred(parts, visit)}


_PAGES: Mapping[RepositoryView, Callable[[PageParts, PageVisit, Repository], Awaitable[HtmlPage]]] = {
    RepositoryView.TAGS: _tags,
    RepositoryView.README: _readme,
    RepositoryView.USAGE: usage,
    RepositoryView.RETENTION: retention,
    RepositoryView.UNTAGGED: _untagged,
    RepositoryView.HISTORY: _history,
    RepositoryView.ACCESS: access,
}
_TITLES = {
    RepositoryView.TAGS: "Tags",
    RepositoryView.README: "README",
    RepositoryView.USAGE: "Usage",
    RepositoryView.RETENTION: "Retention",
    RepositoryView.UNTAGGED: "Untagged",
    RepositoryView.HISTORY: "History",
    RepositoryView.ACCESS: "Access",
}
