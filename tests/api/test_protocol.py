"""Request bodies are read on demand, and half-closed clients get their answers."""

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from http_client import Client, parsed, read_all, wait_for
from layout.images import sha256
from loopback import ok
from zot.api.body import TransferLimits, iter_chunks
from zot.api.connection import CLIENT_CLOSED_REQUEST, ConnectionLimits, ConnectionServer
from zot.api.http_request import HttpRequest
from zot.api.protocol import HEAD_BYTES, HEADERS_BYTES, HEADERS_BYTES_IF_FULL, ReadBuffers, RegistryProtocol
from zot.testing import RunningRegistry, serve

GET = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"
MANY = 50

Handler = Callable[[HttpRequest], Awaitable[web.StreamResponse]]


# --- clients that close their side ---


def half_closed(client: Client, sent: bytes) -> bytes:
    """Send bytes, end the sending side, and return what comes back."""
    with client.socket() as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        return read_all(connection)


def test_a_half_closed_client_is_answered(registry: Client, repo: str) -> None:
    """Every request that came whole before the client closed its side has its answer, then the connection ends."""
    content = b"content of a blob"
    digest = sha256(content)
    post = f"POST /v2/{repo}/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n"
    post += "Content-Type: application/octet-stream\r\n\r\n"
    get = f"GET /v2/{repo}/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    assert parsed(half_closed(registry, post.encode() + content)).status == 201
    for _ in range(MANY):
        assert parsed(half_closed(registry, get)).body == content
    assert half_closed(registry, get * 5).count(content) == 5


def test_a_large_blob_goes_to_a_half_closed_client(registry: Client, repo: str) -> None:
    """The answer may be longer than what sockets hold."""
    content = bytes(8 << 20)
    digest = registry.push_blob(repo, content)
    get = f"GET /v2/{repo}/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    assert parsed(half_closed(registry, get)).body == content


def test_half_a_request_is_not_answered(registry: Client, repo: str) -> None:
    """Whole requests before it are; what came of its body is kept, as after any broken connection."""
    location = registry.begin(repo)
    broken = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhello".encode()
    assert half_closed(registry, b"GET /v2/ HTTP/1.1\r\nHost") == b""
    assert half_closed(registry, broken) == b""
    wait_for(lambda: registry.get(location)["Range"] == "0-4")
    assert half_closed(registry, GET + GET + broken).count(b"HTTP/1.1 200 ") == 2


def test_a_slow_answer_reaches_a_half_closed_client() -> None:
    """The client may have closed its side long before the answer is known."""

    async def scenario() -> None:
        gone = asyncio.Event()

        async def handler(http: HttpRequest) -> web.StreamResponse:
            await gone.wait()
            return web.Response(text=http.path)

        server, listener = await listening(handler)
        reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
        writer.write(GET)
        writer.write_eof()
        await until(lambda: any(each.ends for each in connections(server)))
        gone.set()
        assert parsed(await reader.read()).body == b"/v2/"
        await closed(writer)
        await stopped(server, listener)

    asyncio.run(scenario())


# --- bodies that are not wanted, or not yet ---


async def listening(handler: Handler) -> tuple[ConnectionServer, asyncio.Server]:
    """A server of one handler."""
    server = ConnectionServer(handler, ConnectionLimits(), [])
    return server, await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)


async def stopped(server: ConnectionServer, listener: asyncio.Server) -> None:
    """End it."""
    listener.close()
    await server.shutdown(1)


def connections(server: ConnectionServer) -> list[RegistryProtocol]:
    """The open connections."""
    return [each for each in server.connections if isinstance(each, RegistryProtocol)]


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close a client's connection, which the server may have reset."""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def until(what: Callable[[], bool]) -> None:
    """Wait until it is so."""
    await asyncio.to_thread(wait_for, what)


async def test_an_unwanted_body_stays_in_the_socket() -> None:
    """While a handler does not read, no more than one small piece of each body is in memory."""
    decided = asyncio.Event()
    came: list[HttpRequest] = []

    async def handler(http: HttpRequest) -> web.StreamResponse:
        came.append(http)
        await decided.wait()
        return web.Response(status=401)

    server, listener = await listening(handler)
    streams = [await asyncio.open_connection(*listener.sockets[0].getsockname()) for _ in range(MANY)]
    for _, writer in streams:
        writer.write(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + bytes(500_000))
    await until(lambda: len(came) == MANY)
    for _ in range(100):  # turns of the loop, in which all of it could be read
        await asyncio.sleep(0)
    assert max(http.content.total_bytes for http in came) <= HEAD_BYTES
    assert 0 < server.buffered_bytes <= MANY * HEAD_BYTES
    decided.set()
    for reader, writer in streams:
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 401 ")
        await closed(writer)
    await until(lambda: not connections(server))
    assert server.buffered_bytes == 0
    await stopped(server, listener)


