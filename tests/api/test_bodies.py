"""Bodies of a known length pass by the parser: where they end, and what follows them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web

from http_client import parsed
from zot.api.body import SlowClientError, TransferLimits, iter_chunks
from zot.api.connection import DRAINED_BYTES, ConnectionLimits, ConnectionServer
from zot.api.http_request import HttpRequest
from zot.api.protocol import HEAD_BYTES

GET = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"
MIB = 1 << 20

Handler = Callable[[HttpRequest], Awaitable[web.StreamResponse]]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Received:
    """A handler that reads whole bodies, and remembers them."""

    def __init__(self, together_bytes: int = 1, limits: TransferLimits | None = None) -> None:
        """Read with these limits."""
        self.bodies: list[bytearray] = []
        self.pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._together_bytes = together_bytes
        self._limits = limits or TransferLimits()

    async def __call__(self, http: HttpRequest) -> web.StreamResponse:
        """Answer with the path and the length of the body."""
        body = bytearray()
        self.bodies.append(body)
        try:
            async for piece in iter_chunks(http, self._limits, self._together_bytes):
                body += piece
                self.pieces.put_nowait(piece)
        except BaseException as error:
            self.failed.set_result(error)
            raise
        return web.Response(text=f"{http.path} {len(body)}")


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Streams]:
    """Serve one connection of a client."""
    server = ConnectionServer(handler, ConnectionLimits(), [])
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
    try:
        yield reader, writer
        assert server.buffered_bytes == 0
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        listener.close()
        await server.shutdown(1)


def put(length: int) -> bytes:
    """The head of a request with a body of that length."""
    return f"PUT /body HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The next response's status and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    response = parsed(head)
    return response.status, await reader.readexactly(int(response["Content-Length"] or 0))


@pytest.mark.parametrize("together_bytes", [1, MIB])
@pytest.mark.parametrize("length", [1, HEAD_BYTES, HEAD_BYTES + 1, 100_000, 3 * MIB + 17])
async def test_a_request_follows_a_body(length: int, together_bytes: int) -> None:
    """It may be sent with the body or after its answer, and begins where the announced length ends."""
    received = Received(together_bytes)
    body = (GET * (length // len(GET) + 1))[:length]  # no byte of it is taken for a request
    async with serving(received) as (reader, writer):
        for _ in range(2):
            writer.write(put(length) + body + put(length) + body + GET)
            assert await answer(reader) == (200, b"/body %d" % length)
            assert await answer(reader) == (200, b"/body %d" % length)
            assert await answer(reader) == (200, b"/next 0")
    assert received.bodies == [body, body, b""] * 2


@pytest.mark.parametrize("together_bytes", [1, MIB])
async def test_a_body_in_small_parts(together_bytes: int) -> None:
    """Wherever a client pauses, also between the last byte and the next request, nothing is lost or added."""
    received = Received(together_bytes)
    body = bytes(range(256)) * 40
    sent = put(len(body)) + body + put(3) + b"abc" + GET
    async with serving(received) as (reader, writer):
        for start in range(0, len(sent), 311):
            writer.write(sent[start : start + 311])
            await asyncio.sleep(0.001)
        answers = [await answer(reader) for _ in range(3)]
    assert answers == [(200, b"/body %d" % len(body)), (200, b"/body 3"), (200, b"/next 0")]
    assert received.bodies == [body, b"abc", b""]


async def test_more_bytes_than_announced_are_the_next_request() -> None:
    """They are not the body's, and are refused if they are no request."""
    received = Received(MIB)
    async with serving(received) as (reader, writer):
        writer.write(put(100_000) + bytes(100_000) + b"no request\r\n\r\n")
        assert await answer(reader) == (200, b"/body 100000")
        assert (await answer(reader))[0] == 400
    assert [len(body) for body in received.bodies] == [100_000]


@pytest.mark.parametrize("sent", [0, 10, HEAD_BYTES, 100_000, MIB - 1])
async def test_the_bytes_of_a_body_that_ends_short_are_returned_first(sent: int) -> None:
    """Then the iteration fails: it does not end as if the body were whole."""
    received = Received(MIB)
    async with serving(received) as (reader, writer):
        writer.write(put(MIB) + bytes(sent))
        writer.write_eof()
        assert await reader.read() == b""
        assert isinstance(await received.failed, ConnectionError)
    assert len(received.bodies[0]) == sent


async def test_the_bytes_of_a_client_that_stalls_are_returned_first() -> None:
    """They are the application's before the connection is given up."""
    received = Received(MIB, TransferLimits(sending_idle_s=0.2))
    async with serving(received) as (reader, writer):
        writer.write(put(MIB) + bytes(100_000))
        assert await reader.read() == b""
        assert isinstance(await received.failed, SlowClientError)
    assert len(received.bodies[0]) == 100_000


async def test_the_bytes_of_a_slow_client_are_handed_over_as_they_come() -> None:
    """They do not wait until there are many of them."""
    received = Received(MIB)
    async with serving(received) as (_, writer):
        writer.write(put(MIB))
        while received.pieces.empty():
            writer.write(b"a")
            await asyncio.sleep(0.01)
        assert received.pieces.qsize() < 1000
        writer.write_eof()
        await received.failed


@pytest.mark.parametrize("length", [HEAD_BYTES * 2, DRAINED_BYTES])
async def test_a_body_is_dropped_whose_handler_stopped_reading(length: int) -> None:
    """A short one's rest is read and dropped, and the connection serves the next request."""

    async def handler(http: HttpRequest) -> web.StreamResponse:
        async for piece in iter_chunks(http, TransferLimits()):
            return web.Response(text=f"{http.path} {bool(piece)}")
        return web.Response(text=http.path)

    async with serving(handler) as (reader, writer):
        for _ in range(3):
            writer.write(put(length) + GET * 2)
            assert await answer(reader) == (200, b"/body True")
            writer.write(bytes(length - len(GET) * 2) + GET)
            assert await answer(reader) == (200, b"/next")


async def test_a_long_body_whose_handler_stopped_reading_ends_the_connection() -> None:
    """No byte of its rest is taken for a request."""
    stopped = asyncio.Event()

    async def handler(http: HttpRequest) -> web.StreamResponse:
        async for _ in iter_chunks(http, TransferLimits()):
            stopped.set()
            return web.Response(status=400)
        raise AssertionError(http.path)

    async with serving(handler) as (reader, writer):
        writer.write(put(MIB) + bytes(HEAD_BYTES))
        await stopped.wait()
        writer.write(GET * 1000)
        assert (await answer(reader))[0] == 400
        with suppress(ConnectionError):
            assert await reader.read() == b""
