"""A lean client of one registry: one connection, one request at a time."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

import aiohttp
from yarl import URL

from zot.oci import media_types
from zot.zb.blobs import Blob

# Docker's registry hides OCI manifests from clients that do not accept them; every real client does.
_ACCEPT = f"{media_types.IMAGE_MANIFEST}, {media_types.IMAGE_INDEX}, */*"
# A blob's stream is read in pieces of this size at most; the default of 64 KiB stops and starts the socket too often.
_READ_BUFFER_BYTES = 1 << 20
# On-demand sync answers only once the upstream's image is here, which for the largest takes a while.
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=600)


class RequestError(Exception):
    """A failed request; `status` is that of the response, 0 without one."""

    def __init__(self, reason: str, status: int = 0) -> None:
        """Take the reason, without what differs from one request to the next, so that equal ones can be counted."""
        super().__init__(reason, status)
        self.reason = reason
        self.status = status

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True)
class TestedRegistry:
    """The URL of a registry and the credentials for it, `user:password`."""

    url: str
    credentials: str | None = None


@dataclass(frozen=True)
class TimedResponse:
    """A response with the expected status; `first_byte_ns` is the time from the request to its head."""

    headers: Mapping[str, str]
    body: bytes
    first_byte_ns: int


class LoadClient:
    """A client with a separate connection; use it as an async context. Does not verify certificates."""

    def __init__(self, registry: TestedRegistry, source_ip: str | None = None) -> None:
        """Speak to `registry`, from `source_ip` if one is given."""
        self._url = registry.url.rstrip("/")
        self._auth = aiohttp.BasicAuth(*_user_and_password(registry.credentials)) if registry.credentials else None
        self._source = (source_ip, 0) if source_ip else None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1, local_addr=self._source, ssl=False),
            cookie_jar=aiohttp.DummyCookieJar(),
            auth=self._auth,
            auto_decompress=False,
            headers={"Accept": _ACCEPT},
            timeout=_TIMEOUT,
            read_bufsize=_READ_BUFFER_BYTES,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def send(
        self,
        method: str,
        path: str,
        expected: int,
        body: bytes | Blob | None = None,
        content_type: str = "application/octet-stream",
    ) -> TimedResponse:
        """Send one request and read its answer whole; raise RequestError unless its status is the one expected.

        `path` may be a Location as a registry gave it: a path or a whole URL.
        """
        headers = {}
        if body is not None:
            headers["Content-Type"] = content_type
            headers["Content-Length"] = str(len(body) if isinstance(body, bytes) else body.size)
        data = body if isinstance(body, bytes | None) else body.chunks()
        started_ns = time.perf_counter_ns()
        try:
            async with self._session.request(method, self._locate(path), data=data, headers=headers) as response:
                first_byte_ns = time.perf_counter_ns() - started_ns
                content = await response.read()
        except (aiohttp.ClientError, OSError) as error:
            raise RequestError(_reason(method, error)) from error
        if response.status != expected:
            raise RequestError(f"{method} was answered with {response.status}, not {expected}", response.status)
        return TimedResponse(response.headers, content, first_byte_ns)

    async def drain(self, path: str, size: int) -> int:
        """GET a blob of `size` bytes and drop them; return the time to its first byte in nanoseconds."""
        started_ns = time.perf_counter_ns()
        received = 0
        try:
            async with self._session.get(self._locate(path)) as response:
                first_byte_ns = time.perf_counter_ns() - started_ns
                async for chunk in response.content.iter_any():
                    received += len(chunk)
        except (aiohttp.ClientError, OSError) as error:
            raise RequestError(_reason("GET", error)) from error
        if response.status != 200:
            raise RequestError(f"GET was answered with {response.status}, not 200", response.status)
        if received != size:
            raise RequestError("GET of a blob gave another length than its descriptor", response.status)
        return first_byte_ns

    def _locate(self, path: str) -> URL:
        return URL(urljoin(self._url + "/", path), encoded=True)


def _user_and_password(credentials: str) -> tuple[str, str]:
    user, _, password = credentials.partition(":")
    return user, password


def _reason(method: str, error: Exception) -> str:
    return f"{method} was not answered: {str(error) or type(error).__name__}"
