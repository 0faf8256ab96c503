"""An issuer of OpenID Connect ID tokens: its metadata, its keys, and its tokens (OpenID Connect Core, Discovery)."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Iterable
from typing import Any

import msgspec

from zot.auth.fetch import Fetcher, FetchError
from zot.auth.tokens import InvalidToken, VerificationKey, audiences, keys_of_jwks, seconds, verify
from zot.registry.errors import Unavailable

_log = logging.getLogger("zot.auth")

FRESH_S = 60.0
"""For how long keys and metadata are taken as they are."""

KEPT_S = 600.0
"""For how long they are used when the issuer cannot be reached."""

RETRIED_EVERY_S = 5.0
"""How often an issuer is asked at most, whatever tokens come in."""


class Metadata(msgspec.Struct, frozen=True):
    """What an issuer says about itself, as far as it is needed here."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    userinfo_endpoint: str = ""
    end_session_endpoint: str = ""


class Issuer:
    """One issuer, asked when a token comes in and not before: a start does not depend on it."""

    def __init__(
        self, url: str, fetcher: Fetcher, *, tls: ssl.SSLContext | None = None, any_issuer: bool = False
    ) -> None:
        """Take its URL. With `any_issuer` its metadata and tokens may name another."""
        self.url = url
        self._fetcher = fetcher
        self._tls = tls
        self._any_issuer = any_issuer
        self._known: tuple[Metadata, tuple[VerificationKey, ...]] | None = None
        self._fetched_s = float("-inf")
        self._tried_s = float("-inf")
        self._fetching = asyncio.Lock()

    async def metadata(self) -> Metadata:
        """Return what it says about itself; raise Unavailable if that is not known."""
        return (await self._current())[0]

    async def verify(self, token: str, expected: Iterable[str]) -> dict[str, Any]:
        """Return the claims of an ID token for one of the expected audiences; raise InvalidToken, or Unavailable."""
        metadata, keys = await self._current()
        try:
            claims = verify(token, keys)
        except InvalidToken:
            # Signed by a key that is newer than what is known, perhaps.
            metadata, newer = await self._current(than_s=time.monotonic())
            if newer is keys:
                raise
            claims = verify(token, newer)
        if not self._any_issuer and claims.get("iss") != metadata.issuer:
            raise InvalidToken("the token is of another issuer")
        if audiences(claims).isdisjoint(expected):
            raise InvalidToken("the token is for another audience")
        if seconds(claims, "exp") is None:
            raise InvalidToken("the token has no end")
        return claims

    async def _current(self, than_s: float | None = None) -> tuple[Metadata, tuple[VerificationKey, ...]]:
        """Return metadata and keys that are fresh, or fetched later `than_s` if the issuer may be asked again."""
        wanted_s = time.monotonic() - FRESH_S if than_s is None else than_s
        async with self._fetching:
            now_s = time.monotonic()
            if self._fetched_s < wanted_s and now_s - self._tried_s >= RETRIED_EVERY_S:
                self._tried_s = now_s
                try:
                    self._known = await self._fetch()
                    self._fetched_s = now_s
                except (FetchError, ValueError) as error:
                    _log.error("OpenID issuer %s: %s", self.url, error)
            if self._known is None or now_s - self._fetched_s > KEPT_S:
                raise Unavailable(f"the issuer {self.url} cannot be reached")
            return self._known

    async def _fetch(self) -> tuple[Metadata, tuple[VerificationKey, ...]]:
        document = await self._fetcher.get(f"{self.url.rstrip('/')}/.well-known/openid-configuration", tls=self._tls)
        metadata = msgspec.convert(document, Metadata)
        if metadata.issuer != self.url and not self._any_issuer:
            raise ValueError(f"it calls itself {metadata.issuer!r}")
        if self.url.startswith("https:") and not metadata.jwks_uri.startswith("https:"):
            raise ValueError("its keys are not fetched by https")
        document = await self._fetcher.get(metadata.jwks_uri, tls=self._tls)
        return metadata, keys_of_jwks(msgspec.json.encode(document))
