"""What the pages have in common: the parts that they are made from, the visit, and the rows of a list."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from zot.accounts.interface import Accounts
from zot.auth.credentials import ResourceClass
from zot.auth.decision import NO_CONTEXT, Policy, RequestContext
from zot.auth.principal import Principal
from zot.catalog.interface import Catalog
from zot.extensions.layers.interface import LayerFiles
from zot.extensions.search.interface import IndexStatus, PageBounds, Search, Visible
from zot.registry.request import Request, UseExtension

if TYPE_CHECKING:
    from zot.admin.asking import Ask
    from zot.config.access_control import AccessControlConfig
    from zot.extensions.ui.documents import DocumentReader
    from zot.foundation.threads import ThreadPool
    from zot.registry.registry import Registry

USE_PAGES = UseExtension(name="ui", resource_class=ResourceClass.PAGE)
"""What a request for a page is, or a form of one."""

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
"""Of each page, beside its Content-Security-Policy."""

ROWS = 50
"""Rows of a page."""
_OFFSET_LIMIT = 10_000_000


@dataclass(frozen=True, slots=True)
class PageParts:
    """What pages are made from."""

    search: Search
    catalog: Catalog
    registry: Registry
    accounts: Accounts | None
    """None: there are no users."""
    policy: Policy
    documents: DocumentReader
    rules: AccessControlConfig | None
    """The rules of the policy; None: there are none."""
    pool: ThreadPool
    """For work that would block the event loop."""
    ask: Ask
    """Asks the process that works in the background."""
    layer_files: LayerFiles | None = None
    """None: files of layers are not shown."""
    previewing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by the page that has that process compute what collection would delete."""


@dataclass(frozen=True, slots=True)
class PageVisit:
    """A request for a page: who asks for what."""

    principal: Principal
    visible: Visible
    index: IndexStatus | None
    """How far the index is; None: it has all that was acknowledged before the visit."""
    path: str
    """The path with its query: where a login leads back to."""
    fields: Mapping[str, str]
    """The fields of the query."""
    host: str
    """The registry's host, with its port, as clients name it."""
    secure: bool
    """Whether clients reach it by HTTPS."""
    may_log_in: bool
    """Whether there is any way to log in."""
    context: RequestContext = NO_CONTEXT
    """How and from where the request came, if conditions of access control look at it."""

    @property
    def has_preferences(self) -> bool:
        """Whether the visitor is a user who may have stars."""
        return self.principal.is_full_user

    @property
    def user(self) -> Mapping[str, object]:
        """Return what the templates know of the visitor."""
        name = self.principal.name if self.principal.authenticated else ""
        return {"name": name, "may_log_in": self.may_log_in, "has_preferences": self.has_preferences}


@dataclass(frozen=True, slots=True)
class HtmlPage:
    """A page before it is rendered."""

    template: str
    values: Mapping[str, object] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True, slots=True)
class Download:
    """A file that the browser keeps, and never shows."""

    name: str
    """As a client wrote it."""
    content: bytes


def may(parts: PageParts, visit: PageVisit, request: Request) -> bool:
    """Tell whether the visitor may send a request: a page offers nothing that would be refused."""
    return parts.policy.decide(visit.principal, request, visit.context).allowed


def not_found(what: str) -> HtmlPage:
    """Return the page of what is missing or hidden, which look the same."""
    values = {"title": "Not found", "text": f"There is no {what} that you may read.", "asks": True}
    return HtmlPage("problem.html", values, 404)


def bounds_of(fields: Mapping[str, str], name: str = "offset") -> PageBounds:
    """Return the part of a list that a field asks for; one that cannot be read means its beginning."""
    text = fields.get(name, "")
    offset = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
    return PageBounds(ROWS, min(offset, _OFFSET_LIMIT))


@dataclass(frozen=True, slots=True)
class ListPages:
    """Where a page of a list is, and the addresses of its neighbours; None: there is none."""

    total: int
    limit: int
    offset: int
    before: str | None
    after: str | None

    @property
    def first(self) -> int:
        """Return the number of the first row, from 1."""
        return min(self.offset + 1, self.total)

    @property
    def last(self) -> int:
        """Return the number of the last row."""
        return min(self.offset + self.limit, self.total)


def list_pages(bounds: PageBounds, total: int, address: str, name: str = "offset") -> ListPages:
    """Return the neighbours of a page of the list at `address`, which has the other fields of the query."""

    def at(offset: int) -> str:
        return f"{address}{'&' if '?' in address else '?'}{name}={offset}" if offset else address

    before = at(max(0, bounds.offset - bounds.limit)) if bounds.offset else None
    after = at(bounds.offset + bounds.limit) if bounds.offset + bounds.limit < total else None
    return ListPages(total, bounds.limit, bounds.offset, before, after)


async def starred(parts: PageParts, visit: PageVisit) -> frozenset[str]:
    """Return the repositories that the visitor has starred. Raises AccountsUnavailableError."""
    if parts.accounts is None or not visit.has_preferences:
        return frozenset()
    return frozenset(await parts.accounts.starred(visit.principal.name))
