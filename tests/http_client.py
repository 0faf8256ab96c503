"""An HTTP client for tests: it normalises no path, follows no redirect, retries nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from http.client import HTTPConnection, HTTPSConnection
from typing import Any

from layout.images import Image

LIMIT_S = 30.0
OCTETS = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True)
class Response:
    """A status, headers and a body."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded from JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str]:
        """Status and code of an error; AssertionError unless the body has the specification's form."""
        (error,) = self.json["errors"]
        assert set(error) == {"code", "message", "detail"}
        assert error["detail"]["description"]
        return self.status, error["code"]

    @property
    def detail(self) -> dict[str, str]:
        """The `detail` of an error."""
        detail: dict[str, str] = self.json["errors"][0]["detail"]
        return detail

    def __getitem__(self, header: str) -> str | None:
        """The value of a header, or None."""
        return self.headers[header]


class Client:
    """Sends requests to one registry, each over a new connection."""

    def __init__(
        self, host: str, tls: ssl.SSLContext | None = None, user: str = "", *, limit_s: float = LIMIT_S
    ) -> None:
        """Use `host` as `address:port`, with TLS if `tls` is given, and `user` as `name:password`."""
        self.host = host
        self._limit_s = limit_s
        self._tls = tls
        self._headers = {"Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"} if user else {}

    def ask(
        self,
        method: str,
        target: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a request and return its response; an iterable body is sent in chunks."""
        with closing(self.connection()) as connection:
            connection.connect()
            # A request that is refused before all of its body is sent still gets a response.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, target, body, self._headers | dict(headers or {}))
            response = connection.getresponse()
            return Response(response.status, response.headers, response.read())

    def get(self, target: str, **headers: str) -> Response:
        """Send a GET; underscores in names of headers stand for dashes."""
        return self.ask("GET", target, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def head(self, target: str, **headers: str) -> Response:
        """Send a HEAD, with headers as in `get`."""
        return self.ask("HEAD", target, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def connection(self) -> HTTPConnection:
        """Return a connection that is not open yet, for a test that keeps it."""
        if self._tls is not None:
            return HTTPSConnection(self.host, timeout=self._limit_s, context=self._tls)
        return HTTPConnection(self.host, timeout=self._limit_s)

    def socket(self) -> socket.socket:
        """Return an open socket, for a test that writes the bytes itself."""
        address, _, port = self.host.rpartition(":")
        connection = socket.create_connection((address, int(port)), timeout=self._limit_s)
        return connection if self._tls is None else self._tls.wrap_socket(connection, server_hostname=address)

    def raw(self, sent: bytes) -> bytes:
        """Send bytes and return all that the server sends until it closes the connection."""
        with self.socket() as connection:
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(sent)
            return read_all(connection)

    # --- steps that many tests begin with ---

    def begin(self, repository: str) -> str:
        """Begin an upload session and return its location."""
        answer = self.ask("POST", f"/v2/{repository}/blobs/uploads/")
        assert answer.status == 202, answer.body
        location = answer["Location"]
        assert location is not None
        return location

    def push_blob(self, repository: str, content: bytes, algorithm: str = "sha256") -> str:
        """Push a blob in one request and return its digest."""
        digest = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
        answer = self.ask("POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", content, OCTETS)
        assert answer.status == 201, answer.body
        return digest

    def push(self, repository: str, image: Image, *tags: str) -> str:
        """Push an image with its blobs and children, under tags or by digest alone; return its digest."""
        for blob in image.blobs:
            self.push_blob(repository, blob)
        for child in image.children:
            self.push(repository, child)
        for reference in tags or [image.digest]:
            answer = self.put_manifest(repository, reference, image.content, image.media_type)
            assert answer.status == 201, answer.body
        return image.digest

    def put_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> Response:
        """Send a PUT of a manifest."""
        return self.ask("PUT", f"/v2/{repository}/manifests/{reference}", content, {"Content-Type": media_type})

    def tags(self, repository: str) -> list[str]:
        """Return all tags of a repository."""
        answer = self.get(f"/v2/{repository}/tags/list")
        assert answer.status == 200, answer.body
        tags: list[str] = answer.json["tags"]
        return tags


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until the condition is true, or the test's timeout ends it."""
    while not condition():
        time.sleep(0.02)


def read_all(connection: socket.socket) -> bytes:
    """Return the bytes received until the server closes or resets the connection."""
    received = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    return received


def parsed(received: bytes) -> Response:
    """Return the response that these bytes are."""
    head, _, body = received.partition(b"\r\n\r\n")
    first, _, fields = head.partition(b"\r\n")
    return Response(int(first.split()[1]), message_from_bytes(fields), body)
