"""Bearer tokens that the registry issues, for Docker's token flow with both anonymous clients and users.

A token names its owner, the login and the scopes. It is signed (HMAC-SHA256) with a key that all processes and replicas
share, and not stored. It grants nothing by itself: on each request the login must still be valid, and access control
decides as for its owner, within the scopes of the token.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
import zlib
from collections.abc import Iterable, Sequence

import msgspec

from zot.accounts.sessions.interface import SessionsUnavailableError
from zot.accounts.sessions.session import Sessions
from zot.auth.authenticators.apikey import ApiKeyAuthenticator
from zot.auth.credentials import InvalidBearer
from zot.auth.login_validity import LoginValidity
from zot.auth.principal import ANONYMOUS, Principal
from zot.auth.scopes import ApiKeyScope, actions_of, allowed
from zot.oci.names import InvalidNameError, Repository, parse_repository
from zot.registry.errors import Denied, Unavailable
from zot.registry.request import Action

PREFIX = "zrt_"
LENGTH_LIMIT = 8 << 10
"""The most characters of a token: proxies limit request headers."""
SCOPES_LIMIT = 64
LIFETIME_S = 300
"""The lifetime of a token whose login is checked on each request."""
SHORT_LIFETIME_S = 60
"""The lifetime of a token whose login cannot be checked: the shortest that Docker's clients accept."""

_SIGNATURE_CONTEXT = b"zot registry token 1\0"
_KEY_REFRESH_INTERVAL_S = 60.0
_KEY_RETRY_INTERVAL_S = 1.0
_ALL_ACTIONS = "*"


class RequestedToken(msgspec.Struct, frozen=True):
    """The scopes that a client requests a token for."""

    access: Sequence[tuple[str, tuple[str, ...]]] = ()
    """Repositories, each with Docker's actions on it."""
    catalog: bool = False


class _Payload(msgspec.Struct, frozen=True, array_like=True):
    expires_s: int
    method: str
    name: str
    fingerprint: str
    """The fingerprint of the login; for an API key, the key's hash."""
    groups: tuple[str, ...]
    access: tuple[tuple[str, tuple[str, ...]], ...]
    catalog: bool


