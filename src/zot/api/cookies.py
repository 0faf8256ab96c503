"""The cookies of logins, and whether a browser was made to send them by another site (RFC 6265, Fetch Metadata)."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import quote

from aiohttp import web

from zot.accounts.sessions.session import LIFETIME_S
from zot.api.http_request import HttpRequest
from zot.auth.oauth.callbacks import CALLBACK_PATH, origin_of

SESSION = "session"
USER = "user"
"""The name of the user who is logged in, for pages to show. It proves nothing."""
STATE = "statecookie"

VALUE_LIMIT = 1024

# What RFC 6265 allows in a value as it is, beside letters and digits.
_SAFE = "!#$&'()*+-./:<=>?@[]^_`{|}~"


class Cookies:
    """Writes cookies as zot does, SameSite added."""

    def __init__(self, *, secure: bool) -> None:
        """With `secure` browsers send them over HTTPS alone."""
        self._ending = "; Secure; SameSite=Lax" if secure else "; SameSite=Lax"

    def of_session(self, session_id: str, user: str) -> list[str]:
        """Return the Set-Cookie headers of a new session."""
        return [
            f"{SESSION}={session_id}; Path=/; Max-Age={LIFETIME_S}; HttpOnly{self._ending}",
            f"{USER}={quote(user, safe=_SAFE)}; Path=/; Max-Age={LIFETIME_S}{self._ending}",
        ]

    def without_session(self) -> str:
        """Return the Set-Cookie header that makes a browser forget its session."""
        return f"{SESSION}=; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly{self._ending}"

    def of_login(self, login_id: str) -> str:
        """Return the Set-Cookie header of a login that begins at a provider; the login ends sooner than the cookie."""
        return f"{STATE}={login_id}; Path={CALLBACK_PATH}; Max-Age={LIFETIME_S}; HttpOnly{self._ending}"

    def without_login(self) -> str:
        """Return the Set-Cookie header that makes a browser forget such a login."""
        return f"{STATE}=; Path={CALLBACK_PATH}; Max-Age=0; HttpOnly{self._ending}"


def cookie(http: HttpRequest, name: str) -> str:
    """Return a cookie's value, empty if it is missing or too long to be ours."""
    value = http.cookies.get(name, "")
    return value if len(value) <= VALUE_LIMIT else ""


def set_later(http: HttpRequest, header: str) -> None:
    """Add a Set-Cookie header to the response, also if it becomes an error."""
    http.cookies_to_set += (header,)


def add_headers(http: HttpRequest, response: web.StreamResponse) -> None:
    """Add to a response what `set_later` collected."""
    for header in http.cookies_to_set:
        response.headers.add("Set-Cookie", header)


def same_origin(http: HttpRequest, own: Collection[str]) -> bool:
    """Return whether the request may come from a page of the registry, whose origins are `own`.

    Other clients than browsers send neither header, and only cookies that they mean to send.
    """
    origin = http.headers.get("Origin")
    if origin is not None:
        return origin_of(origin) in own
    return http.headers.get("Sec-Fetch-Site", "none") in {"none", "same-origin"}
