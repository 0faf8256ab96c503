"""Authenticates and authorizes by tokens of a token server (distribution, Token Authentication).

The access entries of a token replace `accessControl`, as in zot: the token server has decided.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from zot.auth.cached_file import CachedFile
from zot.auth.principal import Principal
from zot.auth.scopes import ApiKeyScope, actions_of, docker_action
from zot.auth.tokens import InvalidTokenError, VerificationKey, audiences, parse_keys, subject, time_claim, verify
from zot.foundation.bounded_map import BoundedMap
from zot.foundation.threads import ThreadPool
from zot.oci.names import Repository
from zot.registry.request import ListRepositories, Request

_CACHE_LIMIT = 4096
_ENTRIES_LIMIT = 1000


class VerificationKeys(Protocol):
    """A source of the keys that verify tokens."""

    needs_key_id: bool
    """Whether a token must name its key."""

    async def keys(self) -> Sequence[VerificationKey]:
        """Return the keys: the same object until they change. Raises Unavailable if there are none."""


class KeyFile:
    """Keys from a file: PEM certificates, PEM public keys, or a JWK set. A changed file is read again."""

    needs_key_id = False

    def __init__(self, path: Path, pool: ThreadPool) -> None:
        """Keep the path; nothing is read yet."""
        self._file = CachedFile(path, parse_keys, pool)

    async def keys(self) -> Sequence[VerificationKey]:
        """Return the keys. Raises Unavailable if the file cannot be read."""
        return await self._file.content()


class BearerAuthenticator:
    """Verifies tokens for one service, signed by one of the keys."""

    method = "bearer"

    def __init__(self, realm: str, service: str, keys: VerificationKeys) -> None:
        """Keep realm (the URL of the token server) and service, which challenges name, and the keys."""
        self._realm = realm
        self._service = service
        self._keys = keys
        self._verified: BoundedMap[bytes, tuple[Sequence[VerificationKey], float, Principal]] = BoundedMap(_CACHE_LIMIT)

    async def verify(self, token: str, now_s: float) -> Principal:
        """Return the subject of the token, with its scopes. Raises InvalidTokenError, Unavailable."""
        keys = await self._keys.keys()
        hashed = hashlib.sha256(token.encode()).digest()
        cached = self._verified.get(hashed)
        if cached is not None and cached[0] is keys and now_s < cached[1]:
            return cached[2]
        claims = verify(token, keys, needs_key_id=self._keys.needs_key_id)
        services = audiences(claims)
        if services and self._service not in services:
            raise InvalidTokenError("the token is for another service")
        name = subject(claims)
        principal = Principal(name if name.isprintable() else "", self.method, claims=claims, scopes=_scopes(claims))
        expires_s = time_claim(claims, "exp")
        self._verified[hashed] = (keys, now_s + 60.0 if expires_s is None else expires_s, principal)
        return principal

    def challenge(self, request: Request | None, error: str = "") -> str:
        """Return the WWW-Authenticate header that tells a client which token to get for the request."""
        return challenge(self._realm, self._service, scope_of(request), error)


def challenge(realm: str, service: str, scope: str, error: str = "") -> str:
    """Return a WWW-Authenticate header of the token protocol; `error` is an error code of RFC 6750."""
    suffix = f',error="{error}"' if error else ""
    return f'Bearer realm="{realm}",service="{service}",scope="{scope}"{suffix}'


def scope_of(request: Request | None) -> str:
    """Return the Docker scopes that a token needs for the request; empty if any token suffices."""
    if isinstance(request, ListRepositories):
        return "registry:catalog:*"
    actions: dict[str, dict[str, None]] = {}
    for right in request.rights() if request is not None else ():
        needed = actions.setdefault(right.repository, {})
        needed.update((docker_action(action), None) for action in right.actions)
    return " ".join(f"repository:{repository}:{','.join(needed)}" for repository, needed in actions.items())


def _scopes(claims: Mapping[str, Any]) -> tuple[ApiKeyScope, ...]:
    """Return the scopes of the access entries; unknown entries allow nothing."""
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
        # In a token without expiry, only entries with one are valid.
        expires_s = time_claim(entry, "exp")
        if expires_s is None and claims.get("exp") is None:
            continue
        scopes.append(ApiKeyScope(Repository(name), actions_of(str(action) for action in actions), expires_s))
    return tuple(scopes)
