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
from zot.auth.tokens import InvalidTokenError, VerificationKey, audiences, key_id_of, keys_of_jwks, seconds, verify
from zot.registry.errors import Unavailable

_log = logging.getLogger("zot.auth")

FRESH_S = 60.0
"""For how long keys and metadata are taken as they are."""

KEPT_S = 600.0
"""For how long they are used when the issuer cannot be reached."""

RETRIED_EVERY_S = 5.0
"""How often an issuer is asked at most, whatever tokens come in."""


LONGEST_FETCH_S = 10.0
"""For how long a token waits for an issuer of which nothing is known."""


class IssuerMetadata(msgspec.Struct, frozen=True):
    """What an issuer says about itself, as far as it is needed here."""

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
    """One issuer, asked when a token comes in and not before: a start does not depend on it.

    What is known of it is used while it is good, and refreshed in the background: an issuer that hangs delays no token
    that a known key has signed.
    """

    def __init__(
        self, url: str, fetcher: Fetcher, *, tls: ssl.SSLContext | None = None, any_issuer: bool = False
    ) -> None:
        """Take its URL. With `any_issuer` its metadata and tokens may name another."""
        self.url = url
        self._fetcher = fetcher
        self._tls = tls
        self._any_issuer = any_issuer
        self._known: _Known | None = None
        self._fetched_s = float("-inf")
        self._tried_s = float("-inf")
        self._refreshing: asyncio.Task[None] | None = None

    async def metadata(self) -> IssuerMetadata:
        """Return what it says about itself; raise Unavailable if that is not known."""
        return (await self._current()).metadata

    async def verify(self, token: str, expected: Iterable[str]) -> dict[str, Any]:
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
        if audiences(claims).isdisjoint(expected):
            raise InvalidTokenError("the token is for another audience")
        if seconds(claims, "exp") is None:
            raise InvalidTokenError("the token has no end")
        return claims

    async def _current(self) -> _Known:
        """Return what is known if it is good still, else wait for the issuer. Raises Unavailable."""
        age_s = time.monotonic() - self._fetched_s
        if age_s > FRESH_S:
            refreshing = self._refresh()
            if refreshing is not None and (self._known is None or age_s > KEPT_S):
                await asyncio.shield(refreshing)
        if self._known is None or time.monotonic() - self._fetched_s > KEPT_S:
            raise Unavailable(f"the issuer {self.url} cannot be reached")
        return self._known

    async def _newer(self, known: _Known, key_id: str | None) -> _Known:
        """Return what is known now that `known` does not verify a token, which names its key by `key_id`.

        Only a token whose key is not known waits for the issuer. One with a known key was signed by another; in case
        the issuer has given a new key the old name, that is found out for the tokens that come later.
        """
        refreshing = self._refresh()
        if refreshing is not None and (key_id is None or all(key.id != key_id for key in known.keys)):
            await asyncio.shield(refreshing)
        return self._known or known

    def _refresh(self) -> asyncio.Task[None] | None:
        """Ask the issuer, if it is not being asked already; None if it was asked too recently."""
        now_s = time.monotonic()
        if self._refreshing is None and now_s - self._tried_s >= RETRIED_EVERY_S:
            self._tried_s = now_s
            self._refreshing = asyncio.create_task(self._fetch_and_keep())
        return self._refreshing

    async def _fetch_and_keep(self) -> None:
        started_s = time.monotonic()
        try:
            async with asyncio.timeout(LONGEST_FETCH_S):
                self._known = await self._fetch()
            self._fetched_s = started_s
        except (FetchError, TimeoutError, ValueError) as error:
            _log.error("OpenID issuer %s: %s", self.url, str(error) or f"no answer in {LONGEST_FETCH_S:g} s")
        finally:
            self._refreshing = None

    async def _fetch(self) -> _Known:
        document = await self._fetcher.get(f"{self.url.rstrip('/')}/.well-known/openid-configuration", tls=self._tls)
        metadata = msgspec.convert(document, IssuerMetadata)
        if metadata.issuer != self.url and not self._any_issuer:
            raise ValueError(f"it calls itself {metadata.issuer!r}")
        if self.url.startswith("https:") and not metadata.jwks_uri.startswith("https:"):
            raise ValueError("its keys are not fetched by https")
        document = await self._fetcher.get(metadata.jwks_uri, tls=self._tls)
        return _Known(metadata, keys_of_jwks(msgspec.json.encode(document)))
