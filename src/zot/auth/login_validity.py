"""What a login stands on, and whether it still does: sessions, tokens and API keys end with it.

A session, a token and an API key outlive the login by which a client got them. A user who is taken out of the htpasswd
file shall keep none of them, and a changed password ends sessions and tokens. A directory (LDAP) tells nothing about a
user without the password; what stands on it lasts until it expires.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from zot.accounts.interface import User


class KnowsUsers(Protocol):
    """An authentication method by which users log in with a name."""

    method: str
    revocable: bool
    """Whether `standing` notices that a user is gone, or has another password."""

    async def standing(self, name: str) -> str | None:
        """Return what logins by this name stand on now; None if there is no such user.

        It is another text once the password is another; empty if only a password would tell. Raises Unavailable.
        """


class LoginValidity:
    """The methods that a configuration has."""

    def __init__(self, passwords: Sequence[KnowsUsers], others: Sequence[str]) -> None:
        """Take the methods with passwords, and those which give users without one (openid, mtls, oidc)."""
        self._passwords: Mapping[str, KnowsUsers] = {each.method: each for each in passwords}
        self._others = frozenset(others)

    def revocable(self, method: str) -> bool:
        """Tell whether a login by this method ends as soon as the user is gone."""
        known = self._passwords.get(method)
        return known is not None and known.revocable

    async def of(self, method: str, name: str) -> str | None:
        """Return what a login by the method stands on now; None: on nothing any more. Raises Unavailable."""
        known = self._passwords.get(method)
        if known is not None:
            return await known.standing(name)
        return "" if method in self._others else None

    async def holds(self, method: str, name: str, standing: str) -> bool:
        """Tell whether a login that stood on `standing` still does. Raises Unavailable."""
        now = await self.of(method, name)
        return now is not None and (not standing or now == standing)

    async def owns(self, user: User) -> bool:
        """Tell whether a user may have API keys: one that the method of their last login still knows.

        A service account has no login. Of a user whose last login is not known, or was by a method that is not
        configured any more, each method that is configured may be the one. Raises Unavailable.
        """
        if user.service:
            return True
        known = self._passwords.get(user.origin)
        if known is not None:
            return await known.standing(user.name) is not None
        if self._others or not self._passwords:
            return True
        return any([await each.standing(user.name) is not None for each in self._passwords.values()])
