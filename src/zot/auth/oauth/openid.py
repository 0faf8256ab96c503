"""Logins by OpenID Connect: google, gitlab, or any other provider (OpenID Connect Core, RP-Initiated Logout)."""

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
    """One provider that is an issuer of ID tokens."""

    def __init__(self, config: ProviderConfig, fetcher: Fetcher, place: str) -> None:
        """Take its section. Raises ConfigurationError; the provider is not asked yet."""
        scopes = config.scopes if "openid" in config.scopes else ("openid", *config.scopes)
        self._client = OAuthClient(config, scopes, fetcher, place)
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
        answer = await self._client.exchange(metadata.token_endpoint, code, login)
        id_token = answer.get("id_token")
        if not isinstance(id_token, str):
            raise LoginError("the provider gave no ID token")
        try:
            claims = await self._issuer.verify(id_token, (self._client.id,))
        except InvalidTokenError as error:
            raise LoginError(f"the ID token is not valid: {error}") from error
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), login.nonce.encode()):
            raise LoginError("the ID token is of another login")
        userinfo = await self._userinfo(metadata.userinfo_endpoint, str(answer["access_token"]), claims)
        groups = self._groups(claims) | self._groups(userinfo)
        for claim in (self._name_claim, DEFAULT_NAME_CLAIM):
            name = userinfo.get(claim) or claims.get(claim)
            if isinstance(name, str) and name.isprintable():
                return LoginIdentity(name, groups)
        raise LoginError(f"the provider does not say {self._name_claim} or {DEFAULT_NAME_CLAIM}")

    async def end_session_url(self, origin: str) -> str | None:
        """See `LoginProvider`."""
        try:
            endpoint = (await self._issuer.metadata()).end_session_endpoint
        except Unavailable:
            # The login here is ended whether the provider can be reached or not.
            return None
        if not endpoint:
            return None
        query = urlencode({"client_id": self._client.id, "post_logout_redirect_uri": f"{origin}/login"})
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{query}"

    async def _userinfo(self, endpoint: str, access_token: str, claims: Mapping[str, Any]) -> Mapping[str, Any]:
        if not endpoint:
            return {}
        try:
            answer = await self._client.fetcher.get(endpoint, headers={"Authorization": f"Bearer {access_token}"})
        except FetchError as error:
            raise Unavailable("the login provider cannot be reached") from error
        # An answer about somebody else may be the provider's mistake, or a token that was put in place of ours.
        if not isinstance(answer, dict) or answer.get("sub") != claims.get("sub"):
            raise LoginError("the provider's user info is about somebody else")
        return answer

    def _groups(self, claims: Mapping[str, Any]) -> frozenset[str]:
        value = claims.get(self._groups_claim)
        values = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        return frozenset(group for group in values if isinstance(group, str) and group)
