"""Requests to the issuers and providers that the configuration names: bounded in time and size, never redirected."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec

TIMEOUT_S = 10.0
ANSWER_LIMIT_BYTES = 1 << 20


class FetchError(Exception):
    """There was no answer, or none that could be used."""

    def __init__(self, message: str, status: int = 0) -> None:
        """Take the reason, and the HTTP status if there was one."""
        super().__init__(message)
        self.status = status


class FetchedResponse(msgspec.Struct, frozen=True):
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Fetcher:
    """A client for JSON over HTTP. Its connections are made in the running event loop, when they are needed."""

    def __init__(self) -> None:
        """Start with no connection."""
        self._client: aiohttp.ClientSession | None = None
        self._closed = False

    async def get(
        self, url: str, *, headers: Mapping[str, str] | None = None, tls: ssl.SSLContext | None = None
    ) -> Any:
        """Return the JSON document at the URL. Raises FetchError."""
        return _document(url, await self._request("GET", url, {"Accept": "application/json", **(headers or {})}, tls))

    async def post(self, url: str, form: Mapping[str, str], *, headers: Mapping[str, str] | None = None) -> Any:
        """Send a form and return the JSON answer. Raises FetchError."""
        sent = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return _document(url, await self._request("POST", url, sent, body=urlencode(form).encode()))

    async def forward(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> FetchedResponse:
        """Send a request as it is and return the answer as it came, whatever its status. Raises FetchError."""
        return await self._request(method, url, headers, body=body)

    async def close(self) -> None:
        """Close the connections; whoever asks afterwards gets a FetchError."""
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
        if self._client is None:
            # Proxies come from the environment, as in zot.
            self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(TIMEOUT_S), trust_env=True)
        try:
            # A redirect would carry secrets to a place that nobody configured.
            async with self._client.request(
                method, url, headers=headers, data=body, allow_redirects=False, ssl=tls if tls is not None else True
            ) as response:
                content = bytearray()
                async for piece in response.content.iter_any():
                    content += piece
                    if len(content) > ANSWER_LIMIT_BYTES:
                        raise FetchError(f"{_host(url)}: the answer is too long")
                return FetchedResponse(response.status, dict(response.headers), bytes(content))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise FetchError(f"{_host(url)}: {str(error) or type(error).__name__}") from error


def _document(url: str, answer: FetchedResponse) -> Any:
    if answer.status != 200:
        raise FetchError(f"{_host(url)}: answered {answer.status}", answer.status)
    try:
        return msgspec.json.decode(answer.body)
    except (ValueError, RecursionError) as error:
        raise FetchError(f"{_host(url)}: the answer is no JSON") from error


def _host(url: str) -> str:
    return "/".join(url.split("/", 3)[:3])