class RegistryTokens:
    """Issues and verifies the registry's tokens."""

    def __init__(self, sessions: Sessions, validity: LoginValidity, api_keys: ApiKeyAuthenticator | None) -> None:
        """Keep the store of the signing key, and what tells whether logins and API keys are valid."""
        self._sessions = sessions
        self._validity = validity
        self._api_keys = api_keys
        self._decoder = msgspec.msgpack.Decoder(_Payload)
        self._key = b""
        self._key_read_s = float("-inf")

    async def issue(self, principal: Principal, requested: RequestedToken, key_hash: str = "") -> tuple[str, int]:
        """Return a token for an authenticated principal, and its lifetime in seconds.

        `key_hash` is the hash of the API key, if the principal used one. Raises Unavailable, and Denied if scopes and
        groups do not fit into a token.
        """
        revocable = not principal.authenticated or bool(key_hash) or self._validity.revocable(principal.method)
        lifetime_s = LIFETIME_S if revocable else SHORT_LIFETIME_S
        fingerprint = key_hash
        if principal.authenticated and not key_hash:
            fingerprint = await self._validity.fingerprint(principal.method, principal.name) or ""
        groups = () if key_hash else tuple(sorted(principal.groups))
        payload = _Payload(
            int(time.time()) + lifetime_s,
            principal.method,
            principal.name,
            fingerprint,
            groups,
            tuple(requested.access),
            requested.catalog,
        )
        body = zlib.compress(msgspec.msgpack.encode(payload))
        token = f"{PREFIX}{_text(body)}.{_text(_mac(await self._signing_key(), body))}"
        if len(token) > LENGTH_LIMIT:
            raise Denied("the scopes and groups of this login do not fit into a token; use Basic credentials")
        return token, lifetime_s

    async def verify(self, token: str) -> Principal:
        """Return the owner of the token, limited to its scopes. Raises InvalidBearer, Unavailable."""
        payload = await self._open(token)
        if time.time() >= payload.expires_s:
            raise InvalidBearer("the token has expired")
        owner = await self._owner(payload)
        if owner is None:
            raise InvalidBearer("the login or API key of the token is not valid any more")
        return msgspec.structs.replace(
            owner, scopes=_scopes(payload, owner), token_owner=owner, lists_catalog=payload.catalog
        )

    async def _owner(self, payload: _Payload) -> Principal | None:
        """Return the owner of the token with all rights; None if the login is not valid any more."""
        if payload.method == ANONYMOUS.method:
            return ANONYMOUS
        if payload.method == ApiKeyAuthenticator.method:
            owner = await self._api_keys.by_hash(payload.fingerprint) if self._api_keys is not None else None
            return owner if owner is not None and owner.name == payload.name else None
        if not await self._validity.is_valid(payload.method, payload.name, payload.fingerprint):
            return None
        return Principal(payload.name, payload.method, frozenset(payload.groups))

    async def _open(self, token: str) -> _Payload:
        body_text, _, mac_text = token.removeprefix(PREFIX).partition(".")
        if len(token) > LENGTH_LIMIT or not token.startswith(PREFIX):
            raise InvalidBearer("the token is malformed")
        try:
            body, mac = _bytes(body_text), _bytes(mac_text)
        except (binascii.Error, ValueError):
            raise InvalidBearer("the token is malformed") from None
        # Another replica may have made another key, if the store lost the one that is cached here.
        for is_last in (False, True):
            if is_last:
                await self._read_key(_KEY_RETRY_INTERVAL_S)
            elif not self._key:
                await self._read_key(0.0)
            if hmac.compare_digest(mac, _mac(self._key, body)):
                # The registry has signed it, so it is safe to decompress and decode.
                return self._decoder.decode(zlib.decompress(body))
        raise InvalidBearer("the token is not signed by this registry")

    async def _signing_key(self) -> bytes:
        """Return the key to sign with: the cached one if the store cannot be reached. Raises Unavailable."""
        try:
            await self._read_key(_KEY_REFRESH_INTERVAL_S)
        except Unavailable:
            if not self._key:
                raise
        return self._key

    async def _read_key(self, max_age_s: float) -> None:
        now_s = time.monotonic()
        if now_s - self._key_read_s > max_age_s:
            try:
                self._key = await self._sessions.secret()
            except SessionsUnavailableError as error:
                raise Unavailable("the key that signs tokens cannot be read at the moment") from error
            self._key_read_s = now_s


def parse_token_scopes(scopes: Iterable[str]) -> RequestedToken:
    """Parse the scopes of a token request (distribution, Token Scope Documentation).

    Unknown scopes and actions are ignored, as by Docker's own token server. Raises ValueError if there are too many.
    """
    access: dict[str, dict[str, None]] = {}
    catalog = False
    for scope in " ".join(scopes).split(" "):
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        if (kind, name) == ("registry", "catalog"):
            catalog = True
        elif kind.partition("(")[0] == "repository":
            try:
                repository = parse_repository(name)
            except InvalidNameError:
                continue
            access.setdefault(repository, {}).update(dict.fromkeys(actions.split(",")))
            if len(access) > SCOPES_LIMIT:
                raise ValueError(f"a token is for at most {SCOPES_LIMIT} repositories")
    known = {
        name: tuple(action for action in actions if action == _ALL_ACTIONS or actions_of([action]))
        for name, actions in access.items()
    }
    return RequestedToken(tuple(known.items()), catalog)


def _scopes(payload: _Payload, owner: Principal) -> tuple[ApiKeyScope, ...]:
    """Return the scopes of a token, within those of its owner's API key."""
    scopes = []
    for name, docker_actions in payload.access:
        repository = Repository(name)
        actions = frozenset(Action) if _ALL_ACTIONS in docker_actions else actions_of(docker_actions)
        if owner.scopes is not None:
            actions = frozenset(action for action in actions if allowed(owner.scopes, action, repository))
        scopes.append(ApiKeyScope(repository, actions))
    return tuple(scopes)


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, _SIGNATURE_CONTEXT + body, hashlib.sha256)


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
