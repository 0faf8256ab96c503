"""The page to log in, and what its forms do."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import msgspec

from zot.api.auth.authentication import HttpAuthenticator
from zot.api.auth.login import end_session
from zot.api.cookies import set_later
from zot.api.http_request import HttpRequest
from zot.auth.build import Auth
from zot.auth.credentials import is_user_name
from zot.extensions.ui.forms import Form, own_path
from zot.extensions.ui.page import USE_PAGES, HtmlPage
from zot.registry.errors import Unauthorized


@dataclass(frozen=True, slots=True)
class LoginWays:
    """How visitors can log in."""

    passwords: bool
    providers: Mapping[str, str]
    """Titles of the providers of browser logins, by name."""
    guests: bool
    """Whether visitors who do not log in may read anything."""


def login_page(ways: LoginWays, after: str, username: str = "", refused: str = "") -> HtmlPage:
    """Return the page to log in; a login leads to `after`, if that is a path of this site."""
    after = own_path(after)
    providers = [
        {"title": title, "href": f"/zot/auth/login?provider={quote(name)}&callback_ui={quote(after, safe='')}"}
        for name, title in ways.providers.items()
    ]
    values = {
        "next": after,
        "username": username,
        "refused": refused,
        "has_passwords": ways.passwords,
        "providers": providers,
        "guest": ways.guests,
    }
    return HtmlPage("login.html", values, 403 if refused else 200)


class Logins:
    """Logs visitors in by password, and out."""

    def __init__(self, auth: Auth, authenticator: HttpAuthenticator, ways: LoginWays) -> None:
        """Use the configured ways."""
        self._auth = auth
        self._authenticator = authenticator
        self._ways = ways

    async def log_in(self, http: HttpRequest, form: Form) -> HtmlPage | str:
        """Begin a session; return the address that follows, or the page with what is wrong. Raises Unavailable."""
        name, password = form.text("username"), form.text("password")

        def refused(why: str) -> HtmlPage:
            return login_page(self._ways, form.after, name[:256], why)

        if not is_user_name(name):
            return refused("This is no user name.")
        encoded = base64.b64encode(f"{name}:{password}".encode()).decode()
        credentials = msgspec.structs.replace(
            self._authenticator.credentials(http, USE_PAGES), authorization=(f"Basic {encoded}",)
        )
        try:
            result = await self._auth.chain.authenticate(credentials)
        except Unauthorized:
            return refused("User name and password do not fit.")
        if result.session is None:
            return refused("An API key is for clients: log in with the password.")
        http.principal = result.principal
        for header in self._authenticator.cookies.of_session(result.session, result.principal.name):
            set_later(http, header)
        return form.after

    async def log_out(self, http: HttpRequest) -> str:
        """End the session, here and at its provider; return the address that follows. Raises Unavailable."""
        if self._auth.sessions is None:
            return "/"
        return await end_session(http, self._authenticator, self._auth.sessions, self._auth.logins) or "/"
