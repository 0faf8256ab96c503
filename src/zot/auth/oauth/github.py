"""Logins by GitHub, which speaks OAuth 2 without ID tokens: its REST API says who that is."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from zot.accounts.sessions.session import PendingLogin
from zot.auth.fetch import Fetcher, FetchError
from zot.auth.oauth.client import OAuthClient
from zot.auth.oauth.interface import LoginError, LoginIdentity
from zot.config.auth import OpenIdProviderConfig as ProviderConfig
from zot.registry.errors import Unavailable

AUTHORIZATION_URL = "https://github.com/login/oauth/authorize"
TOKEN_URL = "https://github.com/login/oauth/access_token"  # noqa: S105 - a URL
API_URL = "https://api.github.com"

_PAGE = 100
_PAGES_LIMIT = 20


class GithubLogin:
    """GitHub, or an own instance of it (`authurl`, `tokenurl`), whose API is then below `/api/v3`."""

    def __init__(self, config: ProviderConfig, fetcher: Fetcher, place: str) -> None:
        """Take its section. Raises ConfigurationError."""
        self._client = OAuthClient(config, config.scopes, fetcher, place)
        self._authorization_url = config.auth_url or AUTHORIZATION_URL
        self._token_url = config.token_url or TOKEN_URL
        token_url = urlsplit(self._token_url)
        is_own = self._token_url != TOKEN_URL
        self._api_url = f"{token_url.scheme}://{token_url.netloc}/api/v3" if is_own else API_URL

    async def authorization_url(self, login: PendingLogin) -> str:
        """See `LoginProvider`."""
        return self._client.authorization_url(self._authorization_url, login)

    async def identity(self, code: str, login: PendingLogin) -> LoginIdentity:
        """Return the primary e-mail address; the groups are organizations, and teams as `organization/team`."""
        token = str((await self._client.exchange(self._token_url, code, login))["access_token"])
        emails = await self._all(token, "/user/emails")
        primary = [entry.get("email") for entry in emails if entry.get("primary") and entry.get("verified")]
        if not primary or not isinstance(primary[0], str):
            raise LoginError("GitHub does not say a primary e-mail address that is verified")
        organizations = await self._all(token, "/user/orgs", optional=True)
        teams = await self._all(token, "/user/teams", optional=True)
        groups = {str(entry["login"]) for entry in organizations if entry.get("login")}
        groups |= {
            f"{entry['organization']['login']}/{entry['slug']}"
            for entry in teams
            if entry.get("slug") and isinstance(entry.get("organization"), dict) and entry["organization"].get("login")
        }
        return LoginIdentity(primary[0], frozenset(groups))

    async def end_session_url(self, origin: str) -> str | None:  # noqa: ARG002 - as the protocol has it
        """GitHub has none."""
        return None

    async def _all(self, token: str, path: str, *, optional: bool = False) -> list[dict[str, Any]]:
        """Return the entries of all pages; of what is `optional` none, if the scopes granted do not reach it."""
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"}
        entries: list[dict[str, Any]] = []
        for number in range(1, _PAGES_LIMIT + 1):
            url = f"{self._api_url}{path}?per_page={_PAGE}&page={number}"
            try:
                page = await self._client.fetcher.get(url, headers=headers)
            except FetchError as error:
                if optional and error.status in {403, 404}:
                    return []
                raise Unavailable("GitHub's API cannot be reached") from error
            found = [entry for entry in page if isinstance(entry, dict)] if isinstance(page, list) else []
            entries += found
            if len(found) < _PAGE:
                break
        return entries
