"""The driver for Amazon S3 and compatible object stores."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store

from zot.config.driver_options import S3
from zot.storage.interface import StorageUnavailableError
from zot.storage.object_store.credentials import S3CredentialSource
from zot.storage.object_store.interface import ObjectInfo, ObjectMissingError, ObjectPart
from zot.storage.object_store.signed_requests import S3Endpoint, SignedRequests

# A request fails after three attempts or ten seconds: its client is told to come again (503).
_RETRIES = 2
_REQUEST_S = 30.0
_RETRY_S = 10.0
_CONNECT_S = 5.0
_REMOVAL_S = 30.0
_SIGNED_S = 5.0
_WRITING = frozenset({"write", "list", "sign", "remove"})
_CODE = re.compile(r"<Code>([^<]*)")
_MESSAGE = re.compile(r"<Message>([^<]*)")
_HTTP_ERROR = re.compile(r"Error performing \w+ (\S+?)(?:\?\S*)? in .* - (.*)")
_COPY_LIMIT_BYTES = 5 * 1024**3
"""Larger objects are copied in parts: the limit of CopyObject."""


class S3Objects:
    """Objects in a bucket (`ObjectStore`)."""

    def __init__(self, options: S3, prefix: str) -> None:
        """Use the bucket of the options; every key is below `prefix`, which has no slash at its ends."""
        endpoint = S3Endpoint.of(options)
        self.location = f"s3://{options.bucket}/{prefix}"
        self._prefix = f"{prefix}/" if prefix else ""
        credentials = S3CredentialSource(options)
        self._store = S3Store(
            options.bucket,
            endpoint=endpoint.url,
            region=endpoint.region,
            virtual_hosted_style_request=endpoint.names_bucket,
            # A payload is signed by hashing it once more; TLS has the integrity, and some servers refuse trailers.
            unsigned_payload=True,
            credential_provider=credentials.for_obstore,
            client_options={
                "allow_http": not options.secure or endpoint.url.startswith("http:"),
                "allow_invalid_certificates": options.skip_verify,
                "connect_timeout": timedelta(seconds=_CONNECT_S),
                "timeout": timedelta(seconds=_REQUEST_S),
                "default_headers": _headers(options),
            },
            retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_RETRY_S)},
        )
        self._signed = SignedRequests(endpoint, options, credentials)
        self._copy_limit_bytes = min(_COPY_LIMIT_BYTES, options.multipart_copy_threshold_bytes)

    async def look(self, key: str) -> ObjectInfo | None:
        """Return an object without its bytes, or None if it is missing."""
        try:
            with _errors("look at", key):
                return self._info(await obstore.head_async(self._store, self._prefix + key))
        except ObjectMissingError:
            return None

    async def open(self, key: str, limit_bytes: int) -> tuple[ObjectInfo, bytes]:
        """Return an object with its first bytes: all of it if it has at most `limit_bytes`."""
        with _errors("open", key):
            try:
                options: Any = {"range": (0, limit_bytes)} if limit_bytes else None
                found = await obstore.get_async(self._store, self._prefix + key, options=options)
            except BaseError as error:
                if "InvalidRange" not in str(error):
                    raise
                # An empty object has no range at all.
                info = self._info(await obstore.head_async(self._store, self._prefix + key))
                return info, b""
            info = self._info(found.meta)
            return info, bytes(await found.buffer_async())

    async def read(self, key: str, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`, fewer only at the end."""
        with _errors("read", key):
            return bytes(await obstore.get_range_async(self._store, self._prefix + key, start=offset, length=length))

    async def write(self, key: str, pieces: Sequence[bytes]) -> ObjectInfo:
        """Write an object in one request."""
        if self._signed.marks:
            version = await self._signed.write(self._prefix + key, pieces)
            return ObjectInfo(key, sum(map(len, pieces)), version or "", 0.0)
        return await self._put(key, pieces, None)

    async def write_if(self, key: str, content: bytes, version: str | None) -> ObjectInfo | None:
        """Write an object if the key has that version."""
        if self._signed.marks:
            written = await self._signed.write(self._prefix + key, [content], (version,))
            return None if written is None else ObjectInfo(key, len(content), written, 0.0)
        try:
            return await self._put(key, [content], "create" if version is None else {"e_tag": version})
        except (AlreadyExistsError, PreconditionError):
            return None

    async def _put(self, key: str, pieces: Sequence[bytes], mode: Any) -> ObjectInfo:
        size = sum(map(len, pieces))
        with _errors("write", key):
            result = await obstore.put_async(
                self._store, self._prefix + key, list(pieces), mode=mode, use_multipart=False
            )
        return ObjectInfo(key, size, result["e_tag"] or "", 0.0)

    async def assemble(self, parts: Sequence[ObjectPart], target: str) -> None:
        """Copy an object, or assemble several by copying them as parts."""
        if len(parts) == 1 and parts[0].size <= self._copy_limit_bytes and not self._signed.marks:
            with _errors("copy", parts[0].key):
                await obstore.copy_async(self._store, self._prefix + parts[0].key, self._prefix + target)
            return
        sources = [ObjectPart(self._prefix + part.key, part.size) for part in parts]
        if len(parts) == 1 and parts[0].size <= self._copy_limit_bytes:
            await self._signed.copy(sources[0], self._prefix + target)
        else:
            await self._signed.assemble(sources, self._prefix + target)

    async def remove(self, key: str) -> None:
        """Remove an object by a request that expires."""
        called_s = time.monotonic()
        with _errors("remove", key):
            url = await obstore.sign_async(self._store, "DELETE", self._prefix + key, timedelta(seconds=_REMOVAL_S))
        if time.monotonic() - called_s > _SIGNED_S:
            raise StorageUnavailableError(f"cannot remove {key}: credentials for the signature took too long")
        await self._signed.remove(url)

    async def list(self, prefix: str) -> AsyncIterator[list[ObjectInfo]]:
        """Iterate over the objects whose keys begin with `prefix`, a thousand at a time."""
        with _errors("list", prefix):
            stream = obstore.list(self._store, prefix=self._prefix + prefix or None, chunk_size=1000)
        while True:
            with _errors("list", prefix):
                batch = await anext(stream, None)
            if batch is None:
                return
            yield [self._info(meta) for meta in batch]

    async def sign(self, key: str, lifetime_s: float) -> str:
        """Return a URL by which a client may get the object."""
        with _errors("sign", key):
            return await obstore.sign_async(self._store, "GET", self._prefix + key, timedelta(seconds=lifetime_s))

    async def close(self) -> None:
        """Release all connections."""
        await self._signed.close()

    def _info(self, meta: Any) -> ObjectInfo:
        key = meta["path"].removeprefix(self._prefix)
        return ObjectInfo(key, meta["size"], meta["e_tag"] or "", meta["last_modified"].timestamp())


