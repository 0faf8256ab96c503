"""The administrators' page of what is used: by stores, quotas and repositories."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from zot.admin.asking import ask_for_rows
from zot.admin.requests import ReportUsage
from zot.catalog.rows import UsageRow
from zot.extensions.search.interface import RepositoryUsage, SearchUnavailableError
from zot.extensions.ui.addresses import AdministrationView, Links
from zot.extensions.ui.administration.parts import AdministrationParts
from zot.extensions.ui.page import HtmlPage, bounds_of, list_pages
from zot.oci.names import Repository

_SORTS = (("size", "Largest"), ("name", "Name"), ("tags", "Most tags"), ("manifests", "Most manifests"))
_SHARED_S = 1.0
"""How long a page looks for what its repositories share; those that are left have no figure."""


async def usage(parts: AdministrationParts, fields: Mapping[str, str]) -> HtmlPage:
    """Return a page of repositories, with the totals. Raises NotAnsweredError, AdminError for an invalid pattern."""
    pattern, sort = fields.get("pattern", "").strip(), fields.get("sortby", "")
    order = sort if sort in dict(_SORTS) else "size"
    bounds = bounds_of(fields)
    request = ReportUsage(pattern=pattern or "**", sort=order, limit=bounds.limit, offset=bounds.offset)
    (report,) = await ask_for_rows(parts.ask, request)
    address = Links.administration(AdministrationView.USAGE, pattern=pattern, sortby=sort)
    values = {
        "report": report,
        "stores": report.stores,
        "pattern": pattern,
        "sort": order,
        "sorts": _SORTS,
        "largest": max((each.bytes for each in report.rows), default=0),
        "shared": await _shared(parts, report.rows),
        "usage_pages": list_pages(bounds, report.total, address),
    }
    return HtmlPage("admin_usage.html", values)


async def _shared(parts: AdministrationParts, rows: Iterable[UsageRow]) -> dict[Repository, RepositoryUsage]:
    """Return what repositories have alone and share, of as many as there is time for."""
    found: dict[Repository, RepositoryUsage] = {}
    until_s = time.monotonic() + _SHARED_S
    for row in rows:
        if time.monotonic() > until_s:
            break
        try:
            each = await parts.search.repository_usage(None, row.repository)
        except SearchUnavailableError:
            break
        if each is not None:
            found[row.repository] = each
    return found
