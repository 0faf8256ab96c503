"""The registry's own bearer tokens: for Docker's token flow, where anonymous reading and logins meet.

A token says who got it, by which login, and for what; it is signed (HMAC-SHA256) with a key that all processes and
replicas share, and kept nowhere. It grants nothing by itself: on each request the login has to stand still, and access
control decides as for that user, within the scopes of the token.
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
from zot.auth.scopes import ApiKeyScope, allowed, meaning
from zot.oci.names import InvalidNameError, Repository, parse_repository
from zot.registry.errors import Denied, Unavailable
from zot.registry.request import Action

PREFIX = "zrt_"
LENGTH_LIMIT = 8 << 10
"""Characters of a token: a request's headers have to fit through proxies."""
SCOPES_LIMIT = 64
LIFETIME_S = 300
"""How long a token counts whose login is looked at on each request."""
SHORT_LIFETIME_S = 60
"""How long one counts whose login cannot be: the shortest time that Docker's clients take."""

_CONTEXT = b"zot registry token 1\0"
_KEY_READ_EVERY_S = 60.0
_KEY_REREAD_EVERY_S = 1.0
_EVERYTHING = "*"


class RequestedToken(msgspec.Struct, frozen=True):
    """What a client asks a token for."""

    access: Sequence[tuple[str, tuple[str, ...]]] = ()
    """Repositories, each with Docker's actions on it."""
    catalog: bool = False


class _Content(msgspec.Struct, frozen=True, array_like=True):
    expires_s: int
    method: str
    name: str
    standing: str
    """What the login stood on; for an API key, the key's hash."""
    groups: tuple[str, ...]
    access: tuple[tuple[str, tuple[str, ...]], ...]
    catalog: bool


class RegistryTokens:
    """Issues tokens and verifies them."""

    def __init__(self, sessions: Sessions, standings: LoginValidity, api_keys: ApiKeyAuthenticator | None) -> None:
        """Take where the key is, and by whom logins are looked at again."""
        self._sessions = sessions
        self._standings = standings
        self._api_keys = api_keys
        self._decoder = msgspec.msgpack.Decoder(_Content)
        self._key = b""
        self._key_read_s = float("-inf")

    async def issue(self, principal: Principal, wanted: RequestedToken, key_hash: str = "") -> tuple[str, int]:
        """Return a token for a principal that was just authenticated, and for how many seconds it counts.

        `key_hash` is that of the API key by which it was. Raises Denied if the groups of the login do not fit into a
        token; Unavailable.
        """
        revocable = not principal.authenticated or bool(key_hash) or self._standings.revocable(principal.method)
        lifetime_s = LIFETIME_S if revocable else SHORT_LIFETIME_S
        standing = key_hash
        if principal.authenticated and not key_hash:
            standing = await self._standings.of(principal.method, principal.name) or ""
        groups = () if key_hash else tuple(sorted(principal.groups))
        content = _Content(
            int(time.time()) + lifetime_s,
            principal.method,
            principal.name,
            standing,
            groups,
            tuple(wanted.access),
            wanted.catalog,
        )
        body = zlib.compress(msgspec.msgpack.encode(content))
        token = f"{PREFIX}{_text(body)}.{_text(_mac(await self._signing_key(), body))}"
        if len(token) > LENGTH_LIMIT:
            raise Denied("the scopes and the groups of this login do not fit into a token; Basic credentials are taken")
        return token, lifetime_s

    async def verify(self, token: str) -> Principal:
        """Return who bears the token, limited to its scopes. Raises InvalidBearer, Unavailable."""
        content = await self._opened(token)
        if time.time() >= content.expires_s:
            raise InvalidBearer("the token has expired")
        whole = await self._whole(content)
        if whole is None:
            raise InvalidBearer("what the token stands for is not valid any more")
        return msgspec.structs.replace(whole, scopes=_scopes(content, whole), whole=whole, lists=content.catalog)

    async def _whole(self, content: _Content) -> Principal | None:
        """Return who got the token, with all that they may do; None if the login does not stand any more."""
        if content.method == ANONYMOUS.method:
            return ANONYMOUS
        if content.method == ApiKeyAuthenticator.method:
            found = await self._api_keys.by_hash(content.standing) if self._api_keys is not None else None
            return found if found is not None and found.name == content.name else None
        if not await self._standings.holds(content.method, content.name, content.standing):
            return None
        return Principal(content.name, content.method, frozenset(content.groups))

    async def _opened(self, token: str) -> _Content:
        body_text, _, mac_text = token.removeprefix(PREFIX).partition(".")
        if len(token) > LENGTH_LIMIT or not token.startswith(PREFIX):
            raise InvalidBearer("the token is malformed")
        try:
            body, mac = _bytes(body_text), _bytes(mac_text)
        except (binascii.Error, ValueError):
            raise InvalidBearer("the token is malformed") from None
        # Another replica may have made another key, if the store lost the one that is known here.
        for is_last in (False, True):
            if is_last:
                await self._read_key(_KEY_REREAD_EVERY_S)
            elif not self._key:
                await self._read_key(0.0)
            if hmac.compare_digest(mac, _mac(self._key, body)):
                # Signed here, so neither its size nor its form can be anybody's trap.
                return self._decoder.decode(zlib.decompress(body))
        raise InvalidBearer("the token is not signed by this registry")

    async def _signing_key(self) -> bytes:
        """Return the key to sign with: the present one, or the last that was read if the store cannot be reached."""
        try:
            await self._read_key(_KEY_READ_EVERY_S)
        except Unavailable:
            if not self._key:
                raise
        return self._key

    async def _read_key(self, read_every_s: float) -> None:
        now_s = time.monotonic()
        if now_s - self._key_read_s > read_every_s:
            try:
                self._key = await self._sessions.secret()
            except SessionsUnavailableError as error:
                raise Unavailable("the key of tokens cannot be read at the moment") from error
            self._key_read_s = now_s


def wanted_of(scopes: Iterable[str]) -> RequestedToken:
    """Return what the scopes of a request for a token ask for (distribution, Token Scope Documentation).

    What is not understood asks for nothing, as in Docker's own token server. Raises ValueError if there are too many.
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
    known = {name: tuple(a for a in actions if a == _EVERYTHING or meaning([a])) for name, actions in access.items()}
    return RequestedToken(tuple(known.items()), catalog)


def _scopes(content: _Content, whole: Principal) -> tuple[ApiKeyScope, ...]:
    """Return the scopes of a token, within those that its bearer's API key has."""
    scopes = []
    for name, names in content.access:
        repository = Repository(name)
        actions = frozenset(Action) if _EVERYTHING in names else meaning(names)
        if whole.scopes is not None:
            actions = frozenset(action for action in actions if allowed(whole.scopes, action, repository))
        scopes.append(ApiKeyScope(repository, actions))
    return tuple(scopes)


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, _CONTEXT + body, hashlib.sha256)


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
