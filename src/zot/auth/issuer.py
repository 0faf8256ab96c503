"""An issuer of OpenID Connect ID tokens: its metadata, its keys, its tokens (OpenID Connect Core, Discovery)."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Iterable
from typing import Any

import msgspec

from zot.auth.fetch import Fetcher, FetchError
from zot.auth.tokens import InvalidTokenError, VerificationKey, audiences, key_id_of, parse_jwks, time_claim, verify
from zot.registry.errors import Unavailable

_log = logging.getLogger("zot.auth")

FRESH_S = 60.0
"""How long keys and metadata are used without a refresh."""

STALE_LIMIT_S = 600.0
"""How long they are used while the issuer cannot be reached."""

RETRY_INTERVAL_S = 5.0
"""The shortest time between two requests to an issuer, whatever tokens clients send."""

FETCH_TIMEOUT_S = 10.0
"""How long a token waits for an issuer whose keys are not known yet."""


class IssuerMetadata(msgspec.Struct, frozen=True):
    """The metadata of an issuer (OpenID Connect Discovery, section 3), as far as it is used."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    userinfo_endpoint: str = ""
    end_session_endpoint: str = ""


class _Known(msgspec.Struct, frozen=True):
    metadata: IssuerMetadata
    keys: tuple[VerificationKey, ...]


class Issuer:
    """An issuer, contacted with the first token: the server starts without it.

    Metadata and keys are cached and refreshed in the background: an issuer that hangs delays no token that a known
    key has signed.
    """

    def __init__(
        self, url: str, fetcher: Fetcher, *, tls: ssl.SSLContext | None = None, any_issuer: bool = False
    ) -> None:
        """Keep the URL; nothing is fetched yet. With `any_issuer`, metadata and tokens may name another issuer."""
        self.url = url
        self._fetcher = fetcher
        self._tls = tls
        self._any_issuer = any_issuer
        self._known: _Known | None = None
        self._fetched_s = float("-inf")
        self._attempted_s = float("-inf")
        self._refreshing: asyncio.Task[None] | None = None

    async def metadata(self) -> IssuerMetadata:
        """Return the metadata of the issuer. Raises Unavailable if it is not known."""
        return (await self._current()).metadata

    async def verify(self, token: str, expected_audiences: Iterable[str]) -> dict[str, Any]:
        """Return the claims of an ID token for one of the expected audiences.

        Raises InvalidTokenError, or Unavailable.
        """
        known = await self._current()
        try:
            claims = verify(token, known.keys)
        except InvalidTokenError:
            newer = await self._newer(known, key_id_of(token))
            if newer is known:
                raise
            known = newer
            claims = verify(token, known.keys)
        if not self._any_issuer and claims.get("iss") != known.metadata.issuer:
            raise InvalidTokenError("the token is of another issuer")
        if audiences(claims).isdisjoint(expected_audiences):
            raise InvalidTokenError("the token is for another audience")
        if time_claim(claims, "exp") is None:
            raise InvalidTokenError("the token has no expiry (exp)")
        return claims

    async def _current(self) -> _Known:
        """Return cached metadata and keys, or wait for the issuer if they are too old. Raises Unavailable."""
        age_s = time.monotonic() - self._fetched_s
        if age_s > FRESH_S:
            refreshing = self._refresh()
            if refreshing is not None and (self._known is None or age_s > STALE_LIMIT_S):
                await asyncio.shield(refreshing)
        if self._known is None or time.monotonic() - self._fetched_s > STALE_LIMIT_S:
            raise Unavailable(f"the issuer {self.url} cannot be reached")
        return self._known

    async def _newer(self, known: _Known, key_id: str | None) -> _Known:
        """Return newer keys after those of `known` failed to verify a token with this `key_id`.

        Only a token with an unknown key id waits for the issuer. With a known key id the signature is wrong; the
        refresh then serves later tokens, in case the issuer reused the id for a new key.
        """
        refreshing = self._refresh()
        if refreshing is not None and (key_id is None or all(key.id != key_id for key in known.keys)):
            await asyncio.shield(refreshing)
        return self._known or known

    def _refresh(self) -> asyncio.Task[None] | None:
        """Return the task of the running or a new refresh; None if the last one is too recent."""
        now_s = time.monotonic()
        if self._refreshing is None and now_s - self._attempted_s >= RETRY_INTERVAL_S:
            self._attempted_s = now_s
            self._refreshing = asyncio.create_task(self._fetch_and_store())
        return self._refreshing

    async def _fetch_and_store(self) -> None:
        started_s = time.monotonic()
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_S):
                self._known = await self._fetch()
            self._fetched_s = started_s
        except (FetchError, TimeoutError, ValueError) as error:
            _log.error("OpenID issuer %s: %s", self.url, str(error) or f"no response in {FETCH_TIMEOUT_S:g} s")
        finally:
            self._refreshing = None

    async def _fetch(self) -> _Known:
        document = await self._fetcher.get(f"{self.url.rstrip('/')}/.well-known/openid-configuration", tls=self._tls)
        metadata = msgspec.convert(document, IssuerMetadata)
        if metadata.issuer != self.url and not self._any_issuer:
            raise ValueError(f"its metadata name the issuer {metadata.issuer!r}")
        if self.url.startswith("https:") and not metadata.jwks_uri.startswith("https:"):
            raise ValueError("its jwks_uri is not an https URL")
        document = await self._fetcher.get(metadata.jwks_uri, tls=self._tls)
        return _Known(metadata, parse_jwks(msgspec.json.encode(document)))
