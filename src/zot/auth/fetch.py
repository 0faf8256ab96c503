"""HTTP client for the issuers and providers of the configuration: bounded in time and size, without redirects."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec

TIMEOUT_S = 10.0
RESPONSE_LIMIT_BYTES = 1 << 20


class FetchError(Exception):
    """There was no response, or it is not usable. `status` is 0 without a response."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class FetchedResponse(msgspec.Struct, frozen=True):
    """A response, unchanged."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Fetcher:
    """Client for JSON over HTTP, which connects on first use in the running event loop."""

    def __init__(self) -> None:
        self._client: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None
        self._closed = False

    async def get(
        self, url: str, *, headers: Mapping[str, str] | None = None, tls: ssl.SSLContext | None = None
    ) -> Any:
        """Return the JSON document at the URL. Raises FetchError."""
        return _document(url, await self._request("GET", url, {"Accept": "application/json", **(headers or {})}, tls))

    async def post(self, url: str, form: Mapping[str, str], *, headers: Mapping[str, str] | None = None) -> Any:
        """Send a form and return the JSON document of the response. Raises FetchError."""
        all_headers = {
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
            **(headers or {}),
        }
        return _document(url, await self._request("POST", url, all_headers, body=urlencode(form).encode()))

    async def forward(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> FetchedResponse:
        """Send a request and return the response unchanged, of any status. Raises FetchError."""
        return await self._request(method, url, headers, body=body)

    async def close(self) -> None:
        """Close the connections; later requests raise FetchError. Idempotent."""
        self._closed = True
        if self._client is not None:
            await self._client.close()

    async def _request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        tls: ssl.SSLContext | None = None,
        body: bytes | None = None,
    ) -> FetchedResponse:
        if self._closed:
            raise FetchError("the configuration has changed")
        if tls is None:
            tls = await self._system_tls()
        if self._client is None:
            # Proxies come from the environment, as in zot.
            self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(TIMEOUT_S), trust_env=True)
        try:
            # A redirect would carry secrets to a server that is not configured.
            async with self._client.request(
                method, url, headers=headers, data=body, allow_redirects=False, ssl=tls
            ) as response:
                content = bytearray()
                async for piece in response.content.iter_any():
                    content += piece
                    if len(content) > RESPONSE_LIMIT_BYTES:
                        raise FetchError(f"{_host(url)}: the response has more than {RESPONSE_LIMIT_BYTES} bytes")
                return FetchedResponse(response.status, dict(response.headers), bytes(content))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise FetchError(f"{_host(url)}: {str(error) or type(error).__name__}") from error

    async def _system_tls(self) -> ssl.SSLContext:
        """Return a context with the system's authorities, whose loading takes longer than the event loop may wait."""
        if self._tls is None:
            with ThreadPoolExecutor(1, thread_name_prefix="authorities") as pool:
                self._tls = await asyncio.get_running_loop().run_in_executor(pool, ssl.create_default_context)
        return self._tls


def _document(url: str, response: FetchedResponse) -> Any:
    if response.status != 200:
        raise FetchError(f"{_host(url)}: status {response.status}", response.status)
    try:
        return msgspec.json.decode(response.body)
    except (ValueError, RecursionError) as error:
        raise FetchError(f"{_host(url)}: the response is not JSON") from error


def _host(url: str) -> str:
    return "/".join(url.split("/", 3)[:3])
