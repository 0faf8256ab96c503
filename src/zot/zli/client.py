"""Requests to a registry: one at a time, whose answer has a limit."""

import ipaddress
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import click
from yarl import URL

from zot.zli.spinner import spinner
from zot.zli.target import RegistryTarget
from zot.zli.tls import certificate_folders, tls_context

ANSWER_LIMIT_BYTES = 4 << 20
_TIMEOUT = aiohttp.ClientTimeout(total=300, sock_connect=30)


class NoResponseError(Exception):
    """The registry did not answer, and its text says why not."""


@dataclass(frozen=True)
class RegistryResponse:
    """What a registry said."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class RegistryClient:
    """A client of one registry; use it as an async context."""

    def __init__(self, target: RegistryTarget) -> None:
        """Load the certificates for the registry. Raises ClickException when that fails."""
        self._target = target
        parts = urlsplit(target.url)
        self._tls = tls_context(parts.netloc, verify=target.verify_tls, folders=certificate_folders())
        self._proxy = None if _is_near(parts.hostname or "") else _proxy(parts.scheme)

    async def __aenter__(self) -> Self:
        user, colon, password = (self._target.credentials or "").partition(":")
        self._session = aiohttp.ClientSession(
            headers={"Authorization": aiohttp.encode_basic_auth(user, password)} if colon else {},
            connector=aiohttp.TCPConnector(ssl=self._tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=self._proxy,
            timeout=_TIMEOUT,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    def url(self, path: str) -> str:
        """Return the URL of a path on the registry's host: the path of its own URL does not count."""
        return urljoin(self._target.url, path)

    async def get(
        self, path: str, *, accept: str | None = None, limit_bytes: int = ANSWER_LIMIT_BYTES
    ) -> RegistryResponse:
        """Return the answer to a GET of `path`, which is encoded. Raises NoResponseError.

        An answer of more than `limit_bytes` is no answer.
        """
        return await self._request("GET", path, {"Accept": accept} if accept else {}, limit_bytes)

    async def head(self, path: str, *, accept: str | None = None) -> RegistryResponse:
        """Return the answer to a HEAD of `path`, which is encoded. Raises NoResponseError."""
        return await self._request("HEAD", path, {"Accept": accept} if accept else {}, 0)

    async def post(self, path: str, *, headers: Mapping[str, str]) -> RegistryResponse:
        """Return the answer to a POST without a body; it follows no redirect. Raises NoResponseError."""
        return await self._request("POST", path, headers, ANSWER_LIMIT_BYTES)

    async def _request(self, method: str, path: str, headers: Mapping[str, str], limit_bytes: int) -> RegistryResponse:
        url = URL(self.url(path), encoded=True)
        if self._target.debug:
            sent = {**self._session.headers, **headers}
            click.echo(f"[debug]  {method}   {url} [request header]  {_header_map(sent)}", err=True)
        try:
            async with (
                spinner(shown=self._target.spinner),
                self._session.request(method, url, headers=headers, allow_redirects=method != "POST") as response,
            ):
                if self._target.debug:
                    said = _header_map(response.headers)
                    click.echo(
                        f"[debug]  {method} {url} [status]  {response.status}   [response header]  {said}", err=True
                    )
                return RegistryResponse(response.status, await _body(response, limit_bytes), response.headers)
        except (aiohttp.ClientError, OSError) as error:
            raise NoResponseError(_reason(error)) from error


async def _body(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit_bytes:
            raise NoResponseError(f"the answer has more than {limit_bytes >> 20} MiB")
    return bytes(body)


def _header_map(headers: Mapping[str, str]) -> str:
    """Return headers as zot's zli shows them, without the password, which it shows."""
    shown = {name: "***" if name.lower() == "authorization" else value for name, value in headers.items()}
    return f"map[{' '.join(f'{name}:[{shown[name]}]' for name in sorted(shown))}]"


def _is_near(host: str) -> bool:
    """Tell whether a host is asked without a proxy: this machine, and whatever NO_PROXY names."""
    try:
        return ipaddress.ip_address(host).is_loopback or bool(proxy_bypass(host))
    except ValueError:
        return host == "localhost" or bool(proxy_bypass(host))


def _proxy(scheme: str) -> str | None:
    """Return the environment's proxy for a scheme; one that is named without a scheme of its own speaks HTTP."""
    proxy = getproxies().get(scheme)
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def _reason(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            why = getattr(error.certificate_error, "verify_message", "") or str(error.certificate_error)
            return (
                f"the certificate of {error.host}:{error.port} is not valid: {why}; "
                "believe its authority (ca.crt in certs.d), or set verify-tls of a profile to false"
            )
        case aiohttp.ClientConnectorError():
            return f"cannot connect to {error.host}:{error.port}: {_words(error.os_error)}"
        case aiohttp.ConnectionTimeoutError():
            return f"no connection within {_TIMEOUT.sock_connect} s"
        case TimeoutError():
            return f"no answer within {_TIMEOUT.total} s"
        case aiohttp.InvalidURL():
            return f"invalid URL: {error}"
    return str(error) or type(error).__name__


def _words(error: OSError) -> str:
    """Return what the system says, where asyncio has put an address; TLS and names have words of their own."""
    if error.errno is None or isinstance(error, ssl.SSLError | socket.gaierror):
        return error.strerror or str(error)
    return os.strerror(error.errno)
