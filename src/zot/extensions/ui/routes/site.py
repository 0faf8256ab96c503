"""The site: from a request to the page that it names, and what all pages have in common on the wire."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from aiohttp import web

from zot.accounts.interface import AccountsUnavailableError
from zot.api.auth.authentication import HttpAuthenticator
from zot.api.authorization import Authorizer
from zot.api.body import TransferLimits
from zot.api.errors import ErrorResponse, method_not_allowed, to_registry_error
from zot.api.http_request import HttpRequest
from zot.auth.build import Auth
from zot.auth.principal import ANONYMOUS, Principal
from zot.extensions.layers.interface import LayerContentError, LayersUnavailableError
from zot.extensions.search.interface import SearchUnavailableError, Visibility
from zot.extensions.ui import explore, image, repository
from zot.extensions.ui.account import AccountPage
from zot.extensions.ui.addresses import (
    AccountAddress,
    Address,
    AdministrationAddress,
    ExploreAddress,
    ImageAddress,
    ImageView,
    Links,
    LoginAddress,
    NoPageError,
    RepositoryAddress,
    parse_address,
    parse_query,
)
from zot.extensions.ui.changes import PageActions
from zot.extensions.ui.forms import PageFormInvalid, read_form
from zot.extensions.ui.login import Logins, LoginWays, login_page
from zot.extensions.ui.page import SECURITY_HEADERS, USE_PAGES, Download, HtmlPage, PageParts, PageVisit
from zot.extensions.ui.rendering import ASSETS_PATH, Asset, Renderer
from zot.extensions.ui.routes.download import send_pieces
from zot.foundation.first_use import FirstUse
from zot.foundation.threads import ThreadPoolBusyError

if TYPE_CHECKING:
    from zot.extensions.ui.administration.pages import Administration

SUGGESTIONS_PATH = "/ui/suggestions"

_log = logging.getLogger("zot.ui")

_SECURITY = {
    **SECURITY_HEADERS,
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
}
_COMPRESSED_FROM_BYTES = 1024
_NAME_LIMIT = 128
"""Characters of the name of a file that a browser keeps."""


@dataclass(frozen=True, slots=True)
class Visitors:
    """Who visits, and what they may see."""

    authorizer: Authorizer
    auth: Auth
    authenticator: HttpAuthenticator | None
    """None: there is no way to log in."""
    ways: LoginWays
    visibility: Visibility

    def is_administrator(self, principal: Principal) -> bool:
        """Tell whether a principal is one: by the policy, or any client of a registry without users."""
        return self.auth.policy.is_admin(principal) and (principal.authenticated or self.auth.is_open)

    def origin(self, http: HttpRequest) -> str:
        """Return the registry's origin as browsers see it."""
        if self.authenticator is not None:
            return self.authenticator.origin(http)
        return f"{http.scheme}://{http.host}"


