"""Tells whether an earlier login is still valid: sessions, tokens and API keys end with it.

A session, a token and an API key outlive the login by which a client got them. A user who is removed from the
htpasswd file loses all of them, and a changed password ends sessions and tokens. A directory (LDAP) tells nothing about
a user without the password: sessions and tokens of its users last until they expire.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from zot.accounts.interface import User


class UserSource(Protocol):
    """An authentication method whose users log in with a name and a password."""

    method: str
    revocable: bool
    """Whether `fingerprint` changes when a user is removed or gets another password."""

    async def fingerprint(self, name: str) -> str | None:
        """Return a text that changes with the user's password; None if there is no such user.

        Empty if the method cannot tell without the password. Raises Unavailable.
        """


class LoginValidity:
    """Looks up earlier logins in the methods that are configured."""

    def __init__(self, passwords: Sequence[UserSource], others: Sequence[str]) -> None:
        """Keep the methods with passwords, and the names of those without (openid, mtls, oidc)."""
        self._passwords: Mapping[str, UserSource] = {each.method: each for each in passwords}
        self._others = frozenset(others)

    def revocable(self, method: str) -> bool:
        """Tell whether a login by this method ends as soon as the user is removed."""
        source = self._passwords.get(method)
        return source is not None and source.revocable

    async def fingerprint(self, method: str, name: str) -> str | None:
        """Return the present fingerprint of the user (see `UserSource`).

        None if there is no such user, or if the method is not configured any more. Raises Unavailable.
        """
        source = self._passwords.get(method)
        if source is not None:
            return await source.fingerprint(name)
        return "" if method in self._others else None

    async def is_valid(self, method: str, name: str, fingerprint: str) -> bool:
        """Tell whether a login with this fingerprint is still valid. Raises Unavailable."""
        present = await self.fingerprint(method, name)
        return present is not None and (not fingerprint or present == fingerprint)

    async def may_use_keys(self, user: User) -> bool:
        """Tell whether the API keys of a user are valid: the method of the last login still knows the user.

        A service account needs no login. If the last login is unknown, or its method is not configured any more, it
        is enough that any configured method may know the user. Raises Unavailable.
        """
        if user.service:
            return True
        source = self._passwords.get(user.origin)
        if source is not None:
            return await source.fingerprint(user.name) is not None
        if self._others or not self._passwords:
            return True
        return any([await each.fingerprint(user.name) is not None for each in self._passwords.values()])
