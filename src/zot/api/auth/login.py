"""`/zot/auth/login`, `/zot/auth/callback/PROVIDER` and `/zot/auth/logout`: a browser comes and goes."""

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
"""Logins that one address may begin at providers: each is kept until it ends or expires, and nobody has to be known."""


class LoginQueryInvalid(RegistryError):
    """The query cannot be read."""

    code, status, message = "UNSUPPORTED", 400, "bad request"


def routes(auth: Auth, door: HttpAuthenticator) -> Routes:
    """Return the routes there are by the configuration."""
    if auth.sessions is None:
        return {}
    sessions, logins = auth.sessions, auth.logins

    async def log_out(http: HttpRequest) -> web.StreamResponse:
        return await _log_out(http, door, sessions, logins)

    known: dict[str, Mapping[str, Handler]] = {"/zot/auth/logout": {"POST": log_out}}
    if logins is not None:
        offering, begun = logins, TokenBuckets(LOGINS_PER_S)

        async def log_in(http: HttpRequest) -> web.StreamResponse:
            if not begun.take(door.address(http)):
                raise TooManyRequests("too many logins are begun from this address")
            return await _log_in(http, door, offering)

        async def come_back(http: HttpRequest) -> web.StreamResponse:
            return await _come_back(http, door, auth, offering)

        known["/zot/auth/login"] = {"GET": log_in}
        known |= {f"{CALLBACK_PATH}/{name}": {"GET": come_back} for name in logins.names}
    return known


async def _log_in(http: HttpRequest, door: HttpAuthenticator, logins: BrowserLogins) -> web.StreamResponse:
    """Send the browser to a provider."""
    http.request = UseExtension(name="login")
    query = _query(http)
    try:
        sent = await logins.begin(query.get("provider", ""), query.get("callback_ui", ""), door.origin(http))
    except SessionsUnavailableError as error:
        raise Unavailable("sessions cannot be kept at the moment") from error
    set_later(http, door.cookies.of_login(sent.login_id))
    return web.Response(status=302, headers={"Location": sent.url, "Cache-Control": "no-store"})


async def _come_back(
    http: HttpRequest, door: HttpAuthenticator, auth: Auth, logins: BrowserLogins
) -> web.StreamResponse:
    """Take the browser back from a provider: begin a session, and send it on."""
    http.request = UseExtension(name="login")
    provider = http.raw_path.partition("?")[0].rpartition("/")[2]
    set_later(http, door.cookies.without_login())
    try:
        back = await logins.finish(provider, cookie(http, cookies.STATE), _query(http))
    except SessionsUnavailableError as error:
        raise Unavailable("sessions cannot be looked up at the moment") from error
    http.principal = back.principal
    session = await auth.chain.begin_session(back.principal, cookie(http, cookies.SESSION), provider)
    assert session is not None  # there are no logins without sessions
    for header in door.cookies.of_session(session, back.principal.name):
        set_later(http, header)
    if not back.callback_ui:
        return web.Response(status=201, headers={"Cache-Control": "no-store"})
    return web.Response(status=302, headers={"Location": back.callback_ui, "Cache-Control": "no-store"})


async def _log_out(
    http: HttpRequest, door: HttpAuthenticator, sessions: Sessions, logins: BrowserLogins | None
) -> web.StreamResponse:
    """End the session of the cookie, if there is one, and say where the provider's ends."""
    http.request = UseExtension(name="logout")
    if not door.same_origin(http):
        raise CrossOrigin("a logout has to come from the registry's own pages")
    try:
        session = await sessions.end(cookie(http, cookies.SESSION))
    except SessionsUnavailableError as error:
        raise Unavailable("sessions cannot be ended at the moment") from error
    set_later(http, door.cookies.without_session())
    if session is not None:
        http.principal = Principal(session.user, "session", frozenset(session.groups))
    url = None
    if session is not None and session.provider and logins is not None:
        url = await logins.end_session_url(session.provider, door.origin(http))
    body = msgspec.json.encode({"endSessionUrl": url} if url else {})
    return web.Response(body=body, headers={"Content-Type": "application/json", "Cache-Control": "no-store"})


def _query(http: HttpRequest) -> dict[str, str]:
    text = http.raw_path.partition("?")[2]
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=QUERY_FIELDS_LIMIT, errors="strict"))
    except ValueError:
        raise LoginQueryInvalid("the query cannot be read") from None
