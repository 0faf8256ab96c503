"""The requests to S3 that its library does not have: multipart uploads made of copies, and writes that mark objects."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import aiohttp
from yarl import URL

from zot.config.driver_options import S3
from zot.storage.interface import StorageError, StorageUnavailableError
from zot.storage.object_store.credentials import S3CredentialSource
from zot.storage.object_store.interface import ObjectMissingError, ObjectPart, together
from zot.storage.object_store.signature import S3Request, signed_headers

_AT_ONCE = 32
_ATTEMPTS = 3
_TIMEOUT = aiohttp.ClientTimeout(total=60, connect=5)
# An answer that comes later than the request expires is not worth waiting for.
_REMOVAL_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5)
_ANSWER_BYTES = 1024 * 1024
_PARTS = 10_000


class _ConditionError(Exception):
    """The key has another version than the request demands."""


class _Answer(NamedTuple):
    status: int
    """0 for none."""
    text: str
    version: str = ""


class S3Endpoint(NamedTuple):
    """Where a bucket is."""

    url: str
    """With the bucket in its host if `names_bucket`; without a slash at its end."""
    region: str
    bucket: str
    names_bucket: bool

    @classmethod
    def of(cls, options: S3) -> S3Endpoint:
        """Return the endpoint that the options name."""
        region = options.region or "us-east-1"
        scheme = "https" if options.secure else "http"
        names_bucket = not options.force_path_style
        if options.region_endpoint:
            given = options.region_endpoint
            base = given if "://" in given else f"{scheme}://{given}"
        elif options.accelerate:
            base = f"{scheme}://s3-accelerate{'.dualstack' if options.use_dual_stack else ''}.amazonaws.com"
            names_bucket = True
        else:
            base = f"{scheme}://s3{'.dualstack' if options.use_dual_stack else ''}.{region}.amazonaws.com"
        base = base.rstrip("/")
        if names_bucket:
            scheme, _, host = base.partition("://")
            base = f"{scheme}://{options.bucket}.{host}"
        return cls(base, region, options.bucket, names_bucket)

    @property
    def host(self) -> str:
        """Return the host, with a port if it is not the scheme's own."""
        return urlsplit(self.url).netloc

    def path(self, key: str) -> str:
        """Return the path of a key."""
        return f"/{key}" if self.names_bucket else f"/{self.bucket}/{key}"


