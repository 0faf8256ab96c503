"""`/zot/auth/login`, `/zot/auth/callback/PROVIDER` and `/zot/auth/logout`: browser logins and logouts."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from zot.accounts.sessions.interface import SessionsUnavailableError
from zot.accounts.sessions.session import Sessions
from zot.api import cookies
from zot.api.application import Routes
from zot.api.auth.authentication import HttpAuthenticator
from zot.api.cookies import cookie, set_later
from zot.api.http_request import Handler, HttpRequest
from zot.api.ratelimit import TokenBuckets
from zot.auth.build import Auth
from zot.auth.credentials import CrossOrigin
from zot.auth.oauth.browser import BrowserLogins
from zot.auth.oauth.callbacks import CALLBACK_PATH
from zot.auth.principal import Principal
from zot.registry.errors import RegistryError, TooManyRequests, Unavailable
from zot.registry.request import UseExtension

QUERY_FIELDS_LIMIT = 50

LOGINS_PER_S = 20.0
"""Logins at providers that one address may begin: they need no credentials, and are stored until they expire."""


class LoginQueryInvalid(RegistryError):
    """The query cannot be read."""

    code, status, message = "UNSUPPORTED", 400, "bad request"


def routes(auth: Auth, authenticator: HttpAuthenticator) -> Routes:
    """Return the routes that the configuration enables."""
    if auth.sessions is None:
        return {}
    sessions, logins = auth.sessions, auth.logins

    async def log_out(http: HttpRequest) -> web.StreamResponse:
        return await _log_out(http, authenticator, sessions, logins)

    result: dict[str, Mapping[str, Handler]] = {"/zot/auth/logout": {"POST": log_out}}
    if logins is not None:
        browser_logins, begun = logins, TokenBuckets(LOGINS_PER_S)

        async def log_in(http: HttpRequest) -> web.StreamResponse:
            if not begun.take(authenticator.address(http)):
                raise TooManyRequests("too many logins are begun from this address")
            return await _log_in(http, authenticator, browser_logins)

        async def callback(http: HttpRequest) -> web.StreamResponse:
            return await _callback(http, authenticator, auth, browser_logins)

        result["/zot/auth/login"] = {"GET": log_in}
        result |= {f"{CALLBACK_PATH}/{name}": {"GET": callback} for name in logins.names}
    return result


async def _log_in(http: HttpRequest, authenticator: HttpAuthenticator, logins: BrowserLogins) -> web.StreamResponse:
    """Redirect the browser to a provider."""
    http.request = UseExtension(name="login")
    query = _query(http)
    try:
        redirect = await logins.begin(
            query.get("provider", ""), query.get("callback_ui", ""), authenticator.origin(http)
        )
    except SessionsUnavailableError as error:
        raise Unavailable("sessions cannot be stored at the moment") from error
    set_later(http, authenticator.cookies.of_login(redirect.login_id))
    return web.Response(status=302, headers={"Location": redirect.url, "Cache-Control": "no-store"})


async def _callback(
    http: HttpRequest, authenticator: HttpAuthenticator, auth: Auth, logins: BrowserLogins
) -> web.StreamResponse:
    """Finish a login with the provider's redirect: begin a session, and redirect the browser to the UI."""
    http.request = UseExtension(name="login")
    provider = http.raw_path.partition("?")[0].rpartition("/")[2]
    set_later(http, authenticator.cookies.without_login())
    try:
        login = await logins.finish(provider, cookie(http, cookies.STATE), _query(http))
    except SessionsUnavailableError as error:
        raise Unavailable("sessions cannot be looked up at the moment") from error
    http.principal = login.principal
    session = await auth.chain.begin_session(login.principal, cookie(http, cookies.SESSION), provider)
    assert session is not None  # browser logins are configured with sessions only
    for header in authenticator.cookies.of_session(session, login.principal.name):
        set_later(http, header)
    if not login.callback_ui:
        return web.Response(status=201, headers={"Cache-Control": "no-store"})
    return web.Response(status=302, headers={"Location": login.callback_ui, "Cache-Control": "no-store"})


async def _log_out(
    http: HttpRequest, authenticator: HttpAuthenticator, sessions: Sessions, logins: BrowserLogins | None
) -> web.StreamResponse:
    """End the session of the cookie, if there is one, and return the URL that ends it at the provider."""
    http.request = UseExtension(name="logout")
    if not authenticator.same_origin(http):
        raise CrossOrigin("logouts are accepted from the registry's own pages only")
    url = await end_session(http, authenticator, sessions, logins)
    body = msgspec.json.encode({"endSessionUrl": url} if url else {})
    return web.Response(body=body, headers={"Content-Type": "application/json", "Cache-Control": "no-store"})


async def end_session(
    http: HttpRequest, authenticator: HttpAuthenticator, sessions: Sessions, logins: BrowserLogins | None
) -> str | None:
    """End the session of the cookie, which the browser then forgets; return the URL that ends it at its provider.

    None: there was no session, or nothing is to be done at a provider. The caller has checked that no other site sent
    the request. Raises Unavailable.
    """
    try:
        session = await sessions.end(cookie(http, cookies.SESSION))
    except SessionsUnavailableError as error:
        raise Unavailable("sessions cannot be ended at the moment") from error
    set_later(http, authenticator.cookies.without_session())
    if session is not None:
        http.principal = Principal(session.user, "session", frozenset(session.groups))
    if session is None or not session.provider or logins is None:
        return None
    return await logins.end_session_url(session.provider, authenticator.origin(http))


def _query(http: HttpRequest) -> dict[str, str]:
    text = http.raw_path.partition("?")[2]
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=QUERY_FIELDS_LIMIT, errors="strict"))
    except ValueError:
        raise LoginQueryInvalid("the query cannot be read") from None