async def test_long_headers_are_refused_and_not_held() -> None:
    """Headers of a request are bounded in all, counted while they are incomplete, and not held after the refusal."""
    server, listener = await listening(ok)
    reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: %s\r\n" % (b"a" * 20_000))
        await until(lambda: server.buffered_bytes > 20_000)
        writer.writelines(b"X%d: %s\r\n" % (number, b"a" * 20_000) for number in range(HEADERS_BYTES // 20_000))
        assert (await reader.readline()).startswith(b"HTTP/1.1 431 ")
        await until(lambda: not server.buffered_bytes)
    finally:
        await closed(writer)
        await stopped(server, listener)


def test_headers_are_shorter_where_the_process_holds_much() -> None:
    """What the headers of all connections hold together is bounded: a full process takes short ones alone."""
    buffers = ReadBuffers(limit_bytes=1000)
    assert buffers.headers_bytes == HEADERS_BYTES
    buffers.held_bytes = 1000
    assert buffers.headers_bytes == HEADERS_BYTES_IF_FULL


async def test_a_body_is_read_as_it_is_wanted() -> None:
    """Between two pieces nothing is read: a slow handler makes the client wait, and gets every byte in the end."""
    sent = bytes(range(256)) * 16384
    step = asyncio.Semaphore(0)
    received = bytearray()
    came: list[HttpRequest] = []

    async def handler(http: HttpRequest) -> web.StreamResponse:
        came.append(http)
        async for piece in iter_chunks(http, TransferLimits()):
            received.extend(piece)
            await step.acquire()
        return web.Response(text="all")

    server, listener = await listening(handler)
    reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
    writer.write(f"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(sent)}\r\n\r\n".encode() + sent)
    for _ in range(3):
        step.release()
        before = len(received)
        await until(lambda before=before: len(received) > before)  # type: ignore[misc]
        for _ in range(100):
            await asyncio.sleep(0)
        assert came[0].content.total_bytes == len(received)
    for _ in range(len(sent)):
        step.release()
    assert parsed(await reader.readuntil(b"all")).status == 200
    assert received == sent
    assert server.buffered_bytes == 0
    await closed(writer)
    await stopped(server, listener)


# --- clients that hang up, and what is written down of them ---


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry whose log is read."""
    with serve(tmp_path_factory.mktemp("logged") / "content") as running:
        yield running


def lines(running: RunningRegistry) -> list[dict[str, Any]]:
    """What its log says."""
    return [json.loads(line) for line in Path(running.root.parent / "zot.log").read_text().splitlines()]


def hang_up(connection: socket.socket) -> None:
    """Reset the connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("read_first", [1, 4 << 20, 20 << 20])
def test_an_aborted_pull_is_an_access_line(logged: RunningRegistry, read_first: int) -> None:
    """It has the status and the number of bytes that were sent, and nothing else is logged of it."""
    client = Client(logged.host)
    content = bytes(64 << 20)
    digest = client.push_blob("aborted", content)
    path = f"/v2/aborted/blobs/{digest}?{read_first}"
    connection = client.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    received = 0
    while received < read_first:
        received += len(connection.recv(1 << 20))
    hang_up(connection)
    wait_for(lambda: any(line.get("path") == path for line in lines(logged)))
    (line,) = (line for line in lines(logged) if line.get("path") == path)
    assert (line["level"], line["statusCode"]) == ("info", 200)
    assert line["bodySize"] < len(content)
    assert {each["level"] for each in lines(logged)} <= {"info", "debug"}


def test_an_aborted_push_is_an_access_line(logged: RunningRegistry) -> None:
    """A request whose client is gone before it was answered has a status of its own."""
    client = Client(logged.host)
    location = client.begin("aborted")
    connection = client.socket()
    connection.sendall(f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhello".encode())
    wait_for(lambda: client.get(location).status == 204)
    hang_up(connection)
    wait_for(lambda: any(line.get("path") == location and line["method"] == "PATCH" for line in lines(logged)))
    (line,) = (line for line in lines(logged) if line.get("path") == location and line["method"] == "PATCH")
    assert (line["level"], line["statusCode"], line["bodySize"]) == ("info", CLIENT_CLOSED_REQUEST, 0)


# --- refusals of requests whose bodies are still on their way ---


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("PUT", "/none", 404),
        ("POST", "/v2/", 405),
        ("PUT", "/v2/{repo}/manifests/@", 400),
        ("PATCH", "/v2/{repo}/blobs/uploads/none", 404),
        ("OPTIONS", "/v2/", 204),
        ("GET", "/v2/{repo}/blobs/{digest}", 200),
        ("GET", "/livez", 200),
    ],
)
def test_a_connection_is_not_closed_without_a_word(
    registry: Client, repo: str, method: str, target: str, status: int
) -> None:
    """A response to a request whose body was not read says that the connection closes; then it does."""
    digest = registry.push_blob(repo, b"content")
    with closing(registry.connection()) as connection:
        connection.connect()
        connection.putrequest(method, target.format(repo=repo, digest=digest))
        connection.putheader("Content-Length", "1000000")
        connection.endheaders()
        response = connection.getresponse()
        assert (response.status, response.getheader("Connection")) == (status, "close")


def test_a_connection_stays_open_after_a_refusal(registry: Client, repo: str) -> None:
    """Where the whole body has come, a refusal does not cost the connection."""
    head = f"PATCH /v2/{repo}/blobs/uploads/none HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello".encode()
    received = registry.raw(head * 3 + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert received.count(b"HTTP/1.1 404 ") == 3
    assert received.count(b"HTTP/1.1 200 ") == 1
