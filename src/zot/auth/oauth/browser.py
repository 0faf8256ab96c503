"""Logs in users in the browser: the redirect to the provider, and its callback."""

from __future__ import annotations

import hmac
import logging
import secrets
from collections.abc import Mapping, Sequence

import msgspec

from zot.accounts.sessions.session import PendingLogin, Sessions
from zot.auth.fetch import Fetcher
from zot.auth.oauth.callbacks import CALLBACK_PATH, safe_callback
from zot.auth.oauth.github import GithubLogin
from zot.auth.oauth.interface import LoginError, LoginProvider
from zot.auth.oauth.openid import OpenIdLogin
from zot.auth.principal import Principal
from zot.config.auth import OAUTH2_PROVIDERS, OpenIdConfig
from zot.registry.errors import RegistryError, Unauthorized

_log = logging.getLogger("zot.auth")

CONFIG_KEY = "http.auth.openid.providers"
METHOD = "openid"


class UnknownProvider(RegistryError):
    """The provider is not configured."""

    code, status, message = "UNSUPPORTED", 400, "unknown login provider"


class LoginRedirect(msgspec.Struct, frozen=True):
    """The redirect to the provider."""

    login_id: str
    """The value of the state cookie."""
    url: str
    """The authorization URL of the provider."""


class LoginCallback(msgspec.Struct, frozen=True):
    """A finished login."""

    principal: Principal
    provider: str
    callback_ui: str
    """The URL to redirect the browser to; empty: no redirect."""


class BrowserLogins:
    """The providers of `http.auth.openid`."""

    def __init__(self, config: OpenIdConfig, sessions: Sessions, fetcher: Fetcher, external_url: str = "") -> None:
        """Set up the providers, without contacting them; `sessions` stores pending logins.

        Raises ConfigurationError.
        """
        self._sessions = sessions
        self._origins: Sequence[str] = [*config.callback_allow_origins, *([external_url] if external_url else [])]
        self._providers: dict[str, LoginProvider] = {
            name: (GithubLogin if name in OAUTH2_PROVIDERS else OpenIdLogin)(provider, fetcher, f"{CONFIG_KEY}.{name}")
            for name, provider in config.providers.items()
        }

    @property
    def names(self) -> Sequence[str]:
        """Return the names of the providers."""
        return tuple(self._providers)

    async def begin(self, provider: str, callback_ui: str, origin: str) -> LoginRedirect:
        """Begin a login; `origin` is the registry's origin as the browser sees it.

        Raises UnknownProvider, Unavailable, SessionsUnavailableError.
        """
        login = PendingLogin(
            provider,
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            redirect_uri=f"{origin}{CALLBACK_PATH}/{provider}",
            callback_ui=safe_callback(callback_ui, self._origins),
        )
        url = await self._provider(provider).authorization_url(login)
        return LoginRedirect(await self._sessions.begin_login(login), url)

    async def finish(self, provider: str, login_id: str, query: Mapping[str, str]) -> LoginCallback:
        """Finish a login by the state cookie and the query of the callback. A login can be finished once.

        Raises Unauthorized if they do not match a pending login or the provider names no user; UnknownProvider,
        Unavailable, SessionsUnavailableError.
        """
        login_provider = self._provider(provider)
        login = await self._sessions.finish_login(login_id) if login_id else None
        if login is None or login.provider != provider:
            raise Unauthorized("this browser has no pending login at this provider")
        if not hmac.compare_digest(query.get("state", "").encode(), login.state.encode()):
            raise Unauthorized("the callback belongs to another login")
        code = query.get("code")
        if not code:
            raise Unauthorized("the provider refused the login")
        try:
            identity = await login_provider.identity(code, login)
        except LoginError as error:
            _log.warning("login at %s failed: %s", provider, error)
            raise Unauthorized("the provider did not identify the user") from error
        _log.info("login at %s: %s, groups %s", provider, identity.name, ", ".join(sorted(identity.groups)) or "none")
        return LoginCallback(Principal(identity.name, METHOD, identity.groups), provider, login.callback_ui)

    async def end_session_url(self, provider: str, origin: str) -> str | None:
        """Return the URL that ends the session at the provider, too; None if there is none."""
        login_provider = self._providers.get(provider)
        return await login_provider.end_session_url(origin) if login_provider is not None else None

    def _provider(self, name: str) -> LoginProvider:
        if name not in self._providers:
            raise UnknownProvider(f"{name[:64]!r} is not configured")
        return self._providers[name]
