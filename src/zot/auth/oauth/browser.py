"""The two halves of a login in the browser: off to the provider, and back."""

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

PLACE = "http.auth.openid.providers"
METHOD = "openid"


class UnknownProvider(RegistryError):
    """The provider is not configured."""

    code, status, message = "UNSUPPORTED", 400, "unknown login provider"


class LoginRedirect(msgspec.Struct, frozen=True):
    """A login that begins."""

    login_id: str
    """What the state cookie holds."""
    url: str
    """Where the browser goes."""


class LoginCallback(msgspec.Struct, frozen=True):
    """A login that succeeded."""

    principal: Principal
    provider: str
    callback_ui: str
    """Where the browser goes; empty: nowhere."""


class BrowserLogins:
    """The providers of `http.auth.openid`."""

    def __init__(self, config: OpenIdConfig, sessions: Sessions, fetcher: Fetcher, external_url: str = "") -> None:
        """Take the section, and where logins under way are kept. Raises ConfigurationError."""
        self._sessions = sessions
        self._origins: Sequence[str] = [*config.callback_allow_origins, *([external_url] if external_url else [])]
        self._providers: dict[str, LoginProvider] = {
            name: (GithubLogin if name in OAUTH2_PROVIDERS else OpenIdLogin)(provider, fetcher, f"{PLACE}.{name}")
            for name, provider in config.providers.items()
        }

    @property
    def names(self) -> Sequence[str]:
        """Return the names of the providers."""
        return tuple(self._providers)

    async def begin(self, provider: str, callback_ui: str, origin: str) -> LoginRedirect:
        """Begin a login; `origin` is that of this registry as the browser sees it.

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
        """Finish a login by what the browser brought back: the state cookie and the query. It works once.

        Raises Unauthorized if that is not what it was sent off with, or if the provider does not say who it was;
        UnknownProvider, Unavailable, SessionsUnavailableError.
        """
        known = self._provider(provider)
        login = await self._sessions.finish_login(login_id) if login_id else None
        if login is None or login.provider != provider:
            raise Unauthorized("no login at this provider is under way in this browser")
        if not hmac.compare_digest(query.get("state", "").encode(), login.state.encode()):
            raise Unauthorized("the answer is to another login")
        code = query.get("code")
        if not code:
            raise Unauthorized("the provider did not log anybody in")
        try:
            identity = await known.identity(code, login)
        except LoginError as error:
            _log.warning("login at %s failed: %s", provider, error)
            raise Unauthorized("the provider did not say who that is") from error
        _log.info("login at %s: %s, groups %s", provider, identity.name, ", ".join(sorted(identity.groups)) or "none")
        return LoginCallback(Principal(identity.name, METHOD, identity.groups), provider, login.callback_ui)

    async def end_session_url(self, provider: str, origin: str) -> str | None:
        """Return where the browser ends the login at the provider, too; None if that is not to be had."""
        known = self._providers.get(provider)
        return await known.end_session_url(origin) if known is not None else None

    def _provider(self, name: str) -> LoginProvider:
        if name not in self._providers:
            raise UnknownProvider(f"{name[:64]!r} is not configured")
        return self._providers[name]
