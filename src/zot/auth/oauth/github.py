"""Logins at GitHub, which has OAuth 2 without ID tokens: its REST API identifies the user."""

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
    """GitHub, or a separate instance of it (`authurl`, `tokenurl`) with its API below `/api/v3`."""

    def __init__(self, config: ProviderConfig, fetcher: Fetcher, config_key: str) -> None:
        """Set up the client, without contacting GitHub. Raises ConfigurationError."""
        self._client = OAuthClient(config, config.scopes, fetcher, config_key)
        self._authorization_url = config.auth_url or AUTHORIZATION_URL
        self._token_url = config.token_url or TOKEN_URL
        token_url = urlsplit(self._token_url)
        is_separate = self._token_url != TOKEN_URL
        self._api_url = f"{token_url.scheme}://{token_url.netloc}/api/v3" if is_separate else API_URL

    async def authorization_url(self, login: PendingLogin) -> str:
        """See `LoginProvider`."""
        return self._client.authorization_url(self._authorization_url, login)

    async def identity(self, code: str, login: PendingLogin) -> LoginIdentity:
        """See `LoginProvider`: the verified primary e-mail address, with organizations and teams as groups.

        A team is the group `organization/team`.
        """
        token = str((await self._client.exchange(self._token_url, code, login))["access_token"])
        emails = await self._all(token, "/user/emails")
        primary = [entry.get("email") for entry in emails if entry.get("primary") and entry.get("verified")]
        if not primary or not isinstance(primary[0], str):
            raise LoginError("the GitHub user has no verified primary e-mail address")
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
        """Return None: GitHub has no such URL."""
        return None

    async def _all(self, token: str, path: str, *, optional: bool = False) -> list[dict[str, Any]]:
        """Return the entries of all pages; empty if `optional` and the granted scopes do not allow it."""
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
            page_entries = [entry for entry in page if isinstance(entry, dict)] if isinstance(page, list) else []
            entries += page_entries
            if len(page_entries) < _PAGE:
                break
        return entries
