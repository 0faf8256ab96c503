"""`/zot/auth/token`: bearer tokens for users, workloads and anonymous clients (distribution, Token Authentication)."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec
from aiohttp import web

from zot.api.application import Routes
from zot.api.auth.authentication import REALM_PATH, HttpAuthenticator
from zot.api.body import TransferLimits, read_limited
from zot.api.errors import ErrorResponse
from zot.api.http_request import HttpRequest
from zot.auth.build import Auth
from zot.auth.credentials import AUTHORIZATION_LENGTH_LIMIT, Authorization, authorization, login
from zot.auth.fetch import FetchError
from zot.auth.registry_tokens import parse_token_scopes
from zot.auth.token_exchange import IssuedToken, TokenExchange, issued_now
from zot.config.auth import BearerConfig, UpstreamTokenEndpointConfig
from zot.registry.errors import RegistryError, Unauthorized
from zot.registry.request import UseExtension

FORM_LIMIT_BYTES = 64 << 10

_FORM_FIELDS = ("password", "id_token", "access_token", "refresh_token", "token")
_FIELDS_LIMIT = 100
_FORWARDED_HEADERS = frozenset({"accept", "authorization", "content-type", "user-agent"})
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class FormInvalid(RegistryError):
    """The form cannot be read."""

    code, status, message = "UNSUPPORTED", 400, "bad request"


class UpstreamFailed(RegistryError):
    """The upstream token endpoint did not respond."""

    code, status, message = "UNAVAILABLE", 502, "the upstream token endpoint cannot be reached"


def routes(
    auth: Auth, authenticator: HttpAuthenticator, config: BearerConfig | None, exchange: TokenExchange | None
) -> Routes:
    """Return the route, which verifies tokens of workloads and issues tokens of this registry."""
    realm = (config.realm if config is not None else "") or "zot"
    challenge = {"WWW-Authenticate": f'Basic realm="{realm}"', **_NO_STORE}
    upstream = config.upstream_token_endpoint if config is not None else None

    async def token(http: HttpRequest) -> web.StreamResponse:
        http.request = UseExtension(name="token")
        headers = http.headers.getall("Authorization", [])
        if len(headers) > 1:
            raise ErrorResponse(Unauthorized("more than one Authorization header"), challenge)
        body = await read_limited(http, TransferLimits(), FORM_LIMIT_BYTES) if http.method == "POST" else b""
        form = _fields(body.decode("latin-1"))
        try:
            issued = await _exchanged(exchange, _candidates(headers, form), forwards=upstream is not None)
            if issued is not None:
                return _token_response(issued)
            if upstream is not None:
                return await _forward(http, auth, upstream, form)
            return _token_response(await _issue(http, auth, authenticator, form))
        except Unauthorized as error:
            raise ErrorResponse(error, challenge) from error

    return {REALM_PATH: {"GET": token, "POST": token}}


async def _exchanged(
    exchange: TokenExchange | None, candidates: Sequence[str], *, forwards: bool
) -> IssuedToken | None:
    if exchange is None:
        return None
    issued = await exchange.exchange(candidates)
    reason = exchange.mismatch(candidates) if issued is None and not forwards else None
    if reason is not None:
        raise Unauthorized(reason)
    return issued


async def _issue(
    http: HttpRequest, auth: Auth, authenticator: HttpAuthenticator, form: Sequence[tuple[str, str]]
) -> IssuedToken:
    """Issue a token for the user who logs in with the request, or for an anonymous client."""
    if auth.tokens is None:
        raise Unauthorized("the request has no token of a known workload issuer")
    fields = form if http.method == "POST" else _fields(http.raw_path.partition("?")[2])
    header = authorization(authenticator.credentials(http, UseExtension(name="token"))) or _login_of(form)
    principal, key_hash = await auth.chain.log_in(header, authenticator.address(http))
    http.principal = principal
    try:
        requested = parse_token_scopes(value for name, value in fields if name == "scope")
    except ValueError as error:
        raise FormInvalid(str(error)) from None
    return issued_now(*await auth.tokens.issue(principal, requested, key_hash))


def _login_of(form: Sequence[tuple[str, str]]) -> Authorization | None:
    """Return the login of a form (RFC 6749, section 4.3), None if it has none."""
    fields = dict(form)
    kind = fields.get("grant_type", "password")
    if kind != "password":
        raise Unauthorized(f"grant_type {kind[:64]!r} is not supported, expected password")
    pair = (fields.get("username", ""), fields.get("password", ""))
    return Authorization("basic", base64.b64encode(":".join(pair).encode()).decode()) if any(pair) else None


def _token_response(issued: IssuedToken) -> web.Response:
    return web.Response(body=msgspec.json.encode(issued), headers={"Content-Type": "application/json", **_NO_STORE})


def _candidates(headers: Sequence[str], form: Sequence[tuple[str, str]]) -> list[str]:
    """Return the values that may be a token: the password, then fields of the form."""
    candidates = []
    if headers and len(headers[0]) <= AUTHORIZATION_LENGTH_LIMIT:
        scheme, _, value = headers[0].strip(" \t").partition(" ")
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
    http: HttpRequest, auth: Auth, upstream: UpstreamTokenEndpointConfig, form: Sequence[tuple[str, str]]
) -> web.Response:
    """Forward the request to the upstream endpoint, for the upstream's service, and return its response."""
    fields = _fields(http.raw_path.partition("?")[2])
    parts = urlsplit(upstream.realm)
    query = urlencode([*parse_qsl(parts.query), *_for_service(fields, upstream.service)])
    headers = {name: value for name, value in http.headers.items() if name.lower() in _FORWARDED_HEADERS}
    body = urlencode(_for_service(form, upstream.service)).encode() if http.method == "POST" else None
    try:
        response = await auth.fetcher.forward(http.method, urlunsplit(parts._replace(query=query)), headers, body)
    except FetchError as error:
        raise UpstreamFailed(str(error)) from error
    returned: Mapping[str, str] = {
        name: value for name, value in response.headers.items() if name.lower() in {"content-type", "www-authenticate"}
    }
    return web.Response(status=response.status, body=response.body, headers={**returned, **_NO_STORE})


def _for_service(fields: Sequence[tuple[str, str]], service: str) -> list[tuple[str, str]]:
    kept = [(name, value) for name, value in fields if name != "service"]
    return [*kept, ("service", service)]