class SignedRequests:
    """Writes, copies and assembles objects of a bucket, and sends removals that are signed already. Keys are whole."""

    def __init__(self, endpoint: S3Endpoint, options: S3, credentials: S3CredentialSource) -> None:
        """Send requests to the endpoint, a few at once."""
        self._endpoint = endpoint
        self._credentials = credentials
        # aiohttp's own context is made without the authorities of the system (`zot.processes.start`).
        verifies = endpoint.url.startswith("https:") and not options.skip_verify
        self._tls = ssl.create_default_context() if verifies else False
        self._written = _written_with(options)
        self._part_bytes = options.multipart_copy_chunk_bytes
        self._at_once = asyncio.Semaphore(max(1, min(_AT_ONCE, options.multipart_copy_max_concurrency)))
        self._client: aiohttp.ClientSession | None = None

    @property
    def marks(self) -> bool:
        """Whether what is written is encrypted, or has a storage class or access control: the library marks nothing."""
        return len(self._written) > 1

    async def write(self, key: str, pieces: Sequence[bytes], version: tuple[str | None] | None = None) -> str | None:
        """Write an object and return its version.

        With `version` only if the key has that one, None for no object; otherwise None is returned. Raises
        StorageError.
        """
        condition = {}
        if version is not None:
            (wanted,) = version
            condition = {"if-none-match": "*"} if wanted is None else {"if-match": wanted}
        headers = {**self._written, **condition}
        try:
            return (await self._send("PUT", key, {}, headers, pieces, "write")).version
        except _ConditionError:
            return None
        except ObjectMissingError:
            if condition:
                return None
            raise

    async def copy(self, source: ObjectPart, target: str) -> None:
        """Copy an object of at most 5 GiB. Raises ObjectMissingError, StorageError."""
        headers = {**self._written, **self._source(source), "x-amz-metadata-directive": "REPLACE"}
        _element((await self._send("PUT", target, {}, headers)).text, "ETag")

    async def assemble(self, parts: Sequence[ObjectPart], target: str) -> None:
        """Write `target` of the bytes of others.

        Raises ObjectMissingError if one is missing, StorageError; then `target` is unchanged.
        """
        ranges = _ranges(parts, self._part_bytes)
        if len(ranges) > _PARTS:
            raise StorageError(f"cannot assemble {target}: {len(ranges)} parts, of at most {_PARTS}")
        answer = await self._send("POST", target, {"uploads": ""}, self._written)
        upload = _element(answer.text, "UploadId")
        try:
            copies = [self._copy(target, upload, number, *each) for number, each in enumerate(ranges, start=1)]
            listed = "".join(
                f"<Part><PartNumber>{number}</PartNumber><ETag>{version}</ETag></Part>"
                for number, version in enumerate(await together(copies), start=1)
            )
            body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>"
            _element((await self._send("POST", target, {"uploadId": upload}, {}, [body.encode()])).text, "ETag")
        except BaseException:
            with suppress(StorageError):  # a sweep of the bucket's own rule removes what is left
                await self._send("DELETE", target, {"uploadId": upload})
            raise

    async def remove(self, url: str) -> None:
        """Send a removal that is signed in its URL, once. Raises StorageError."""
        try:
            target = URL(url, encoded=True)
            async with self._session().delete(
                target, middlewares=(_once,), timeout=_REMOVAL_TIMEOUT, allow_redirects=False
            ) as response:
                text = (await response.content.read(_ANSWER_BYTES)).decode(errors="replace")
                # Some servers that look like S3 tell that there was no object.
                if response.status in {200, 204} or (response.status == 404 and "<Code>NoSuchKey<" in text):
                    return
        except (aiohttp.ClientError, TimeoutError) as error:
            raise StorageUnavailableError(f"cannot remove an object: {error!r}") from error
        raise StorageUnavailableError(f"cannot remove an object: {_why(response.status, text)}")

    async def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.close()

    async def _copy(self, target: str, upload: str, number: int, source: ObjectPart, first: int, length: int) -> str:
        headers = self._source(source)
        if length != source.size:
            headers["x-amz-copy-source-range"] = f"bytes={first}-{first + length - 1}"
        answer = await self._send("PUT", target, {"partNumber": str(number), "uploadId": upload}, headers)
        return _element(answer.text, "ETag")

    def _source(self, source: ObjectPart) -> dict[str, str]:
        return {"x-amz-copy-source": quote(f"/{self._endpoint.bucket}/{source.key}", safe="/~")}

    async def _send(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str] = {},
        body: Sequence[bytes] = (),
        doing: str = "assemble",
    ) -> _Answer:
        """Return the answer to a request, which is sent up to three times.

        Raises StorageError, ObjectMissingError, _ConditionError.
        """
        request = S3Request(method, self._endpoint.host, self._endpoint.path(key), query, headers)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with self._at_once:
                    answer = await self._attempt(request, body)
            except (aiohttp.ClientError, TimeoutError) as error:
                answer = _Answer(0, repr(error))
            status, text = answer.status, answer.text
            if status in {200, 204} and "<Error>" not in text:
                return answer
            if status == 404 and "NoSuchKey" in text:
                raise ObjectMissingError(f"cannot {doing} {key}: an object is gone")
            if status == 412:
                raise _ConditionError
            is_passing = status in {0, 200, 429} or status >= 500
            if attempt == _ATTEMPTS or not is_passing:
                break
            await asyncio.sleep(0.2 * attempt)
        raise StorageUnavailableError(f"cannot {doing} {key}: {_why(status, text)}")

    async def _attempt(self, request: S3Request, body: Sequence[bytes]) -> _Answer:
        credentials = await self._credentials()
        headers = signed_headers(request, credentials, self._endpoint.region, time.time())
        headers["content-length"] = str(sum(map(len, body)))
        url = URL(f"{urlsplit(self._endpoint.url).scheme}://{request.host}{request.target}", encoded=True)
        async with self._session().request(
            request.method, url, headers=headers, data=_sent(body), allow_redirects=False
        ) as response:
            text = (await response.content.read(_ANSWER_BYTES)).decode(errors="replace")
            return _Answer(response.status, text, response.headers.get("ETag", ""))

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None:
            connector = aiohttp.TCPConnector(ssl=self._tls, limit=_AT_ONCE)
            self._client = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT, trust_env=True)
        return self._client


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send a request once: the client itself repeats one whose connection breaks, and both may be carried out."""
    try:
        return await handler(request)
    except aiohttp.ClientError as error:
        raise StorageUnavailableError(f"cannot remove an object: {error!r}") from error


async def _sent(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        if piece:
            yield piece


def _ranges(parts: Sequence[ObjectPart], part_bytes: int) -> list[tuple[ObjectPart, int, int]]:
    """Return what each part of the upload is copied from: an object, the first byte, and the length.

    Of several objects each is a part. One object is copied in parts of `part_bytes`, or larger ones if that would be
    too many.
    """
    if len(parts) > 1:
        return [(part, 0, part.size) for part in parts]
    [part] = parts
    length = max(part_bytes, -(-part.size // _PARTS))
    return [(part, first, min(length, part.size - first)) for first in range(0, part.size, length)]


def _written_with(options: S3) -> dict[str, str]:
    """Return the headers of what is written: its type, encryption, storage class and access control."""
    headers = {"content-type": "application/octet-stream"}
    if options.encrypt:
        headers["x-amz-server-side-encryption"] = "aws:kms" if options.key_id else "AES256"
    if options.key_id:
        headers["x-amz-server-side-encryption-aws-kms-key-id"] = options.key_id
    if options.storage_class not in {"", "STANDARD", "NONE"}:
        headers["x-amz-storage-class"] = options.storage_class
    if options.object_acl not in {"", "private"}:
        headers["x-amz-acl"] = options.object_acl
    return headers


def _element(answer: str, name: str) -> str:
    found = re.search(f"<{name}>([^<]*)</{name}>", answer)
    if found is None:
        raise StorageError(f"the object store's answer has no {name}")
    return found[1].replace("&quot;", '"').replace("&amp;", "&")


def _why(status: int, text: str) -> str:
    code, message = re.search(r"<Code>([^<]*)</Code>", text), re.search(r"<Message>([^<]*)</Message>", text)
    if code is None:
        return f"status {status}" if status else text[:200]
    return f"{code[1]}: {message[1]}" if message else code[1]
