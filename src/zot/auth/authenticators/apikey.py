"""API keys: passwords that the registry made, for machines and for people without one."""

from __future__ import annotations

import hashlib
import logging
import re
import time
import uuid
from collections.abc import Sequence

from zot.accounts.interface import Accounts, AccountsUnavailableError, ApiKey
from zot.auth.credentials import Login
from zot.auth.login_validity import LoginValidity
from zot.auth.principal import Principal
from zot.auth.scopes import ApiKeyScope, InvalidScopeError, parse_scope
from zot.registry.errors import Unavailable

_log = logging.getLogger("zot.auth")

PREFIX = "zak_"
USE_NOTED_EVERY_S = 60.0

_FORM = re.compile(r"zak_[0-9a-f]{32}")


def looks_like_key(password: str) -> bool:
    """Tell whether the password has the form of an API key."""
    return _FORM.fullmatch(password) is not None


def new_key(
    owner: str, label: str = "", scopes: Sequence[str] = (), expires_s: float | None = None, creator_agent: str = ""
) -> tuple[str, ApiKey]:
    """Return a new key, to be shown once, and what is kept of it.

    Raises InvalidScopeError if a scope is none: a key would allow more than was meant.
    """
    for scope in scopes:
        parse_scope(scope)
    secret = uuid.uuid4().hex
    kept = ApiKey(
        id=str(uuid.uuid4()),
        owner=owner,
        hash=_hash(secret),
        label=label,
        scopes=tuple(scopes),
        created_s=time.time(),
        expires_s=expires_s,
        creator_agent=creator_agent,
    )
    return PREFIX + secret, kept


class ApiKeyAuthenticator:
    """Users by the API keys that they made, with the groups of their last login."""

    method = "apikey"

    def __init__(self, accounts: Accounts, standings: LoginValidity) -> None:
        """Take the accounts, where the keys are, and what knows whether their owners are there still."""
        self._accounts = accounts
        self._standings = standings

    async def verify(self, login: Login) -> Principal | None:
        """Return who that is; None if the key is unknown, expired, or another user's. Raises Unavailable."""
        if not looks_like_key(login.password):
            return None
        principal = await self.by_hash(hash_of(login.password))
        return principal if principal is not None and principal.name == login.name else None

    async def by_hash(self, hashed: str) -> Principal | None:
        """Return the owner of the key, limited to its scopes; None if there is no such key, or it does not count.

        A key counts until it expires, and as long as the login of its owner stands. Raises Unavailable.
        """
        try:
            found = await self._accounts.key(hashed)
        except AccountsUnavailableError as error:
            raise Unavailable("the accounts cannot be reached") from error
        now_s = time.time()
        if found is None or (found.key.expires_s is not None and now_s >= found.key.expires_s):
            return None
        if not await self._standings.owns(found.user):
            return None
        await self._note_use(found.key, now_s)
        return Principal(found.key.owner, self.method, frozenset(found.user.groups), scopes=_scopes(found.key))

    async def _note_use(self, key: ApiKey, now_s: float) -> None:
        if key.last_used_s is not None and now_s - key.last_used_s < USE_NOTED_EVERY_S:
            return
        try:
            await self._accounts.key_used(key.hash, now_s)
        except AccountsUnavailableError as error:
            # The key was verified; when it was used last is for people to look at.
            _log.warning("the use of an API key of %s is not noted: %s", key.owner, error)


def hash_of(password: str) -> str:
    """Return the hash by which the accounts know an API key."""
    return _hash(password.removeprefix(PREFIX))


def _scopes(key: ApiKey) -> tuple[ApiKeyScope, ...] | None:
    if not key.scopes:
        return None
    scopes = []
    for text in key.scopes:
        try:
            scopes.append(parse_scope(text))
        except InvalidScopeError:  # as another version may have stored it: it allows nothing
            _log.warning("API key %s of %s has a scope that is none: %r", key.id, key.owner, text)
    return tuple(scopes)


def _hash(secret: str) -> str:
    # As zot does. The secret is random, so there is nothing to slow guessing for.
    return hashlib.sha256(secret.encode()).hexdigest()
