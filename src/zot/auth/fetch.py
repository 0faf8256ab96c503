"""Requests to the issuers and providers that the configuration names: bounded in time and size, never redirected."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

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


class Fetcher:
    """A client for JSON over HTTP. Its connections are made in the running event loop, when they are needed."""

    def __init__(self) -> None:
        """Start with no connection."""
        self._client: aiohttp.ClientSession | None = None

    async def get(
        self, url: str, *, headers: Mapping[str, str] | None = None, tls: ssl.SSLContext | None = None
    ) -> Any:
        """Return the JSON document at the URL. Raises FetchError."""
        return await self._request("GET", url, headers=headers, tls=tls)

    async def post(self, url: str, form: Mapping[str, str], *, headers: Mapping[str, str] | None = None) -> Any:
        """Send a form and return the JSON answer. Raises FetchError."""
        return await self._request("POST", url, headers=headers, form=form)

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def _request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None,
        tls: ssl.SSLContext | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Any:
        if self._client is None:
            # Proxies come from the environment, as in zot.
            self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(TIMEOUT_S), trust_env=True)
        sent = {"Accept": "application/json", **(headers or {})}
        try:
            # A redirect would carry secrets to a place that nobody configured.
            async with self._client.request(
                method, url, headers=sent, data=form, allow_redirects=False, ssl=tls if tls is not None else True
            ) as response:
                content = await response.content.read(ANSWER_LIMIT_BYTES + 1)
                while len(content) <= ANSWER_LIMIT_BYTES and not response.content.at_eof():
                    content += await response.content.read(ANSWER_LIMIT_BYTES + 1 - len(content))
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise FetchError(f"{_host(url)}: {str(error) or type(error).__name__}") from error
        if len(content) > ANSWER_LIMIT_BYTES:
            raise FetchError(f"{_host(url)}: the answer is too long")
        if status != 200:
            raise FetchError(f"{_host(url)}: answered {status}", status)
        try:
            return msgspec.json.decode(content)
        except msgspec.DecodeError as error:
            raise FetchError(f"{_host(url)}: the answer is no JSON") from error


def _host(url: str) -> str:
    return "/".join(url.split("/", 3)[:3])
