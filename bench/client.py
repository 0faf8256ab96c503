"""A client that costs as little as Python can: one connection, blocking, content neither copied nor kept."""

import http.client
import ssl
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from bench.registries import Registry
from zot.oci.digest import digest_of
from zot.oci.media_types import IMAGE_INDEX, IMAGE_MANIFEST, OCTET_STREAM

ACCEPT = f"{IMAGE_MANIFEST}, {IMAGE_INDEX}, */*"
_REQUEST_LIMIT_S = 300


@dataclass(frozen=True)
class Answer:
    """An answer, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class UnexpectedAnswerError(Exception):
    """The registry did not do what is to be measured."""


class Client:
    """One connection to a registry, which stays open; use it as a context. Certificates are not verified."""

    def __init__(self, registry: Registry) -> None:
        """Prepare to speak to `registry`; the first request connects."""
        self._headers = {"Accept": ACCEPT, **registry.headers}
        host, port = registry.address
        if registry.tls:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=_REQUEST_LIMIT_S, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(host, port, timeout=_REQUEST_LIMIT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        expected: int | None = None,
        body: bytes | bytearray = b"",
        content_type: str = OCTET_STREAM,
    ) -> Answer:
        """Send a request and read its answer whole. `path` may be a Location: a path, or a whole URL.

        Raises UnexpectedAnswerError for another status than the one expected.
        """
        response = self._send(method, path, body, {"Content-Type": content_type} if body else {})
        answer = Answer(response.status, dict(response.headers), response.read())
        if expected is not None and answer.status != expected:
            raise UnexpectedAnswerError(f"{method} {path}: {answer.status}, {answer.body[:500]!r}")
        return answer

    def drain(self, path: str, buffer: bytearray) -> int:
        """GET content and drop it, `buffer` by `buffer`; return how many bytes came."""
        response = self._send("GET", path, b"", {})
        if response.status != http.client.OK:
            raise UnexpectedAnswerError(f"GET {path}: {response.status}, {response.read(500)!r}")
        received = 0
        while count := response.readinto(buffer):
            received += count
        return received

    def push_blob(self, repository: str, content: bytes | bytearray, digest: str | None = None) -> str:
        """Push a blob by POST and PUT; return its digest, which is computed unless it is given."""
        digest = digest or digest_of(content)
        location = self.ask("POST", f"/v2/{repository}/blobs/uploads/", expected=202).headers["Location"]
        closing = f"{location}{'&' if '?' in location else '?'}digest={digest}"
        self.ask("PUT", closing, expected=201, body=content)
        return digest

    def put_manifest(self, repository: str, reference: str, content: bytes, media_type: str = IMAGE_MANIFEST) -> None:
        """Push a manifest whose blobs are there already."""
        path = f"/v2/{repository}/manifests/{reference}"
        self.ask("PUT", path, expected=201, body=content, content_type=media_type)

    def _send(
        self, method: str, path: str, body: bytes | bytearray, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        parts = urllib.parse.urlsplit(path)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        self._connection.request(method, target, body or None, {**self._headers, **headers})
        return self._connection.getresponse()
