"""The administrators' pages: who may see them, and what they have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from zot.admin.asking import NotAnsweredError
from zot.admin.requests import AdminError
from zot.api.errors import ErrorResponse
from zot.api.http_request import HttpRequest
from zot.auth.principal import Principal
from zot.extensions.ui.addresses import AdministrationView, Links, NoPageError
from zot.extensions.ui.administration import audit, maintenance, server, usage, users
from zot.extensions.ui.administration.parts import AdministrationParts
from zot.extensions.ui.forms import Form, PageFormInvalid
from zot.extensions.ui.page import USE_PAGES, HtmlPage
from zot.registry.errors import Unavailable

_TITLES = {
    AdministrationView.SERVER: "Server",
    AdministrationView.USAGE: "Usage",
    AdministrationView.JOBS: "Jobs",
    AdministrationView.COLLECTION: "Collection",
    AdministrationView.USERS: "Users",
    AdministrationView.AUDIT: "Audit log",
    AdministrationView.CONFIGURATION: "Configuration",
}

Make = Callable[[AdministrationParts, Mapping[str, str]], Awaitable[HtmlPage]]
_PAGES: dict[AdministrationView, Make] = {
    AdministrationView.SERVER: server.status,
    AdministrationView.USAGE: usage.usage,
    AdministrationView.JOBS: maintenance.jobs,
    AdministrationView.COLLECTION: maintenance.collection,
    AdministrationView.USERS: users.users,
    AdministrationView.AUDIT: audit.audit,
    AdministrationView.CONFIGURATION: server.configuration,
}


class Administration:
    """Makes the pages, and carries out their forms. For a stranger none of them exists."""

    def __init__(self, parts: AdministrationParts) -> None:
        """Make them from `parts`."""
        self._parts = parts

    async def page(self, http: HttpRequest, view: AdministrationView, fields: Mapping[str, str]) -> HtmlPage:
        """Return a page. Raises NoPageError for a visitor who is no administrator, Unavailable."""
        if await self._administrator(http) is None:
            raise NoPageError
        try:
            page = await _PAGES[view](self._parts, fields)
        except NotAnsweredError as error:
            text = f"The process that works in the background cannot be asked: {error}. Try again in a moment."
            page = HtmlPage("admin_problem.html", {"text": text}, 503)
        except AdminError as error:
            page = HtmlPage("admin_problem.html", {"text": f"This is not possible: {error}."}, 400)
        tabs = [
            {"title": title, "href": Links.administration(each), "current": each is view}
            for each, title in _TITLES.items()
        ]
        return HtmlPage(page.template, {"title": _TITLES[view], "tabs": tabs, **page.values}, page.status)

    async def carry_out(self, http: HttpRequest, form: Form, path: str) -> str:
        """Carry out the form of a path; return the address of the page to show.

        Raises PageFormInvalid, also for a sender who is no administrator, and Unavailable.
        """
        principal = await self._administrator(http)
        if principal is None:
            raise PageFormInvalid("There is no form at this address.")
        try:
            match path:
                case "/ui/admin/jobs/start":
                    return await maintenance.start_job(self._parts, principal, form)
                case "/ui/admin/keys/revoke":
                    return await users.revoke_key(self._parts, principal, form)
                case "/ui/admin/sessions/end":
                    return await users.end_session(self._parts, principal, form)
                case _:
                    raise PageFormInvalid("There is no form at this address.")
        except AdminError as error:
            raise PageFormInvalid(f"This is not possible: {error}.") from error
        except NotAnsweredError as error:
            raise Unavailable(f"The process that works in the background cannot be asked: {error}.") from error

    async def _administrator(self, http: HttpRequest) -> Principal | None:
        """Return the sender of a request, None if it is no administrator."""
        try:
            principal = await self._parts.authorizer.enter(http, USE_PAGES, lambda _: True)
        except ErrorResponse as error:
            if error.error.status not in {401, 403}:
                raise
            return None
        return principal if self._parts.is_administrator(principal) else None
