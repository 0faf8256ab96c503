"""Large bodies by threads: the same bytes over plain connections and TLS, also to clients that are slow or gone."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import web

from certificates import Authority
from http_client import parsed, wait_for
from zot.api import blob_stream, sending_threads
from zot.api.body import TransferLimits, read_limited
from zot.api.connection import ConnectionLimits, ConnectionServer
from zot.api.http_request import HttpRequest
from zot.oci.digest import digest_of
from zot.oci.names import parse_repository
from zot.oci.ranges import ByteRange
from zot.processes.acceptor import Acceptor
from zot.processes.listeners import listen
from zot.storage.filesystem import FilesystemStorage
from zot.storage.threads import ThreadPools

APP = parse_repository("app")
MIB = 1024 * 1024
CONTENT = os.urandom(MIB) * 20 + b"the end"
DIGEST = digest_of(CONTENT)
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
UPLOAD_BYTES = 3 * MIB


def drain(connection: socket.socket) -> bytes:
    """Return what the server sends until it closes or resets the connection."""
    received = bytearray()
    with suppress(ConnectionResetError, ssl.SSLError):
        while piece := connection.recv(MIB):
            received += piece
    return bytes(received)


class Site:
    """A server that sends CONTENT, or what was pushed to it, over TLS or not."""

    def __init__(self, address: tuple[str, int], server: ConnectionServer, trusting: ssl.SSLContext | None) -> None:
        self._address = address
        self._trusting = trusting
        self.server = server

    def connect(self) -> socket.socket:
        """Open a connection with a small receive buffer, so that the server's socket is soon full."""
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        connection.settimeout(30)
        connection.connect(self._address)
        return connection if self._trusting is None else self._trusting.wrap_socket(connection, server_hostname="x")

    async def ask(self, sent: bytes, reads: Callable[[socket.socket], bytes] = drain) -> bytes:
        """Send a request and return what `reads` makes of the connection, in a thread."""

        def exchange() -> bytes:
            with self.connect() as connection:
                connection.sendall(sent)
                return reads(connection)

        return await asyncio.to_thread(exchange)


@pytest.fixture(params=["plain", "TLS 1.2", "TLS 1.3"])
async def site(request: pytest.FixtureRequest, tmp_path: Path, authority: Authority) -> AsyncIterator[Site]:
    """Serve CONTENT from a file."""
    served, trusting = None, None
    if request.param != "plain":
        served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        served.load_cert_chain(authority.folder / "server.pem", authority.folder / "server.key")
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname = False
        trusting.load_verify_locations(authority.path)
        trusting.maximum_version = (
            ssl.TLSVersion.TLSv1_2 if request.param == "TLS 1.2" else ssl.TLSVersion.MAXIMUM_SUPPORTED
        )
    async with serving(tmp_path, served, trusting) as site:
        yield site


@asynccontextmanager
async def serving(root: Path, served: ssl.SSLContext | None, trusting: ssl.SSLContext | None) -> AsyncIterator[Site]:
    """Serve until the end of the `async with`; then no thread may be left behind."""
    pools, limits = ThreadPools(), TransferLimits(taking_idle_s=10.0)
    storage = FilesystemStorage(str(root), pools, min_free_percent=0, min_free_bytes=0)
    await storage.put(APP, DIGEST, CONTENT)

    async def handle(http: HttpRequest) -> web.StreamResponse:
        if http.method == "PUT":
            return web.Response(body=await read_limited(http, limits, UPLOAD_BYTES))
        content = await storage.open(APP, DIGEST)
        try:
            ranges = [ByteRange(5, 5 * MIB), ByteRange(7 * MIB, 12 * MIB)] if "Range" in http.headers else None
            headers = {"Content-Type": "application/octet-stream"}
            return await blob_stream.send(http, content, ranges, headers, limits)
        finally:
            content.close()

    # Other servers of this process, such as those that tests share, have such threads, too.
    others = _sending_threads()
    (listener,) = listen("127.0.0.1", 0, 1)
    server = ConnectionServer(handle, ConnectionLimits(), [])
    acceptor = Acceptor(server, listener, served, 5.0)
    acceptor.start()
    yield Site(listener.getsockname(), server, trusting)
    acceptor.stop()
    listener.close()
    await server.shutdown(1)
    pools.close()
    assert _sending_threads() <= others


