"""Ask a registry over HTTP as a test sees fit: nothing is normalised, nothing is followed, nothing is tried again."""

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
class Answer:
    """What came back."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str]:
        """Status and code of a refusal; AssertionError unless it has the specification's form."""
        (error,) = self.json["errors"]
        assert set(error) == {"code", "message", "detail"}
        assert error["detail"]["description"]
        return self.status, error["code"]

    @property
    def detail(self) -> dict[str, str]:
        """What a refusal says about the case."""
        detail: dict[str, str] = self.json["errors"][0]["detail"]
        return detail

    def __getitem__(self, header: str) -> str | None:
        """A header's value."""
        return self.headers[header]


class Client:
    """Asks one registry, over a connection of its own each time."""

    def __init__(
        self, host: str, tls: ssl.SSLContext | None = None, user: str = "", *, limit_s: float = LIMIT_S
    ) -> None:
        """Take `address:port`, what it is verified by if it speaks TLS, and `name:password` of whoever asks."""
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
    ) -> Answer:
        """Send a request and return the answer; a body that is no bytes is sent in chunks, as it comes."""
        with closing(self.connection()) as connection:
            connection.connect()
            # What is refused before all of it was sent has its answer all the same.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, target, body, self._headers | dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())

    def get(self, target: str, **headers: str) -> Answer:
        """GET; underscores in names of headers are dashes."""
        return self.ask("GET", target, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def head(self, target: str, **headers: str) -> Answer:
        """HEAD, as `get`."""
        return self.ask("HEAD", target, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def connection(self) -> HTTPConnection:
        """Make a connection, for a test that wants to hold it."""
        if self._tls is not None:
            return HTTPSConnection(self.host, timeout=self._limit_s, context=self._tls)
        return HTTPConnection(self.host, timeout=self._limit_s)

    def socket(self) -> socket.socket:
        """Open a connection for a test that writes the bytes itself."""
        address, _, port = self.host.rpartition(":")
        connection = socket.create_connection((address, int(port)), timeout=self._limit_s)
        return connection if self._tls is None else self._tls.wrap_socket(connection, server_hostname=address)

    def raw(self, sent: bytes) -> bytes:
        """Send bytes and return all that comes back until the other side closes."""
        with self.socket() as connection:
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(sent)
            return read_all(connection)

    # --- what tests need before they can begin ---

    def begin(self, repository: str) -> str:
        """Open an upload session and return its location."""
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
        """Push an image with what it names, under tags or by digest alone, and return its digest."""
        for blob in image.blobs:
            self.push_blob(repository, blob)
        for child in image.children:
            self.push(repository, child)
        for reference in tags or [image.digest]:
            answer = self.put_manifest(repository, reference, image.content, image.media_type)
            assert answer.status == 201, answer.body
        return image.digest

    def put_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> Answer:
        """PUT a manifest."""
        return self.ask("PUT", f"/v2/{repository}/manifests/{reference}", content, {"Content-Type": media_type})

    def tags(self, repository: str) -> list[str]:
        """All tags of a repository."""
        answer = self.get(f"/v2/{repository}/tags/list")
        assert answer.status == 200, answer.body
        tags: list[str] = answer.json["tags"]
        return tags


def wait_for(what: Callable[[], bool]) -> None:
    """Wait until it is so; the run's own limit ends it otherwise."""
    while not what():
        time.sleep(0.02)


def read_all(connection: socket.socket) -> bytes:
    """Read until the other side closes, orderly or not."""
    received = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    return received


def parsed(received: bytes) -> Answer:
    """Parse one answer as it came over the wire."""
    head, _, body = received.partition(b"\r\n\r\n")
    first, _, fields = head.partition(b"\r\n")
    return Answer(int(first.split()[1]), message_from_bytes(fields), body)
