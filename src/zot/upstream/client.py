"""The distribution API of one upstream registry: what a mirror reads of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from zot.oci.digest import CANONICAL, Digest, InvalidDigestError, algorithm_of, digest_of, parse_digest
from zot.oci.media_types import IMAGE_INDEX, MANIFESTS
from zot.oci.names import Reference, as_digest
from zot.upstream.authorization import UpstreamAuthorization
from zot.upstream.errors import UpstreamError, UpstreamRefusedError
from zot.upstream.transport import Transport, read_limited

_ACCEPT = ", ".join(sorted(MANIFESTS))
_ABSENT = frozenset({404, 410})
_DENIED = frozenset({401, 403})
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")


REFERRERS_LIMIT = 100
"""Referrers of one manifest that are read."""


class _Entry(msgspec.Struct):
    digest: str


class _Index(msgspec.Struct):
    manifests: list[_Entry]


class UpstreamManifest(NamedTuple):
    """A manifest as the upstream sends it; its bytes have the digest."""

    digest: Digest
    media_type: str
    content: bytes


class UpstreamBlob(NamedTuple):
    """The bytes of a blob from some offset on, while they are received."""

    size: int
    """Of the whole blob."""
    chunks: AsyncIterator[bytes]
    """Raises UpstreamError if they end early."""


class UpstreamClient:
    """Reads manifests and blobs of one upstream. What it may not read is absent, as for any anonymous client."""

    def __init__(
        self, transport: Transport, authorization: UpstreamAuthorization, *, manifest_limit_bytes: int
    ) -> None:
        """Send by `transport`; larger manifests than `manifest_limit_bytes` are refused."""
        self._transport = transport
        self._authorization = authorization
        self._manifest_limit_bytes = manifest_limit_bytes

    @property
    def url(self) -> URL:
        """The address of the upstream."""
        return self._transport.url

    async def manifest(self, repository: str, reference: Reference) -> UpstreamManifest | None:
        """Return a manifest, verified if it is asked for by digest; None: there is none. Raises UpstreamError."""
        path, headers = f"{repository}/manifests/{reference}", {"Accept": _ACCEPT}
        async with self._send("GET", repository, path, headers) as response:
            if response is None:
                return None
            content = await read_limited(response, self._manifest_limit_bytes)
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        wanted = as_digest(reference)
        actual = digest_of(content, algorithm_of(wanted) if wanted is not None else CANONICAL)
        if wanted not in (None, actual):
            raise UpstreamError(f"{self.url.host} sends a manifest of digest {actual} for {wanted}")
        return UpstreamManifest(actual, media_type, content)

    async def resolve(self, repository: str, reference: Reference) -> Digest | None:
        """Return the digest that a reference stands for, by HEAD, which counts against no pull limit; None: absent.

        Raises UpstreamError, also if the upstream does not tell the digest.
        """
        path, headers = f"{repository}/manifests/{reference}", {"Accept": _ACCEPT}
        async with self._send("HEAD", repository, path, headers) as response:
            if response is None:
                return None
            try:
                return parse_digest(response.headers.get("Docker-Content-Digest", ""))
            except InvalidDigestError:
                raise UpstreamError(f"{self.url.host} does not tell the digest of {repository}:{reference}") from None

    async def referrers(self, repository: str, subject: Digest) -> Sequence[Digest]:
        """Return the first REFERRERS_LIMIT manifests that refer to one, by the API or else by a tag.

        Raises UpstreamError.
        """
        for path in (f"referrers/{subject}", f"manifests/{subject.replace(':', '-')}"):
            async with self._send("GET", repository, f"{repository}/{path}", {"Accept": IMAGE_INDEX}) as response:
                if response is not None:
                    return self._entries(await read_limited(response, self._manifest_limit_bytes))
        return ()

    def _entries(self, content: bytes) -> Sequence[Digest]:
        """Return the digests of an index. Raises UpstreamError if it is none."""
        try:
            index = msgspec.json.decode(content, type=_Index)
            return [parse_digest(each.digest) for each in index.manifests[:REFERRERS_LIMIT]]
        except (ValueError, RecursionError):  # msgspec's errors and InvalidDigestError are ValueErrors
            raise UpstreamError(f"{self.url.host} sends a list of referrers that is no index") from None

    async def blob_size(self, repository: str, digest: Digest) -> int | None:
        """Return the size of a blob, by HEAD; None: there is none. Raises UpstreamError."""
        async with self._send("HEAD", repository, f"{repository}/blobs/{digest}", {}) as response:
            return None if response is None else _length(response)

    @asynccontextmanager
    async def blob(self, repository: str, digest: Digest, start: int = 0) -> AsyncIterator[UpstreamBlob | None]:
        """Open a blob from an offset on for the length of the block; None: there is none. Raises UpstreamError.

        An upstream that sends no ranges sends all of it: then what comes before the offset is received and dropped.
        """
        headers = {"Range": f"bytes={start}-"} if start else {}
        async with self._send("GET", repository, f"{repository}/blobs/{digest}", headers, download=True) as response:
            if response is None:
                yield None
                return
            if response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
                raise UpstreamError(f"{response.url.host} compresses a blob that has to be unchanged")
            if response.status != 206:
                yield UpstreamBlob(_length(response), _chunks(response, start))
                return
            yield UpstreamBlob(_size_of_part(response, start), _chunks(response, 0))

    async def retire(self) -> None:
        """Close the connections once the running requests have ended."""
        await self._transport.retire()

    @asynccontextmanager
    async def _send(
        self, method: str, repository: str, path: str, headers: Mapping[str, str], *, download: bool = False
    ) -> AsyncIterator[aiohttp.ClientResponse | None]:
        """Send a request with authorization; yield a good response, None if what it asks for is not there."""
        url = self.url.with_path(f"/v2/{quote(path, safe='/:')}", encoded=True)
        header = await self._authorization.header(repository)
        for is_last in (False, True):
            sent = {**headers, "Authorization": header} if header is not None else dict(headers)
            async with self._transport.send(method, url, sent, download=download) as response:
                if response.status != 401 or is_last:
                    yield self._checked(response, header)
                    return
                challenges = response.headers.getall("WWW-Authenticate", [])
            header = await self._authorization.answer(repository, challenges, header)
            if header is None:
                yield None
                return

    def _checked(self, response: aiohttp.ClientResponse, header: str | None) -> aiohttp.ClientResponse | None:
        if response.status in (200, 206):
            return response
        if response.status == 401 and header is not None and header.startswith("Basic "):
            raise UpstreamRefusedError(f"{self.url.host} refuses the credentials")
        if response.status in _ABSENT or response.status in _DENIED:
            return None
        raise UpstreamError(f"{self.url.host} responds with status {response.status}")


def _length(response: aiohttp.ClientResponse) -> int:
    if response.content_length is None:
        raise UpstreamError(f"{response.url.host} does not tell the length of a blob")
    return response.content_length


def _size_of_part(response: aiohttp.ClientResponse, start: int) -> int:
    """Return the size of the whole of which the response is the rest after `start`. Raises UpstreamError."""
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if found is None or (int(found[1]), int(found[2]) + 1) != (start, int(found[3])):
        raise UpstreamError(f"{response.url.host} sends another range than it was asked for")
    return int(found[3])


async def _chunks(response: aiohttp.ClientResponse, dropped_bytes: int) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_any():
            if dropped_bytes < len(chunk):
                yield chunk[dropped_bytes:] if dropped_bytes else chunk
            dropped_bytes = max(0, dropped_bytes - len(chunk))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise UpstreamError(f"{response.url.host} breaks off: {str(error) or 'no bytes come'}") from error
