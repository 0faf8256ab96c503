"""Authorization at an upstream: Basic, or tokens of the server that its challenge names (Docker's token protocol).

Credentials are sent to the upstream itself and to a token server of its site, encrypted unless the upstream is not.
Any other token server that a challenge names is asked as an anonymous client.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from yarl import URL

from zot.foundation.bounded_map import BoundedMap
from zot.upstream.addresses import same_site
from zot.upstream.errors import UpstreamError, UpstreamRefusedError
from zot.upstream.transport import Transport, read_limited

_RESPONSE_LIMIT_BYTES = 256 * 1024
_TOKEN_LIMIT_CHARACTERS = 64 * 1024
_TOKENS_LIMIT = 1024
_LIFETIME_S = 60.0
"""Of a token whose server does not tell it (Docker's token protocol)."""
_LONGEST_LIFETIME_S = 3600.0
_RENEWED_BEFORE_S = 5.0
_PARAMETER = re.compile(r'([A-Za-z_]+)="([^"]*)"|([A-Za-z_]+)=([^\s,"]+)')


class UpstreamLogin(NamedTuple):
    """A user name and a password; a password that is a token has a user name of its registry."""

    username: str
    password: str

    @property
    def basic(self) -> str:
        """The value of an `Authorization` header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


class _Challenge(NamedTuple):
    realm: URL
    service: str


class _Token(NamedTuple):
    header: str
    ends_s: float


class UpstreamAuthorization:
    """Returns the `Authorization` of requests to one upstream, for each of its repositories."""

    def __init__(self, transport: Transport, credentials: Callable[[], Awaitable[UpstreamLogin | None]]) -> None:
        """Use the credentials that `credentials` returns at that time; None: the client is anonymous."""
        self._transport = transport
        self._credentials = credentials
        self._tokens: BoundedMap[str, _Token] = BoundedMap(_TOKENS_LIMIT)
        self._challenge: _Challenge | None = None
        self._uses_basic = False
        self._renewing = asyncio.Lock()

    async def header(self, repository: str) -> str | None:
        """Return the header as far as it is known without a challenge. Raises UpstreamError."""
        if self._uses_basic:
            credentials = await self._credentials()
            return credentials.basic if credentials is not None else None
        token = self._valid(repository)
        if token is None and self._challenge is not None:
            return await self._renewed(repository, self._challenge, None)
        return token

    async def answer(self, repository: str, challenges: Sequence[str], refused: str | None) -> str | None:
        """Return the header that answers a challenge to `refused`; None: there is no other than that.

        Raises UpstreamError; UpstreamRefusedError if the credentials are refused.
        """
        for challenge in challenges:
            scheme, _, rest = challenge.strip().partition(" ")
            if scheme.lower() == "bearer":
                self._challenge = self._parsed(rest)
                return await self._renewed(repository, self._challenge, refused)
            if scheme.lower() == "basic":
                credentials = await self._credentials()
                if credentials is None:
                    return None
                self._uses_basic = True
                return credentials.basic
        return None

    @property
    def _host(self) -> str:
        return self._transport.url.host or ""

    def _valid(self, repository: str) -> str | None:
        token = self._tokens.get(repository)
        if token is None or token.ends_s < asyncio.get_running_loop().time():
            return None
        return token.header

    async def _renewed(self, repository: str, challenge: _Challenge, refused: str | None) -> str | None:
        async with self._renewing:
            known = self._valid(repository)  # of a concurrent request
            if known is not None and known != refused:
                return known
            token = await self._ask(repository, challenge)
            if token is None:
                return None
            self._tokens[repository] = token
            return None if token.header == refused else token.header

    async def _ask(self, repository: str, challenge: _Challenge) -> _Token | None:
        """Return a token to pull from a repository; None: an anonymous client gets none. Raises UpstreamError."""
        realm, service = challenge
        query = {**realm.query, "scope": f"repository:{repository}:pull"}
        if service:
            query["service"] = service
        headers = {"Accept": "application/json"}
        credentials = await self._credentials()
        sends = credentials is not None and self._is_trusted(realm)
        if credentials is not None and sends:
            headers["Authorization"] = credentials.basic
        async with self._transport.ask_token_server(realm.with_query(query), headers) as response:
            if response.status in (401, 403) and credentials is None:
                return None  # some registries say so of a repository that does not exist
            if response.status in (401, 403) and sends:
                raise UpstreamRefusedError(f"{realm.host} refuses the credentials for {self._host}")
            if response.status != 200:
                raise UpstreamError(f"{realm.host} gives no token for {self._host}: status {response.status}")
            content = await read_limited(response, _RESPONSE_LIMIT_BYTES)
        return self._token(realm, content)

    def _token(self, realm: URL, content: bytes) -> _Token:
        try:
            document: Any = msgspec.json.decode(content)
            token = document.get("token") or document.get("access_token")
            lifetime_s = min(float(document.get("expires_in") or _LIFETIME_S), _LONGEST_LIFETIME_S)
        except (ValueError, TypeError, AttributeError, RecursionError, OverflowError):
            token, lifetime_s = None, 0.0
        if not isinstance(token, str) or not 0 < len(token) <= _TOKEN_LIMIT_CHARACTERS or not _is_visible(token):
            raise UpstreamError(f"{realm.host} sends no token for {self._host}")
        ends_s = asyncio.get_running_loop().time() + max(lifetime_s - _RENEWED_BEFORE_S, 1.0)
        return _Token(f"Bearer {token}", ends_s)

    def _parsed(self, parameters: str) -> _Challenge:
        found = {a or c: b or d for a, b, c, d in _PARAMETER.findall(parameters)}
        try:
            realm = URL(found.get("realm", ""))
        except ValueError:
            realm = URL()
        if realm.host is None or realm.scheme not in ("http", "https") or realm.user is not None:
            raise UpstreamError(f"{self._host} names no token server")
        if realm.scheme == "http" and self._transport.url.scheme == "https":
            raise UpstreamError(f"{self._host} names a token server without encryption")
        return _Challenge(realm, found.get("service", ""))

    def _is_trusted(self, realm: URL) -> bool:
        return same_site(self._host, realm.host or "")


def _is_visible(token: str) -> bool:
    return token.isascii() and token.isprintable() and " " not in token
