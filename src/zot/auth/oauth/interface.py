"""The interface of login providers."""

from __future__ import annotations

from typing import Protocol

import msgspec

from zot.accounts.sessions.session import PendingLogin


class LoginError(Exception):
    """The provider did not identify the user, or its response is not valid."""


class LoginIdentity(msgspec.Struct, frozen=True):
    """The user that the provider has identified."""

    name: str
    groups: frozenset[str] = frozenset()


class LoginProvider(Protocol):
    """A provider with the authorization code flow and PKCE (RFC 6749, 7636)."""

    async def authorization_url(self, login: PendingLogin) -> str:
        """Return the URL of the provider's login page. Raises Unavailable."""

    async def identity(self, code: str, login: PendingLogin) -> LoginIdentity:
        """Exchange the code of the callback for the user's identity. Raises LoginError, or Unavailable."""

    async def end_session_url(self, origin: str) -> str | None:
        """Return the URL that ends the session at the provider, too; None if there is none."""
