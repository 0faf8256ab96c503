"""`/zot/auth/token`: a bearer token for a user name and a password, as Docker's clients ask for it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec
from aiohttp import web

from zot.api.application import Routes
from zot.api.body import Pace, small
from zot.api.errors import Answered
from zot.api.http_request import HttpRequest
from zot.auth.build import Auth
from zot.auth.credentials import AUTHORIZATION_LENGTH_LIMIT, Authorization, login
from zot.auth.fetch import FetchError
from zot.auth.token_exchange import TokenExchange
from zot.config.auth import Bearer, UpstreamTokenEndpoint
from zot.registry.errors import RegistryError, Unauthorized
from zot.registry.request import UseExtension

PATH = "/zot/auth/token"
FORM_LIMIT_BYTES = 64 << 10

_FORM_FIELDS = ("password", "id_token", "access_token", "refresh_token", "token")
_FIELDS_LIMIT = 100
_FORWARDED = frozenset({"accept", "authorization", "content-type", "user-agent"})
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class FormInvalid(RegistryError):
    """The form cannot be read."""

    code, status, message = "UNSUPPORTED", 400, "bad request"


class UpstreamFailed(RegistryError):
    """The token endpoint upstream gave no answer."""

    code, status, message = "UNAVAILABLE", 502, "the token endpoint upstream cannot be reached"


def routes(auth: Auth, config: Bearer, exchange: TokenExchange) -> Routes:
    """Return the route."""
    realm = config.realm or "zot"
    challenge = {"WWW-Authenticate": f'Basic realm="{realm}"', **_NO_STORE}

    async def token(http: HttpRequest) -> web.StreamResponse:
        http.request = UseExtension(name="token")
        headers = http.headers.getall("Authorization", [])
        if len(headers) > 1:
            raise Answered(Unauthorized("more than one Authorization header"), challenge)
        body = await small(http, Pace(), FORM_LIMIT_BYTES) if http.method == "POST" else b""
        form = _fields(body.decode("latin-1"))
        candidates = _candidates(headers, form)
        try:
            issued = await exchange.exchange(candidates)
        except Unauthorized as error:
            raise Answered(error, challenge) from error
        if issued is not None:
            answered = {"Content-Type": "application/json", **_NO_STORE}
            return web.Response(body=msgspec.json.encode(issued), headers=answered)
        if config.upstream_token_endpoint is None:
            reason = exchange.mismatch(candidates) or "no token of a workload that is known"
            raise Answered(Unauthorized(reason), challenge)
        return await _forward(http, auth, config.upstream_token_endpoint, form)

    return {PATH: {"GET": token, "POST": token}}


def _candidates(headers: Sequence[str], form: Sequence[tuple[str, str]]) -> list[str]:
    """Return what may be a token: the password, then fields of the form."""
    candidates = []
    if headers and len(headers[0]) <= AUTHORIZATION_LENGTH_LIMIT:
        scheme, _, value = headers[0].strip().partition(" ")
        if scheme.lower() == "basic":
            with contextlib.suppress(Unauthorized):
                candidates.append(login(Authorization("basic", value.strip())).password)
    by_name = dict(form)
    candidates += [by_name[name] for name in _FORM_FIELDS if by_name.get(name)]
    return candidates


def _fields(text: str) -> list[tuple[str, str]]:
    try:
        if not text.isascii():
            raise FormInvalid("the form cannot be read")
        return parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS_LIMIT, errors="strict")
    except ValueError:
        raise FormInvalid("the form cannot be read") from None


async def _forward(
    http: HttpRequest, auth: Auth, upstream: UpstreamTokenEndpoint, form: Sequence[tuple[str, str]]
) -> web.Response:
    """Ask the endpoint upstream in the client's place, for its own service, and pass on what it says."""
    query = _fields(http.raw_path.partition("?")[2])
    parts = urlsplit(upstream.realm)
    asked = urlencode([*parse_qsl(parts.query), *_for_service(query, upstream.service)])
    headers = {name: value for name, value in http.headers.items() if name.lower() in _FORWARDED}
    body = urlencode(_for_service(form, upstream.service)).encode() if http.method == "POST" else None
    try:
        answer = await auth.fetcher.forward(http.method, urlunsplit(parts._replace(query=asked)), headers, body)
    except FetchError as error:
        raise UpstreamFailed(str(error)) from error
    passed: Mapping[str, str] = {
        name: value for name, value in answer.headers.items() if name.lower() in {"content-type", "www-authenticate"}
    }
    return web.Response(status=answer.status, body=answer.body, headers={**passed, **_NO_STORE})


def _for_service(fields: Sequence[tuple[str, str]], service: str) -> list[tuple[str, str]]:
    kept = [(name, value) for name, value in fields if name != "service"]
    return [*kept, ("service", service)]