def _sending_threads() -> set[int | None]:
    return {each.ident for each in threading.enumerate() if each.name.startswith("zot-send")}


@pytest.fixture
def bursts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The length asked for and the length sent of each burst."""
    seen: list[tuple[int, int]] = []
    send = sending_threads.SendingThreads.send

    async def recorded(
        threads: sending_threads.SendingThreads, http: HttpRequest, descriptor: int, offset: int, length: int
    ) -> int:
        sent = await send(threads, http, descriptor, offset, length)
        seen.append((length, sent))
        return sent

    monkeypatch.setattr(sending_threads.SendingThreads, "send", recorded)
    return seen


async def test_a_thread_sends_large_content(site: Site, bursts: list[tuple[int, int]]) -> None:
    """A client that reads gets every byte, in bursts of bounded length."""
    assert parsed(await site.ask(REQUEST)).body == CONTENT
    assert sum(sent for _, sent in bursts) > 0
    assert max(asked for asked, _ in bursts) == sending_threads.BURST_BYTES


async def test_a_client_that_pauses_is_left_to_the_event_loop(
    site: Site, bursts: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread does not wait for a client that takes nothing; when it reads again, every byte comes, in order."""
    monkeypatch.setattr(sending_threads, "_PATIENCE_MS", 1)
    given_up = threading.Event()

    def pausing(connection: socket.socket) -> bytes:
        while not any(sent < asked for asked, sent in bursts):
            given_up.wait(0.01)
        return drain(connection)

    assert parsed(await site.ask(REQUEST, pausing)).body == CONTENT


async def test_threads_send_several_ranges(site: Site) -> None:
    """Each range comes whole, in its part."""
    body = parsed(await site.ask(REQUEST.replace(b"\r\n\r\n", b"\r\nRange: x\r\n\r\n"))).body
    for part in (CONTENT[5 : 5 * MIB], CONTENT[7 * MIB : 12 * MIB]):
        assert part in body


async def test_busy_threads_hold_up_no_stream(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """More streams than threads are sent at once, the others by the event loop."""
    monkeypatch.setattr(sending_threads, "_PATIENCE_MS", 1)
    answers = await asyncio.gather(*(site.ask(REQUEST) for _ in range(2 * sending_threads._THREADS)))
    assert all(parsed(each).body == CONTENT for each in answers)


async def test_a_client_that_goes_away_ends_its_response(site: Site) -> None:
    """The connection is closed, and the next client is served."""

    def leaving(connection: socket.socket) -> bytes:
        return connection.recv(100_000)

    assert b"200 OK" in await site.ask(REQUEST, leaving)
    await asyncio.to_thread(wait_for, lambda: not site.server.connections)
    assert parsed(await site.ask(REQUEST)).body == CONTENT


async def test_a_body_is_received_and_returned(site: Site) -> None:
    """Both directions of a connection carry large bodies, in as many pieces as they come in."""
    pushed = CONTENT[:UPLOAD_BYTES]
    head = b"PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(pushed)
    assert parsed(await site.ask(head + pushed)).body == pushed


async def test_requests_on_one_connection(site: Site) -> None:
    """After a body by a thread the event loop reads the connection's next request."""

    def twice(connection: socket.socket) -> bytes:
        received = bytearray()
        while len(received) < len(CONTENT) or not received.endswith(b"the end"):
            received += connection.recv(MIB)
        connection.sendall(REQUEST)
        return bytes(received) + drain(connection)

    both = await site.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", twice)
    assert both.count(b"HTTP/1.1 200 OK") == 2
    assert both.endswith(CONTENT)


async def test_a_file_that_ends_early_ends_the_connection(site: Site, tmp_path: Path) -> None:
    """A response that cannot be finished ends short of the announced length."""
    path = tmp_path / "app" / "blobs" / DIGEST.replace(":", "/")

    def cutting(connection: socket.socket) -> bytes:
        first = connection.recv(1000)
        os.truncate(path, 18 * MIB)
        return first + drain(connection)

    received = parsed(await site.ask(REQUEST, cutting))
    assert received["Content-Length"] == str(len(CONTENT))
    assert 0 < len(received.body) < len(CONTENT)