class Site:
    """Responds to every request that is for no API."""

    def __init__(
        self,
        parts: PageParts,
        visitors: Visitors,
        changes: PageActions,
        account: AccountPage,
        administration: FirstUse[Administration],
        renderer: Renderer,
        limits: TransferLimits,
    ) -> None:
        """Make pages from `parts`, for visitors that `visitors` knows."""
        self._parts = parts
        self._visitors = visitors
        self._changes = changes
        self._account = account
        self._administration = administration
        self._renderer = renderer
        self._limits = limits
        self._logins = Logins(visitors.auth, visitors.authenticator, visitors.ways) if visitors.authenticator else None

    async def handle(self, http: HttpRequest) -> web.StreamResponse:
        """Return the page of a request, a redirect, or a page that says what is wrong."""
        path, _, query = http.raw_path.partition("?")
        http.request = USE_PAGES
        if http.method == "POST":
            return await self._post(http, path)
        if http.method not in {"GET", "HEAD"}:
            raise method_not_allowed(http.method, "GET", "HEAD")
        if path.startswith(ASSETS_PATH):
            return self._asset(http, path)
        try:
            fields = parse_query(query)
            address = None if path == SUGGESTIONS_PATH else parse_address(path)
        except NoPageError as error:
            return self._problem(http, "Not found", str(error), 404)
        if isinstance(address, LoginAddress):
            return self._respond(http, login_page(self._visitors.ways, fields.get("next", "")), None)
        if isinstance(address, ImageAddress) and address.view is ImageView.DOWNLOAD:
            return await self._send_file(http, address, fields)
        return await self._page(http, address, fields)

    async def _page(self, http: HttpRequest, address: Address | None, fields: Mapping[str, str]) -> web.StreamResponse:
        """Return a page for the visitor; `None` for the address means suggestions."""
        if isinstance(address, AdministrationAddress):
            return await self._administration_page(http, address, fields)
        try:
            principal = await self._visitors.authorizer.enter(http, USE_PAGES, lambda _: True)
            visit = await self._visit(http, principal, fields)
            page = (
                await self._account.page(http)
                if isinstance(address, AccountAddress)
                else await self._made(visit, address)
            )
        except Exception as error:  # noqa: BLE001 (what the API answers as an error, pages show as one)
            return self._failed(http, error, http.raw_path)
        return _download(page) if isinstance(page, Download) else self._respond(http, page, visit)

    async def _administration_page(
        self, http: HttpRequest, address: AdministrationAddress, fields: Mapping[str, str]
    ) -> web.StreamResponse:
        """Return a page for administrators, which also works while search does not."""
        try:
            administration = await self._administration.get()
            page = await administration.page(http, address.view, fields)
        except NoPageError as error:
            return self._problem(http, "Not found", str(error), 404)
        except Exception as error:  # noqa: BLE001 (as above)
            return self._failed(http, error, http.raw_path)
        return self._respond(http, page, None)

    async def _send_file(
        self, http: HttpRequest, address: ImageAddress, fields: Mapping[str, str]
    ) -> web.StreamResponse:
        """Send a file of a layer. What goes wrong before its first bytes are there is shown on a page."""
        layer_files = self._parts.layer_files
        async with AsyncExitStack() as opened:
            try:
                principal = await self._visitors.authorizer.enter(http, USE_PAGES, lambda _: True)
                visit = await self._visit(http, principal, fields)
                found = await image.download(self._parts, visit, address.repository, address.reference)
                if isinstance(found, HtmlPage):
                    return self._respond(http, found, visit)
                headers = {
                    **_download_headers(found.name.decode("utf-8", "replace")),
                    "Content-Length": str(found.file.size),
                }
                if http.method == "HEAD":
                    return web.Response(headers=headers)
                assert layer_files is not None, "there is no download without it"
                reading = layer_files.open(found.repository, found.layer, found.file)
                pieces = await opened.enter_async_context(reading)
                first = await anext(pieces, b"")
            except Exception as error:  # noqa: BLE001 (as above)
                return self._failed(http, error, http.raw_path)
            return await send_pieces(http, headers, first, pieces, self._limits)

    async def _made(self, visit: PageVisit, address: Address | None) -> HtmlPage | Download:
        match address:
            case RepositoryAddress():
                return await repository.repository(self._parts, visit, address.repository, address.view)
            case ImageAddress():
                return await image.image(self._parts, visit, address.repository, address.reference, address.view)
            case ExploreAddress():
                return await explore.explore(self._parts, visit)
            case _:
                return await explore.suggestions(self._parts, visit)

    async def _visit(self, http: HttpRequest, principal: Principal, fields: Mapping[str, str]) -> PageVisit:
        search = self._parts.search
        return PageVisit(
            principal=principal,
            index=None if await search.caught_up() else await search.status(),
            visible=await self._visitors.visibility.of(principal, http.context),
            path=http.raw_path,
            fields=fields,
            host=self._visitors.origin(http).partition("://")[2],
            secure=self._visitors.origin(http).startswith("https://"),
            may_log_in=self._visitors.authorizer.authenticator.can_authenticate,
            context=http.context,
        )

    async def _post(self, http: HttpRequest, path: str) -> web.StreamResponse:
        """Carry out a form; then lead to a page."""
        try:
            page = await self._carried_out(http, path)
        except Exception as error:  # noqa: BLE001 (as above)
            return self._failed(http, error, "/")
        return _redirect(page) if isinstance(page, str) else self._respond(http, page, None)

    async def _carried_out(self, http: HttpRequest, path: str) -> HtmlPage | str:
        form = await read_form(http, self._visitors.authenticator)
        match path:
            case "/login" if self._logins is not None:
                return await self._logins.log_in(http, form)
            case "/logout" if self._logins is not None:
                return await self._logins.log_out(http)
            case "/ui/keys":
                return await self._account.create_key(http, form)
            case "/ui/keys/revoke":
                return await self._account.revoke_key(http, form)
            case "/ui/sessions/end":
                return await self._account.end_session(http, form)
            case "/ui/star":
                return await self._changes.toggle_star(http, form)
            case "/ui/delete":
                return await self._changes.delete(http, form)
            case "/ui/restore":
                return await self._changes.restore_tag(http, form)
            case _ if path.startswith("/ui/admin/"):
                return await (await self._administration.get()).carry_out(http, form, path)
            case _:
                raise PageFormInvalid("There is no form at this address.")

    def _asset(self, http: HttpRequest, path: str) -> web.Response:
        asset = self._renderer.assets.get(path)
        if asset is None:
            return self._problem(http, "Not found", "There is no such file.", 404)
        return _asset_response(http, asset)

    def _failed(self, http: HttpRequest, error: Exception, after: str) -> web.Response:
        """Return the page of an error; a visitor whom a login may help is led to it, and from there to `after`."""
        match error:
            case ErrorResponse():
                return self._refused(http, error, after)
            case LayerContentError():
                return self._problem(http, "Not possible", str(error), 404)
            case (
                LayersUnavailableError() | SearchUnavailableError() | AccountsUnavailableError() | ThreadPoolBusyError()
            ):
                _log.warning("a page cannot be made: %s", error)
                return self._problem(http, "Not now", "The registry is busy. Try again in a moment.", 503)
            case _:
                fault = to_registry_error(error)
                return self._problem(http, "Not possible", str(fault), fault.status)

    def _refused(self, http: HttpRequest, refused: ErrorResponse, after: str) -> web.Response:
        """Lead a visitor whom a login may help to the login, and from there to `after`; tell others."""
        if refused.error.status == 401:
            return _redirect(Links.login(after))
        return self._problem(http, "Not allowed", str(refused.error), refused.error.status)

    def _problem(self, http: HttpRequest, title: str, text: str, status: int) -> web.Response:
        return self._respond(
            http, HtmlPage("problem.html", {"title": title, "text": text, "asks": False}, status), None
        )

    def _respond(self, http: HttpRequest, page: HtmlPage, visit: PageVisit | None) -> web.Response:
        """Return a page as HTML; without a visit it is the same for all."""
        principal = http.principal or ANONYMOUS
        user: dict[str, object] = {
            "name": "",
            "may_log_in": self._visitors.authorizer.authenticator.can_authenticate,
            "has_preferences": False,
        }
        if visit is not None:
            user = dict(visit.user)
        elif principal.authenticated:
            user["name"] = principal.name
        user["is_admin"] = http.principal is not None and self._visitors.is_administrator(http.principal)
        common = {
            "user": user,
            "path": http.raw_path if http.method != "POST" else "/",
            "index": visit.index if visit is not None else None,
        }
        body = self._renderer.render(page.template, common | dict(page.values)).encode()
        headers = {
            **_SECURITY,
            "Content-Type": "text/html; charset=utf-8",
            "Cache-Control": "private, no-cache"
            if page.status == 200 and http.method != "POST"
            else "private, no-store",
            "Vary": "Cookie, Authorization, Accept-Encoding",
        }
        if len(body) >= _COMPRESSED_FROM_BYTES and _takes_gzip(http):
            body = gzip.compress(body, 4, mtime=0)
            headers["Content-Encoding"] = "gzip"
        return web.Response(status=page.status, body=body, headers=headers)


def _asset_response(http: HttpRequest, asset: Asset) -> web.Response:
    headers = {
        "Content-Type": asset.content_type,
        "Cache-Control": "public, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
        "Vary": "Accept-Encoding",
    }
    if not _takes_gzip(http):
        return web.Response(body=asset.content, headers=headers)
    return web.Response(body=asset.compressed, headers={**headers, "Content-Encoding": "gzip"})


def _takes_gzip(http: HttpRequest) -> bool:
    return "gzip" in http.headers.get("Accept-Encoding", "")


def _download(file: Download) -> web.Response:
    return web.Response(body=file.content, headers=_download_headers(file.name))


def _download_headers(name: str) -> dict[str, str]:
    """Return the headers of a file of a client as one to keep: no browser shows it, whatever it is."""
    shown = quote("".join(each for each in name[-_NAME_LIMIT:] if each.isprintable() and each not in "/\\"))
    return {
        **_SECURITY,
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f"attachment; filename*=UTF-8''{shown or 'file'}",
        "Cache-Control": "private, no-store",
        "Vary": "Cookie, Authorization",
    }


def _redirect(location: str) -> web.Response:
    return web.Response(status=303, headers={"Location": location, "Cache-Control": "no-store"})
