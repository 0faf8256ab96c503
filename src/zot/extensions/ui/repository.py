"""The pages of a repository: its tags, its untagged manifests, and what happened to its tags."""

from __future__ import annotations

from zot.catalog.change_log import TagChange
from zot.extensions.search.interface import ImageQuery, ImageSort
from zot.extensions.ui.addresses import Links, RepositoryView
from zot.extensions.ui.page import ROWS, HtmlPage, PageParts, PageVisit, bounds_of, list_pages, not_found, starred
from zot.extensions.ui.pull_commands import attach_readme
from zot.extensions.ui.readme import readme
from zot.oci.names import Repository, Tag

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
    match view:
        case RepositoryView.TAGS:
            return await _tags(parts, visit, name)
        case RepositoryView.README:
            return await _readme(parts, visit, name)
        case RepositoryView.UNTAGGED:
            return await _untagged(parts, visit, name)
        case RepositoryView.HISTORY:
            return await _history(parts, visit, name)


async def _tags(parts: PageParts, visit: PageVisit, name: Repository) -> HtmlPage:
    summary = await parts.search.repository(visit.visible, name)
    contains, sort = visit.fields.get("filter", ""), visit.fields.get("sortby", "")
    order = ImageSort(sort) if sort in set(ImageSort) else ImageSort.PUSHED
    bounds = bounds_of(visit.fields)
    query = ImageQuery(repository=name, tag_contains=contains, sort=order, page=bounds)
    result = await parts.search.images(visit.visible, query)
    values = {
        **await _head(parts, visit, name, RepositoryView.TAGS),
        "summary": summary,
        "usage": await parts.search.repository_usage(visit.visible, name),
        "filter": contains,
        "sort": order.value,
        "sorts": [(each.value, title) for each, title in _SORTS],
        "result": result,
        "tag_pages": list_pages(bounds, result.total, Links.repository(name, filter=contains, sortby=sort)),
    }
    return HtmlPage("repository.html", values)


async def _readme(parts: PageParts, visit: PageVisit, name: Repository) -> HtmlPage:
    summary = await parts.search.repository(visit.visible, name)
    found = await readme(parts, visit, name)
    values = {
        **await _head(parts, visit, name, RepositoryView.README),
        "readme": found,
        "attach": attach_readme(visit.host, name, summary, secure=visit.secure),
    }
    return HtmlPage("readme.html", values)


async def _untagged(parts: PageParts, visit: PageVisit, name: Repository) -> HtmlPage:
    bounds = bounds_of(visit.fields)
    result = await parts.search.untagged(visit.visible, name, bounds)
    values = {
        **await _head(parts, visit, name, RepositoryView.UNTAGGED),
        "result": result,
        "untagged_pages": list_pages(bounds, result.total, Links.repository(name, RepositoryView.UNTAGGED)),
    }
    return HtmlPage("untagged.html", values)


async def _history(parts: PageParts, visit: PageVisit, name: Repository) -> HtmlPage:
    changes, older = await tag_changes(parts, visit, name, None)
    address = Links.repository(name, RepositoryView.HISTORY, before=older) if older else None
    head = await _head(parts, visit, name, RepositoryView.HISTORY)
    return HtmlPage("history.html", {**head, "tag": None, "changes": changes, "older": address})


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
    titles = {
        RepositoryView.TAGS: "Tags",
        RepositoryView.README: "README",
        RepositoryView.UNTAGGED: "Untagged",
        RepositoryView.HISTORY: "History",
    }
    tabs = [
        {
            "title": title,
            "href": Links.repository(name, "" if each is RepositoryView.TAGS else each),
            "current": each is view,
        }
        for each, title in titles.items()
    ]
    return {"name": name, "tabs": tabs, "starred": name in await starred(parts, visit)}
