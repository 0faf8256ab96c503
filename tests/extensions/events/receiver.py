"""An HTTP receiver of events that records what it gets, and answers as a test wants."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Answer = Callable[["Received"], int]
"""Returns the status for a request; it may wait, or add headers to `Received.answer_headers`."""


@dataclass(frozen=True)
class Received:
    """A request."""

    path: str
    headers: Message
    body: bytes
    answer_headers: dict[str, str]

    @property
    def data(self) -> dict[str, Any]:
        """The body."""
        data: dict[str, Any] = json.loads(self.body)
        return data

    @property
    def id(self) -> str:
        """The id of the event."""
        return str(self.headers["Ce-Id"])

    @property
    def image(self) -> str:
        """`name:reference` of the event."""
        return f"{self.data['name']}:{self.data.get('reference', '')}"


class Receiver:
    """A server on a free port of the loopback address, in threads of this process."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        """Describe it; `received` has all requests, `accepted` those that were answered with 2xx."""
        self.received: list[Received] = []
        self.accepted: list[Received] = []
        self.answer: Answer = lambda _: 204
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                request = Received(self.path, self.headers, self.rfile.read(length), {})
                receiver.received.append(request)
                status = receiver.answer(request)
                if 200 <= status < 300:
                    receiver.accepted.append(request)
                self.send_response(status)
                for name, value in {**request.answer_headers, "Content-Length": "0"}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign] # a sender that is killed
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.port: int = self._server.server_address[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}/events"

    @property
    def images(self) -> list[str]:
        """What the accepted events are about, in their order, each event once."""
        return [each.image for each in {each.id: each for each in self.accepted}.values()]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
