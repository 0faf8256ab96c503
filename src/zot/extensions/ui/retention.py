"""The page of what retention keeps of a repository, and what it would delete, with the reasons."""

from __future__ import annotations

from zot.admin.asking import NotAnsweredError, ask_for_rows
from zot.admin.requests import AdminError, PreviewPage
from zot.auth.explain import own_rights
from zot.extensions.ui.access import is_admin
from zot.extensions.ui.addresses import Links, RepositoryView
from zot.extensions.ui.page import HtmlPage, PageParts, PageVisit, bounds_of, list_pages
from zot.oci.names import Repository
from zot.registry.request import Action

_ANSWER_S = 10.0


async def retention(parts: PageParts, visit: PageVisit, name: Repository) -> HtmlPage:
    """Return the page; to visitors who may not delete here it says only that."""
    if not _may_see(parts, visit, name):
        return HtmlPage("retention.html", {"allowed": False, "found": None, "problem": ""})
    deletes, tags = bounds_of(visit.fields), bounds_of(visit.fields, "tags")
    request = PreviewPage(repository=name, limit=deletes.limit, offset=deletes.offset, tags_offset=tags.offset)
    try:
        async with parts.previewing:
            (found,) = await ask_for_rows(parts.ask, request, limit_s=_ANSWER_S)
    except AdminError as error:
        return HtmlPage("retention.html", {"allowed": True, "found": None, "problem": str(error)})
    except NotAnsweredError as error:
        # A large repository takes longer than a visitor waits.
        return HtmlPage("retention.html", {"allowed": True, "found": None, "problem": str(error)}, 503)
    address = Links.repository(name, RepositoryView.RETENTION)
    values = {
        "allowed": True,
        "problem": "",
        "found": found,
        "delete_pages": list_pages(deletes, found.summary.count, address),
        "tag_pages": list_pages(tags, found.decided, address, "tags"),
    }
    return HtmlPage("retention.html", values)


def _may_see(parts: PageParts, visit: PageVisit, name: Repository) -> bool:
    """Tell whether the visitor may delete there, or is an administrator."""
    rights = own_rights(parts.policy, visit.principal, name, visit.context)
    return is_admin(parts, visit) or any(each.allowed and each.action is Action.DELETE for each in rights)
