"""Tokens of a token server (distribution, Token Authentication): their access entries say what may be done.

They stand in place of `accessControl`, as in zot: the token server decided.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from zot.auth.principal import Principal
from zot.auth.scopes import ApiKeyScope, docker_action, meaning
from zot.auth.tokens import InvalidTokenError, VerificationKey, audiences, seconds, subject, verify
from zot.foundation.bounded_map import BoundedMap
from zot.oci.names import Repository
from zot.registry.request import ListRepositories, Request

_REMEMBERED = 4096
_ENTRIES_LIMIT = 1000


class VerificationKeys(Protocol):
    """Where the keys of tokens come from."""

    needs_key_id: bool
    """Whether a token has to name its key."""

    async def keys(self) -> Sequence[VerificationKey]:
        """Return the keys, the same object until they change; raise Unavailable if there are none to be had."""


class BearerAuthenticator:
    """Tokens for one service, signed by one of the keys."""

    method = "bearer"

    def __init__(self, realm: str, service: str, keys: VerificationKeys) -> None:
        """Take where clients get tokens, what they ask them for, and the keys."""
        self._realm = realm
        self._service = service
        self._keys = keys
        self._verified: BoundedMap[bytes, tuple[Sequence[VerificationKey], float, Principal]] = BoundedMap(_REMEMBERED)

    async def verify(self, token: str, now_s: float) -> Principal:
        """Return who the token is about, with its scopes; raise InvalidTokenError."""
        keys = await self._keys.keys()
        hashed = hashlib.sha256(token.encode()).digest()
        known = self._verified.get(hashed)
        if known is not None and known[0] is keys and now_s < known[1]:
            return known[2]
        claims = verify(token, keys, needs_key_id=self._keys.needs_key_id)
        meant_for = audiences(claims)
        if meant_for and self._service not in meant_for:
            raise InvalidTokenError("the token is for another service")
        name = subject(claims)
        principal = Principal(name if name.isprintable() else "", self.method, claims=claims, scopes=_scopes(claims))
        expires_s = seconds(claims, "exp")
        self._verified[hashed] = (keys, now_s + 60.0 if expires_s is None else expires_s, principal)
        return principal

    def challenge(self, request: Request | None, error: str = "") -> str:
        """Return the WWW-Authenticate header that tells a client which token to get for the request."""
        return challenge(self._realm, self._service, scope_of(request), error)


def challenge(realm: str, service: str, scope: str, error: str = "") -> str:
    """Return a WWW-Authenticate header of the token protocol; `error` says what is wrong with a token (RFC 6750)."""
    wrong = f',error="{error}"' if error else ""
    return f'Bearer realm="{realm}",service="{service}",scope="{scope}"{wrong}'


def scope_of(request: Request | None) -> str:
    """Return the scope that a token needs for the request, in Docker's words; empty if any token will do."""
    if isinstance(request, ListRepositories):
        return "registry:catalog:*"
    actions: dict[str, dict[str, None]] = {}
    for right in request.rights() if request is not None else ():
        wanted = actions.setdefault(right.repository, {})
        wanted.update((docker_action(action), None) for action in right.actions)
    return " ".join(f"repository:{repository}:{','.join(wanted)}" for repository, wanted in actions.items())


def _scopes(claims: Mapping[str, Any]) -> tuple[ApiKeyScope, ...]:
    """Return what the access entries allow; an entry that is not understood allows nothing."""
    entries = claims.get("access")
    if not isinstance(entries, list) or len(entries) > _ENTRIES_LIMIT:
        return ()
    scopes = []
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("type") != "repository":
            continue
        name, actions = entry.get("name"), entry.get("actions")
        if not isinstance(name, str) or not isinstance(actions, list):
            continue
        # A token that never expires is good for nothing but entries that do.
        expires_s = seconds(entry, "exp")
        if expires_s is None and claims.get("exp") is None:
            continue
        scopes.append(ApiKeyScope(Repository(name), meaning(str(action) for action in actions), expires_s))
    return tuple(scopes)
