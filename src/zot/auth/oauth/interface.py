"""What a provider of logins does."""

from __future__ import annotations

from typing import Protocol

import msgspec

from zot.accounts.sessions.session import PendingLogin


class LoginError(Exception):
    """The provider did not say who that is, or what it said cannot be believed."""


class LoginIdentity(msgspec.Struct, frozen=True):
    """Whom the provider says it was."""

    name: str
    groups: frozenset[str] = frozenset()


class LoginProvider(Protocol):
    """One provider, for the authorization code flow with PKCE (RFC 6749, 7636)."""

    async def authorization_url(self, login: PendingLogin) -> str:
        """Return where to send the browser. Raises Unavailable."""

    async def identity(self, code: str, login: PendingLogin) -> LoginIdentity:
        """Exchange the code that the browser brought back. Raises LoginError, or Unavailable."""

    async def end_session_url(self, origin: str) -> str | None:
        """Return where the browser ends the login at the provider too; None if that is not to be had."""
