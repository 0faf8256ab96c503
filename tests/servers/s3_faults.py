"""A proxy before an S3 server that fails as networks and overloaded servers do."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import NamedTuple, Self

from servers.versitygw import S3Server

_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class Fault(Enum):
    """What becomes of a request."""

    SLOW_DOWN = auto()
    """It is refused with 503."""
    RESET = auto()
    """The connection breaks before it is carried out."""
    LATE = auto()
    """The connection breaks, and the request is kept until `deliver`."""


class _Request(NamedTuple):
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes


class FaultyS3:
    """Passes requests to an S3 server, except for those whose method has a fault."""

    def __init__(self, server: S3Server) -> None:
        """Describe the proxy; it starts with the block."""
        self.faults: dict[str, Fault] = {}
        """What requests of a method meet."""
        self.met: list[tuple[str, Fault]] = []
        """Method and fault of each request that met one."""
        self._port = server.port
        self._late: list[_Request] = []
        self._proxy = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._proxy.daemon_threads = True

    @property
    def url(self) -> str:
        """The endpoint of the proxy."""
        return f"http://127.0.0.1:{self._proxy.server_port}"

    def deliver(self) -> list[int]:
        """Send what is late to the server now; return the statuses of the answers."""
        late, self._late = self._late, []
        return [self._send(each)[0] for each in late]

    def __enter__(self) -> Self:
        """Start."""
        threading.Thread(target=self._proxy.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self._proxy.shutdown()
        self._proxy.server_close()

    def _send(self, request: _Request) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers:
                if name.lower() not in {"connection", "expect"}:
                    connection.putheader(name, value)
            connection.putheader("Connection", "close")
            connection.endheaders(request.body)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _meet(self, request: _Request) -> Fault | None:
        fault = self.faults.get(request.method)
        if fault is not None:
            self.met.append((request.method, fault))
        if fault is Fault.LATE:
            self._late.append(request)
        return fault

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65536)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = _Request(self.command, self.path, self.headers.items(), body)
                match proxy._meet(request):
                    case None:
                        self._answer(*proxy._send(request))
                    case Fault.SLOW_DOWN:
                        self._answer(503, [], _SLOW_DOWN)
                    case Fault.RESET | Fault.LATE:
                        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        self.close_connection = True

            def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
                self.send_response_only(status)
                for name, value in headers:
                    is_length = name.lower() == "content-length" and self.command != "HEAD"
                    if not is_length and name.lower() not in {"connection", "transfer-encoding"}:
                        self.send_header(name, value)
                if self.command != "HEAD":
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name
                del format, arguments

        return Handler
