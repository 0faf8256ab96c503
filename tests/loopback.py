"""A handler behind a real connection on the loopback, with its observers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from zot.api.completed_requests import Observe
from zot.api.connection import ConnectionLimits, ConnectionServer
from zot.api.http_request import CompleteResponse, Handler, HttpRequest


@dataclass(frozen=True)
class LoopbackResponse:
    """A status, headers and a body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class LoopbackServer:
    """Serves a handler on the loopback, or on a Unix socket, and sends requests to it."""

    def __init__(
        self, handler: Handler, observers: tuple[Observe, ...], where: str, add_headers: CompleteResponse
    ) -> None:
        self._server = ConnectionServer(handler, ConnectionLimits(), observers, add_headers)
        self._where = where
        self._listener: asyncio.Server | None = None

    async def start(self) -> None:
        """Start to listen."""
        loop = asyncio.get_running_loop()
        if self._where.startswith("/"):
            self._listener = await loop.create_unix_server(self._server, self._where)
        else:
            self._listener = await loop.create_server(self._server, self._where, 0)

    @property
    def host(self) -> tuple[str, int]:
        """The address and port, if it does not listen on a Unix socket."""
        assert self._listener is not None
        address: tuple[str, int] = self._listener.sockets[0].getsockname()[:2]
        return address

    async def ask(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> LoopbackResponse:
        """Send a request over a new connection; return its response after the observers have seen it."""
        if self._where.startswith("/"):
            reader, writer = await asyncio.open_unix_connection(self._where)
        else:
            reader, writer = await asyncio.open_connection(*self.host)
        lines = [f"{method} {target} HTTP/1.1", "Connection: close", f"Content-Length: {len(body)}"]
        fields = {"Host": "registry.example"} | dict(headers or {})
        lines += [f"{name}: {value}" for name, value in fields.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body)
        received = await reader.read()
        self._server.flush()
        writer.close()
        await writer.wait_closed()
        head, _, content = received.partition(b"\r\n\r\n")
        first, *rest = head.decode().split("\r\n")
        return LoopbackResponse(
            int(first.split()[1]), {k.title(): v for k, _, v in (each.partition(": ") for each in rest)}, content
        )

    async def close(self) -> None:
        """Stop listening."""
        assert self._listener is not None
        self._listener.close()
        await self._server.shutdown(1)


@asynccontextmanager
async def serve_handler(
    handler: Handler,
    *observers: Observe,
    where: str = "127.0.0.1",
    add_headers: CompleteResponse = lambda _http, _response: None,
) -> AsyncIterator[LoopbackServer]:
    """Serve a handler on an address, or the path of a Unix socket, until the end of the `async with`."""
    opened = LoopbackServer(handler, observers, where, add_headers)
    await opened.start()
    yield opened
    await opened.close()


async def ok(http: HttpRequest) -> web.StreamResponse:
    """Answer every request with 200 and five bytes."""
    del http
    return web.Response(text="hello")