def _headers(options: S3) -> dict[str, str]:
    """Return the headers of all requests."""
    headers = {}
    if options.user_agent:
        headers["user-agent"] = f"zot {options.user_agent}"
    return headers


@contextmanager
def _errors(doing: str, key: str) -> Iterator[None]:
    """Raise an error of the S3 library as one of the storage."""
    try:
        yield
    except FileNotFoundError as error:
        # Also the answer where the bucket is missing, but for HEAD, whose answer has no text.
        code = _CODE.search(str(error))
        if doing in _WRITING or (code is not None and code[1] != "NoSuchKey"):
            raise StorageUnavailableError(f"cannot {doing} {key}: {_reason(error)}") from error
        raise ObjectMissingError(f"cannot {doing} {key}: there is no such object") from None
    except (AlreadyExistsError, PreconditionError):
        raise
    except (BaseError, OSError) as error:
        raise StorageUnavailableError(f"cannot {doing} {key}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """Return the server's own words if there are any, else the library's first line."""
    text = str(error).strip()
    code, message = _CODE.search(text), _MESSAGE.search(text)
    if code is not None:
        return unescape(f"{code[1]}: {message[1]}" if message else code[1])
    line = text.partition("\n")[0]
    failed = _HTTP_ERROR.search(line)
    if failed is None:
        return line
    where = urlsplit(failed[1])
    return f"{where.scheme}://{where.netloc} does not answer: {failed[2]}"
