"""Logins at providers with OpenID Connect, such as google and gitlab (OpenID Connect Core, RP-Initiated Logout)."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from zot.accounts.sessions.session import PendingLogin
from zot.auth.fetch import Fetcher, FetchError
from zot.auth.issuer import Issuer
from zot.auth.oauth.client import OAuthClient
from zot.auth.oauth.interface import LoginError, LoginIdentity
from zot.auth.tokens import InvalidTokenError
from zot.config.auth import OpenIdProviderConfig as ProviderConfig
from zot.registry.errors import Unavailable

DEFAULT_NAME_CLAIM = "email"
DEFAULT_GROUPS_CLAIM = "groups"


class OpenIdLogin:
    """A provider that issues ID tokens."""

    def __init__(self, config: ProviderConfig, fetcher: Fetcher, config_key: str) -> None:
        """Set up the client, without contacting the provider. Raises ConfigurationError."""
        scopes = config.scopes if "openid" in config.scopes else ("openid", *config.scopes)
        self._client = OAuthClient(config, scopes, fetcher, config_key)
        self._issuer = Issuer(config.issuer, fetcher)
        mapping = config.claim_mapping
        self._name_claim = (mapping.username if mapping else "") or DEFAULT_NAME_CLAIM
        self._groups_claim = (mapping.groups if mapping else "") or DEFAULT_GROUPS_CLAIM

    async def authorization_url(self, login: PendingLogin) -> str:
        """See `LoginProvider`."""
        return self._client.authorization_url((await self._issuer.metadata()).authorization_endpoint, login)

    async def identity(self, code: str, login: PendingLogin) -> LoginIdentity:
        """See `LoginProvider`."""
        metadata = await self._issuer.metadata()
        tokens = await self._client.exchange(metadata.token_endpoint, code, login)
        id_token = tokens.get("id_token")
        if not isinstance(id_token, str):
            raise LoginError("the provider returned no ID token")
        try:
            claims = await self._issuer.verify(id_token, (self._client.id,))
        except InvalidTokenError as error:
            raise LoginError(f"the ID token is not valid: {error}") from error
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), login.nonce.encode()):
            raise LoginError("the ID token is of another login")
        userinfo = await self._userinfo(metadata.userinfo_endpoint, str(tokens["access_token"]), claims)
        groups = self._groups(claims) | self._groups(userinfo)
        for claim in (self._name_claim, DEFAULT_NAME_CLAIM):
            name = userinfo.get(claim) or claims.get(claim)
            if isinstance(name, str) and name.isprintable():
                return LoginIdentity(name, groups)
        raise LoginError(f"the provider returned neither {self._name_claim} nor {DEFAULT_NAME_CLAIM}")

    async def end_session_url(self, origin: str) -> str | None:
        """See `LoginProvider`."""
        try:
            endpoint = (await self._issuer.metadata()).end_session_endpoint
        except Unavailable:
            # The registry's session ends even if the provider cannot be reached.
            return None
        if not endpoint:
            return None
        query = urlencode({"client_id": self._client.id, "post_logout_redirect_uri": f"{origin}/login"})
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{query}"

    async def _userinfo(self, endpoint: str, access_token: str, claims: Mapping[str, Any]) -> Mapping[str, Any]:
        if not endpoint:
            return {}
        try:
            userinfo = await self._client.fetcher.get(endpoint, headers={"Authorization": f"Bearer {access_token}"})
        except FetchError as error:
            raise Unavailable("the login provider cannot be reached") from error
        # Another subject is a mistake of the provider, or an access token that an attacker substituted.
        if not isinstance(userinfo, dict) or userinfo.get("sub") != claims.get("sub"):
            raise LoginError("the provider's user info is about another user")
        return userinfo

    def _groups(self, claims: Mapping[str, Any]) -> frozenset[str]:
        value = claims.get(self._groups_claim)
        values = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        return frozenset(group for group in values if isinstance(group, str) and group)
