"""HTTP to one upstream, and to where it redirects: sessions, TLS, redirects, time limits."""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime

import aiohttp
from yarl import URL

from zot.upstream.addresses import PublicResolver, is_in_private_network, is_private_literal, proxy_hosts, same_origin
from zot.upstream.budget import LONGEST_PAUSE_S, RequestBudget
from zot.upstream.errors import UpstreamError

CONNECT_S = 5.0
HEADERS_S = 15.0
"""Time to connect and to get the headers of a response."""
IDLE_S = 30.0
"""Longest time without a byte of a body."""
REDIRECTS_LIMIT = 5
_DOWN_S = 5.0
"""How long an upstream that cannot be reached is not asked again."""
_BUSY_S = 10
_BUFFER_BYTES = 512 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

Tls = Callable[[], Awaitable[ssl.SSLContext]]
"""Returns the TLS settings of an upstream. Raises UpstreamError if its certificates cannot be read."""


class Transport:
    """Sends requests to one upstream. It connects on first use, in the running event loop."""

    def __init__(
        self,
        url: URL,
        tls: Tls,
        budget: RequestBudget,
    ) -> None:
        """Send to the server of `url`; `budget` may be shared with no other upstream."""
        self.url = url.origin()
        self.budget = budget
        self._tls = tls
        self._own: aiohttp.ClientSession | None = None
        self._elsewhere: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()
        self._running = 0
        self._retired = False

    @asynccontextmanager
    async def send(
        self, method: str, url: URL, headers: Mapping[str, str], *, download: bool = False
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request within the budget, follow redirects, and yield the response until the block ends.

        `Authorization` goes to the upstream alone. Raises UpstreamError: it cannot be reached, redirects where it must
        not, or asks for fewer requests (429, or 503 with Retry-After).
        """
        async with self.budget.request(download=download):
            self._running += 1
            try:
                response = await self._follow(method, url, headers)
                try:
                    self._obey(response)
                    yield response
                finally:
                    response.close()
            finally:
                self._running -= 1
                if self._retired and not self._running:
                    await self.close()

    @asynccontextmanager
    async def ask_token_server(self, url: URL, headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request for a token, follow no redirect, and yield the response. Raises UpstreamError."""
        self.budget.refuse_if_paused()
        response = await self._request("GET", url, headers, await self._session_for(url))
        try:
            yield response
        finally:
            response.close()

    async def retire(self) -> None:
        """Close the connections once the running requests have ended."""
        self._retired = True
        if not self._running:
            await self.close()

    async def close(self) -> None:
        """Close all connections. Idempotent."""
        for session in (self._own, self._elsewhere):
            if session is not None:
                await session.close()

    async def _follow(self, method: str, url: URL, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        for _ in range(REDIRECTS_LIMIT + 1):
            own = same_origin(url, self.url)
            sent = {"Accept-Encoding": "identity", **headers}
            if not own:
                sent.pop("Authorization", None)
            response = await self._request(method, url, sent, await self._session_for(url))
            if response.status not in _REDIRECTS or "Location" not in response.headers:
                return response
            location = response.headers["Location"]
            response.close()
            url = self._target(url, location)
        raise UpstreamError(f"{self.url.host} redirects more than {REDIRECTS_LIMIT} times")

    def _target(self, url: URL, location: str) -> URL:
        try:
            target = url.join(URL(location, encoded=True))
        except ValueError:
            raise UpstreamError(f"{self.url.host} redirects to a malformed address") from None
        if target.host is None or target.scheme not in ("http", "https"):
            raise UpstreamError(f"{self.url.host} redirects to what is no web address")
        if target.scheme == "http" and self.url.scheme == "https":
            raise UpstreamError(f"{self.url.host} redirects to {target.host} without encryption")
        return target

    async def _request(
        self, method: str, url: URL, headers: Mapping[str, str], session: aiohttp.ClientSession
    ) -> aiohttp.ClientResponse:
        try:
            async with asyncio.timeout(HEADERS_S):
                return await session.request(method, url, headers=headers, allow_redirects=False)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            why = f"{url.host} cannot be reached: {str(error) or 'it does not answer'}"
            if same_origin(url, self.url):
                self.budget.pause(_DOWN_S, why)
            raise UpstreamError(why) from error

    async def _session_for(self, url: URL) -> aiohttp.ClientSession:
        """Return the session that may connect to a URL. Raises UpstreamError if none may."""
        async with self._opening:
            if self._own is None:
                self._own = await self._session(None)
            if same_origin(url, self.url) or await is_in_private_network(self.url.host or ""):
                return self._own
            host, proxies = url.host or "", proxy_hosts()
            # The resolver admits proxies, which no upstream may lead to.
            if is_private_literal(host) or (host in proxies and await is_in_private_network(host)):
                raise UpstreamError(f"{self.url.host} leads to the private address {host}")
            if self._elsewhere is None:
                self._elsewhere = await self._session(PublicResolver(proxies))
            return self._elsewhere

    async def _session(self, resolver: PublicResolver | None) -> aiohttp.ClientSession:
        tls = await self._tls()
        connector = aiohttp.TCPConnector(limit=0, ssl=tls, resolver=resolver)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=IDLE_S)
        # Proxies come from the environment, as in zot. Bodies stay as they are: their digest is of the bytes sent.
        return aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=_BUFFER_BYTES,
            trust_env=True,
        )

    def _obey(self, response: aiohttp.ClientResponse) -> None:
        """Pause if the upstream asks for that. Raises UpstreamError then."""
        after = response.headers.get("Retry-After")
        if response.status != 429 and not (response.status == 503 and after):
            return
        delay_s = _retry_after_s(after)
        why = f"{self.url.host} asks for fewer requests (status {response.status})"
        self.budget.pause(delay_s, why)
        raise UpstreamError(why, retry_after_s=math.ceil(delay_s))


def _retry_after_s(value: str | None) -> float:
    """Return the seconds of a Retry-After header, which has a number or a date (RFC 9110, 10.2.3); at most an hour."""
    if value is None:
        return _BUSY_S
    if value.strip().isdecimal():
        return min(float(value), LONGEST_PAUSE_S)
    try:
        return min(max(1.0, parsedate_to_datetime(value).timestamp() - time.time()), LONGEST_PAUSE_S)
    except (ValueError, OverflowError):
        return _BUSY_S


async def read_limited(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    """Return a whole body of at most `limit_bytes`. Raises UpstreamError."""
    if response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        raise UpstreamError(f"{response.url.host} compresses a response that has to be unchanged")
    if response.content_length is not None and response.content_length > limit_bytes:
        raise UpstreamError(f"{response.url.host} sends more than {limit_bytes} bytes")
    content = bytearray()
    try:
        async with asyncio.timeout(IDLE_S):
            async for piece in response.content.iter_any():
                content += piece
                if len(content) > limit_bytes:
                    raise UpstreamError(f"{response.url.host} sends more than {limit_bytes} bytes")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise UpstreamError(f"{response.url.host} breaks off: {str(error) or 'no bytes come'}") from error
    return bytes(content)
