"""`/zot/auth/apikey`: users create, list and revoke their API keys."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import msgspec
from aiohttp import web

from zot.accounts.interface import Accounts, AccountsUnavailableError, ApiKey
from zot.api.application import Routes
from zot.api.authorization import Authorizer
from zot.api.body import TransferLimits, read_limited
from zot.api.http_request import HttpRequest
from zot.auth.authenticators.apikey import ApiKeyAuthenticator, new_key
from zot.auth.principal import Principal
from zot.auth.scopes import InvalidScopeError
from zot.registry.errors import Denied, RegistryError, TooManyRequests, Unavailable
from zot.registry.request import UseExtension

PATH = "/zot/auth/apikey"
BODY_LIMIT_BYTES = 8 << 10
KEYS_LIMIT = 200
"""The most keys that a user may have."""

_NEVER = "0001-01-01T00:00:00Z"
_LABEL_LIMIT = 256
_AGENT_LIMIT = 256


class ApiKeyInvalid(RegistryError):
    """The request for a key is invalid."""

    code, status, message = "UNSUPPORTED", 400, "bad request"


class ApiKeyRequest(msgspec.Struct, frozen=True):
    """What a user asks for."""

    label: str | None = None
    scopes: tuple[str, ...] | None = None
    expirationDate: str | None = None  # noqa: N815 - zot's spelling


def routes(authorizer: Authorizer, accounts: Accounts) -> Routes:
    """Return the routes of API keys."""

    async def create(http: HttpRequest) -> web.StreamResponse:
        owner = await _owner(http, authorizer)
        requested = _parse(await read_limited(http, TransferLimits(), BODY_LIMIT_BYTES))
        agent = http.headers.get("User-Agent", "")
        secret, key = await create_key(accounts, owner, requested, agent)
        return _json({"apiKey": secret, **_details(key)}, status=201)

    async def list_keys(http: HttpRequest) -> web.StreamResponse:
        owner = await _owner(http, authorizer)
        try:
            keys = await accounts.keys(owner.name)
        except AccountsUnavailableError as error:
            raise Unavailable("the accounts cannot be reached") from error
        return _json({"apiKeys": [_details(key) for key in keys]})

    async def revoke(http: HttpRequest) -> web.StreamResponse:
        owner = await _owner(http, authorizer)
        ids = parse_qs(http.raw_path.partition("?")[2]).get("id", [])
        if len(ids) != 1:
            raise ApiKeyInvalid("exactly one id is required")
        try:
            await accounts.delete_key(owner.name, ids[0])
        except AccountsUnavailableError as error:
            raise Unavailable("the accounts cannot be reached") from error
        return web.Response()

    return {PATH: {"GET": list_keys, "POST": create, "DELETE": revoke}}


async def create_key(accounts: Accounts, owner: Principal, requested: ApiKeyRequest, agent: str) -> tuple[str, ApiKey]:
    """Create a key of a user, durably; return its secret, which is stored nowhere, and the key.

    Raises ApiKeyInvalid, Denied, TooManyRequests, Unavailable.
    """
    secret, key = _new_key(owner.name, requested, agent)
    try:
        if len(await accounts.keys(owner.name)) >= KEYS_LIMIT:
            raise TooManyRequests(f"a user has at most {KEYS_LIMIT} API keys")
        if owner.method != ApiKeyAuthenticator.method:
            user = await accounts.user(owner.name)
            if user is not None and user.service:
                raise Denied(f"{owner.name} is a service account")
            # API keys have the groups of the last login.
            await accounts.record_login(owner.name, sorted(owner.groups))
        await accounts.add_key(key)
    except AccountsUnavailableError as error:
        raise Unavailable("the accounts cannot be reached") from error
    return secret, key


async def _owner(http: HttpRequest, authorizer: Authorizer) -> Principal:
    # A limited key must not create an unlimited one, and the subject of a token server's token is not a user.
    request = UseExtension(name="apikey")
    return await authorizer.enter(http, request, lambda principal: principal.is_full_user)


def _parse(body: bytes) -> ApiKeyRequest:
    try:
        return msgspec.json.decode(body, type=ApiKeyRequest) if body.strip() else ApiKeyRequest()
    except (ValueError, RecursionError) as error:
        raise ApiKeyInvalid(f"the body is not a request for an API key: {error}") from None


def _new_key(owner: str, requested: ApiKeyRequest, agent: str) -> tuple[str, ApiKey]:
    expiry = requested.expirationDate
    expires_s = _time(expiry) if expiry not in (None, "", _NEVER) else None
    if expires_s is not None and expires_s <= time.time():
        raise ApiKeyInvalid("the expiration date is in the past")
    label = (requested.label or "")[:_LABEL_LIMIT]
    try:
        return new_key(owner, label, requested.scopes or (), expires_s, agent[:_AGENT_LIMIT])
    except InvalidScopeError as error:
        raise ApiKeyInvalid(str(error)) from None


def _time(text: str) -> float:
    try:
        parsed = dt.datetime.fromisoformat(text)
        if parsed.tzinfo is None:
            raise ApiKeyInvalid("expirationDate has no time zone")
        # The conversion to UTC may leave the years that datetime has.
        return parsed.astimezone(dt.UTC).timestamp()
    except (ValueError, OverflowError):
        raise ApiKeyInvalid("expirationDate is not an RFC 3339 date") from None


def _details(key: ApiKey) -> Mapping[str, Any]:
    return {
        "createdAt": _text(key.created_s),
        "expirationDate": _text(key.expires_s),
        "isExpired": key.expires_s is not None and time.time() >= key.expires_s,
        "creatorUa": key.creator_agent,
        "generatedBy": "manual",
        "lastUsed": _text(key.last_used_s),
        "label": key.label,
        "scopes": key.scopes,
        "uuid": key.id,
    }


def _text(at_s: float | None) -> str:
    if at_s is None:
        return _NEVER
    return dt.datetime.fromtimestamp(at_s, dt.UTC).isoformat().replace("+00:00", "Z")


def _json(document: Mapping[str, Any], status: int = 200) -> web.Response:
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return web.Response(status=status, body=msgspec.json.encode(document), headers=headers)
