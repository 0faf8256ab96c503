"""Requests on one connection are told apart by their announced lengths alone, however their bytes arrive."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from http_client import parsed
from zot.api.body import TransferLimits, iter_chunks
from zot.api.connection import ConnectionLimits, ConnectionServer
from zot.api.http_request import HttpRequest

MIB = 1 << 20
LIMIT_S = 30
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# What a body would do if its end were taken to be elsewhere.
SMUGGLED = (
    b"\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\nPUT /smuggled HTTP/1.1\r\nContent-Length: 70000\r\n\r\n"
)


@dataclass(frozen=True)
class Sent:
    """A request, and how much of its body the handler reads before it answers."""

    framing: Literal["length", "chunked"] = "length"
    length: int = 0
    reads: Literal["all", "together", "first", "none"] = "all"
    method: str = "PUT"
    version: str = "1.1"
    header: str = ""

    @property
    def body(self) -> bytes:
        """What it sends, apart from its framing."""
        return (SMUGGLED * (self.length // len(SMUGGLED) + 1))[: self.length]

    @property
    def may_end(self) -> bool:
        """Whether the connection may end with its answer, or before all of it has come."""
        return "close" in self.header or (self.reads in {"first", "none"} and self.length > 0)

    def encoded(self, number: int) -> bytes:
        """The bytes of it."""
        framing = f"Content-Length: {self.length}" if self.framing == "length" else "Transfer-Encoding: chunked"
        head = f"{self.method} /{number} HTTP/{self.version}\r\nHost: x\r\n{self.header}{framing}\r\n\r\n".encode()
        if self.framing == "length":
            return head + self.body
        pieces = [self.body[start : start + 5000] for start in range(0, self.length, 5000)]
        return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


LENGTHS = st.sampled_from([0, 1, 3, 8191, 8192, 8193, 65536, 65537, MIB - 1, MIB, MIB + 1]) | st.integers(0, 20_000)
REQUESTS = st.builds(
    Sent,
    framing=st.sampled_from(["length", "length", "chunked"]),
    length=LENGTHS,
    reads=st.sampled_from(["all", "together", "together", "first", "none"]),
    method=st.sampled_from(["PUT", "PATCH", "GET", "DELETE"]),
    header=st.sampled_from(["", "", "", "Expect: 100-continue\r\n"]),
)
# After which the connection ends: the parser refuses all that comes together with what follows them.
LAST = st.builds(Sent, length=LENGTHS, version=st.just("1.0")) | st.builds(
    Sent, length=LENGTHS, header=st.just("Connection: close\r\n")
)
SEQUENCES = st.builds(
    lambda several, last: [*several, *last], st.lists(REQUESTS, min_size=1, max_size=4), st.lists(LAST, max_size=1)
)


class Handler:
    """Reads as much of each body as its request says, and answers with its digest."""

    def __init__(self, sent: Sequence[Sent]) -> None:
        """Expect these requests, in this order."""
        self._sent = sent
        self.wrong: list[str] = []
        """Paths or bodies that no request has."""

    async def __call__(self, http: HttpRequest) -> web.StreamResponse:
        """Answer one request."""
        number = http.path[1:]
        if not number.isdecimal() or int(number) >= len(self._sent):
            self.wrong.append(http.path)
            return web.Response(status=404)
        sent, body = self._sent[int(number)], bytearray()
        if sent.reads != "none":
            async for piece in iter_chunks(http, TransferLimits(), MIB if sent.reads == "together" else 1):
                body += piece
                if sent.reads == "first":
                    break
        whole = sent.reads in {"all", "together"}
        if body != sent.body and (whole or not sent.body.startswith(body)):
            self.wrong.append(f"{http.path}: {len(body)} bytes")
        return web.Response(text=f"{number} {sha256(body).hexdigest() if whole else ''}")


async def answered(handler: Handler, segments: Sequence[bytes]) -> tuple[list[str], int]:
    """Send the segments one by one; return what was answered, and how many bytes the server holds afterwards."""
    loop = asyncio.get_running_loop()
    server = ConnectionServer(handler, ConnectionLimits(), [])
    client, accepted = socket.socketpair()
    with client:
        client.setblocking(False)
        await loop.connect_accepted_socket(server, accepted)
        received = bytearray()

        async def receive() -> None:
            try:
                while data := await loop.sock_recv(client, MIB):
                    received.extend(data)
            except ConnectionError:  # it was closed with bytes of a body that was not read
                return

        async def send() -> None:
            try:
                for segment in segments:
                    await loop.sock_sendall(client, segment)
                    for _ in range(4):  # turns of the loop in which the server may read it
                        await asyncio.sleep(0)
                client.shutdown(socket.SHUT_WR)
            except OSError:  # it was closed
                return

        async with asyncio.timeout(LIMIT_S):
            await asyncio.gather(receive(), send())
        await server.shutdown(1)
    return texts(bytes(received)), server.buffered_bytes


def texts(received: bytes) -> list[str]:
    """The bodies of the responses."""
    found, rest = [], received.replace(CONTINUE, b"")
    while rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        response = parsed(head + b"\r\n\r\n")
        length = int(response["Content-Length"] or 0)
        found.append(f"{response.status} {rest[:length].decode()}")
        rest = rest[length:]
    return found


@settings(max_examples=60)
@given(SEQUENCES, st.data())
def test_each_request_gets_its_own_body(sent: list[Sent], data: st.DataObject) -> None:
    """No byte of a body is taken for a request, no request for a body's bytes, none is lost or held indefinitely."""
    stream = b"".join(each.encoded(number) for number, each in enumerate(sent))
    # Near the borders of a request's parts, and anywhere.
    borders = [len(b"".join(each.encoded(n) for n, each in enumerate(sent[:count]))) for count in range(len(sent) + 1)]
    borders += [stream.index(b"\r\n\r\n", start) + 4 for start in borders[:-1]]
    near = st.builds(
        lambda border, off: min(max(border + off, 0), len(stream)), st.sampled_from(borders), st.integers(-3, 3)
    )
    cuts = sorted(data.draw(st.lists(near | st.integers(0, len(stream)), max_size=12)))
    segments = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True) if start < end]
    check(sent, segments)


@settings(max_examples=25)
@given(st.integers(1, 40), st.sampled_from(["all", "together", "first", "none"]))
def test_bodies_that_come_byte_by_byte(length: int, reads: Literal["all", "together", "first", "none"]) -> None:
    """Also where each segment has one byte of a head or a body."""
    sent = [Sent(length=length, reads=reads), Sent(length=length), Sent()]
    stream = b"".join(each.encoded(number) for number, each in enumerate(sent))
    check(sent, [stream[start : start + 1] for start in range(len(stream))])


def check(sent: Sequence[Sent], segments: Sequence[bytes]) -> None:
    """Send the segments, and compare the answers with those of a model."""
    handler = Handler(sent)
    answers, held_bytes = asyncio.run(answered(handler, segments))
    expected = [
        f"200 {number} {sha256(each.body).hexdigest() if each.reads in {'all', 'together'} else ''}"
        for number, each in enumerate(sent)
    ]
    assert handler.wrong == []
    assert held_bytes == 0
    assert answers == expected[: len(answers)]
    last = next((number for number, each in enumerate(sent) if each.may_end), len(sent) - 1)
    assert len(answers) >= last
    if not any(each.may_end for each in sent):
        assert answers == expected
