"""Connections: what a client may do to one, byte by byte."""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from http_client import Client, Response, parsed, read_all, wait_for
from layout.images import sha256
from loopback import ok
from zot.api import body
from zot.api.connection import ConnectionLimits, ConnectionServer
from zot.testing import RunningRegistry, serve

GET = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n"
PIECE = b"x" * 65536


def answers(received: bytes) -> list[Response]:
    """Split what came over one connection into its answers, by their lengths."""
    found = []
    while received:
        answer = parsed(received)
        length = int(answer["Content-Length"] or 0)
        head = received.index(b"\r\n\r\n") + 4
        found.append(Response(answer.status, answer.headers, received[head : head + length]))
        received = received[head + length :]
    return found


def drop(connection: socket.socket) -> bytes:
    """What comes until the other side closes, which it has to do."""
    with connection:
        return read_all(connection)


def sends_until_dropped(connection: socket.socket, piece: Callable[[int], bytes], pause_s: float = 0) -> None:
    """Send pieces until the other side has closed; AssertionError if it takes a thousand of them."""
    for number in range(1000):
        try:
            connection.sendall(piece(number))
        except (BrokenPipeError, ConnectionResetError):
            return
        time.sleep(pause_s)
    raise AssertionError("never dropped")


# --- what is no HTTP ---


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"BREW /v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost x\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\n: x\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=lambda sent: repr(sent[:24]),
)
def test_garbage_is_answered_400(registry: Client, sent: bytes) -> None:
    """Bytes that are no request get 400 in the form of every other error, and the connection is closed."""
    answer = parsed(registry.raw(sent))
    assert answer.error[0] == 400
    assert b"Traceback" not in answer.body


@pytest.mark.parametrize(("target", "status"), [("/v2/", 200), ("", 404), ("?n=1", 404), ("/v2/no/tags/list?n=1", 404)])
def test_a_target_may_be_a_url(registry: Client, target: str, status: int) -> None:
    """What is asked of a server as proxies are asked is answered for its path."""
    for scheme in ("http", "HTTPS"):
        sent = f"GET {scheme}://{registry.host}{target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert parsed(registry.raw(sent.encode())).status == status


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=200) | st.binary(max_size=100).map(lambda some: GET + some + b"\r\n\r\n"))
def test_any_bytes_are_survived(registry: Client, sent: bytes) -> None:
    """Whatever bytes a client sends and then is silent, it is answered or dropped, never by a 5xx."""
    with registry.socket() as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        received = read_all(connection)
    assert not received or received.startswith(b"HTTP/1.")
    assert not received.startswith(b"HTTP/1.1 5")
    assert registry.get("/livez").status == 200


# --- smuggling: a message whose end two programs may see in two places ---


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5, 6\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length : 5\r\n",
        b"Content-Length: 5\r\n Folded: x\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding\x0b: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_a_message_has_one_end(registry: Client, headers: bytes) -> None:
    """Requests that a proxy in front may read in another way are refused, and what follows is not a request."""
    smuggled = b"GET /v2/smuggled/tags/list HTTP/1.1\r\nHost: x\r\n\r\n"
    sent = b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n0\r\n\r\n" + smuggled
    received = answers(registry.raw(sent))
    assert [answer.status for answer in received] == [400]


@pytest.mark.parametrize("chunk", [b"5;x\r\nhello\r\n", b"05\r\nhello\r\n"])
def test_unusual_chunks_are_read(registry: Client, repo: str, chunk: bytes) -> None:
    """Extensions and zeros of a chunk's size are allowed (RFC 9112, 7.1)."""
    location = registry.begin(repo)
    head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    assert parsed(registry.raw(head + chunk + b"0\r\n\r\n"))["Range"] == "0-4"


@pytest.mark.parametrize("chunk", [b"5\nhello\r\n", b"-5\r\nhello\r\n", b"5\r\nhellooo\r\n", b"0x5\r\nhello\r\n"])
def test_broken_chunks_end_the_request(registry: Client, repo: str, chunk: bytes) -> None:
    """A body whose chunks are malformed is refused; what was read of it before may stay, and nothing else."""
    location = registry.begin(repo)
    head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    received = registry.raw(head + chunk + b"0\r\n\r\n")
    assert received == b"" or parsed(received).status == 400
    assert registry.get(location)["Range"] in {"0-0", "0-4"}


# --- sizes ---


def test_headers_have_a_size(registry: Client) -> None:
    """A long request line or header, or too many headers, is 400; what the limits allow passes."""
    assert parsed(registry.raw(GET + b"Connection: close\r\nX: " + b"a" * 32_000 + b"\r\n\r\n")).status == 200
    for sent in (
        GET + b"X: " + b"a" * 33_000 + b"\r\n\r\n",
        b"GET /v2/" + b"a" * 33_000 + b"/tags/list HTTP/1.1\r\nHost: x\r\n\r\n",
        GET + b"".join(b"X-%d: a\r\n" % number for number in range(200)) + b"\r\n",
    ):
        assert parsed(registry.raw(sent)).error[0] == 400


def test_headers_that_never_end_are_not_kept(registry: Client) -> None:
    """A header that goes on and on is refused long before it takes memory."""
    with registry.socket() as connection:
        connection.sendall(GET + b"X: ")
        sends_until_dropped(connection, lambda _: PIECE)


# --- several requests on one connection ---


def test_requests_may_follow_each_other_at_once(registry: Client, repo: str) -> None:
    """Pipelined requests are answered each, in their order, uploads among them."""
    digest = sha256(b"hello")
    sent = b"".join(
        [
            GET + b"\r\n",
            f"POST /v2/{repo}/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\n".encode(),
            b"Content-Length: 5\r\n\r\nhello",
            f"GET /v2/{repo}/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
            f"GET /v2/{repo}/blobs/x HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
            GET + b"Connection: close\r\n\r\n",
        ]
    )
    received = answers(registry.raw(sent))
    assert [answer.status for answer in received] == [200, 201, 200, 400, 200]
    assert received[2].body == b"hello"


def test_a_flood_of_requests_is_answered_in_turn(registry: Client) -> None:
    """Hundreds of requests sent at once are answered one after the other, none is lost."""
    sent = (GET + b"\r\n") * 300 + GET + b"Connection: close\r\n\r\n"
    assert [answer.status for answer in answers(registry.raw(sent))] == [200] * 301


def test_an_upgrade_is_not_taken(registry: Client) -> None:
    """Who asks for another protocol is answered in this one, and so is what follows."""
    asked = GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n"
    with registry.socket() as connection:
        connection.sendall(asked)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        connection.sendall(GET + b"Connection: close\r\n\r\n")
        assert parsed(read_all(connection)).status == 200


def test_answers_do_not_say_what_they_are_made_with(registry: Client) -> None:
    """No version of a language or library is told to those who look for holes in it."""
    for answer in (registry.get("/v2/"), registry.get("/none"), parsed(registry.raw(b"hello\r\n\r\n"))):
        assert answer["Server"] == "zot"


def test_old_clients_are_answered(registry: Client) -> None:
    """HTTP/1.0 without a host is answered, and the connection closed."""
    answer = parsed(registry.raw(b"GET /v2/ HTTP/1.0\r\n\r\n"))
    assert answer.status == 200


# --- clients that are slow, or stop ---


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry that waits for nobody longer than a second."""
    limits = {"headerTimeout": "500ms", "idleTimeout": "500ms"}
    http = {"readTimeout": "1s", "writeTimeout": "1s", "limits": limits}
    with serve(tmp_path_factory.mktemp("hasty") / "content", {"http": http}) as running:
        yield running


@pytest.fixture
def impatient(hasty: RunningRegistry) -> Client:
    """Its client."""
    return Client(hasty.host)


@pytest.mark.parametrize("sent", [b"", b"G", b"GET /v2/ HTTP/1.1\r\nHost", GET])
def test_half_a_head_is_dropped(impatient: Client, sent: bytes) -> None:
    """Who does not come to the end of a request's headers is dropped, even if nothing at all was sent."""
    connection = impatient.socket()
    connection.sendall(sent)
    assert drop(connection) == b""


def test_silence_is_dropped_in_the_time_for_headers(tmp_path: Path) -> None:
    """A connection that never sends a byte is not an idle one: it has the time for headers, from its start."""
    limits = {"headerTimeout": "100ms", "idleTimeout": "1h"}
    with serve(tmp_path / "content", {"http": {"limits": limits}}) as running:
        client = Client(running.host)
        used = client.socket()
        used.sendall(GET + b"\r\n")
        assert used.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert drop(client.socket()) == b""
        used.sendall(GET + b"Connection: close\r\n\r\n")
        assert parsed(drop(used)).status == 200


def test_a_head_that_comes_drop_by_drop_is_dropped(impatient: Client) -> None:
    """The time for the headers is one for all of them: a byte now and then does not prolong it."""
    with impatient.socket() as connection:
        connection.sendall(b"GET /v2/ HTTP/1.1\r\n")
        sends_until_dropped(connection, lambda number: b"X-%d: a\r\n" % number, pause_s=0.05)


def test_an_idle_connection_is_closed(impatient: Client) -> None:
    """Between two requests a connection is kept for a while only."""
    connection = impatient.socket()
    connection.sendall(GET + b"\r\n")
    assert [answer.status for answer in answers(drop(connection))] == [200]


def test_a_body_that_stops_is_dropped(impatient: Client) -> None:
    """A client that sends no more of its body is dropped, and what came is kept to go on from."""
    location = impatient.begin("stops")
    connection = impatient.socket()
    connection.sendall(f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n".encode() + b"x" * 5000)
    assert drop(connection) == b""
    wait_for(lambda: impatient.get(location)["Range"] == "0-4999")


def test_a_slow_body_passes(impatient: Client) -> None:
    """The limit is on time without progress: an upload may take as long as it takes."""
    location = impatient.begin("slow")
    with impatient.socket() as connection:
        head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 40960\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode())
        for _ in range(10):
            connection.sendall(b"x" * 4096)
            time.sleep(0.15)
        assert parsed(read_all(connection))["Range"] == "0-40959"


def test_a_reader_that_stops_is_dropped(impatient: Client) -> None:
    """A client that takes no more of its answer is dropped; it sees that the content is not whole."""
    content = os.urandom(16 * 1024 * 1024)
    digest = impatient.push_blob("big", content)
    with impatient.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.sendall(f"GET /v2/big/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        time.sleep(3)
        assert len(read_all(connection)) < len(content)


def test_a_slow_reader_gets_all_of_it(impatient: Client) -> None:
    """A client that takes its time, but takes, gets the whole."""
    content = os.urandom(1024 * 1024)
    digest = impatient.push_blob("big", content)
    with impatient.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.sendall(f"GET /v2/big/blobs/{digest} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        received = b""
        while piece := connection.recv(100_000):
            received += piece
            time.sleep(0.05)
    assert parsed(received).body == content


@pytest.fixture
def demanding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A registry that wants 10 MB/s on the average of a fifth of a second, in place of a minute."""
    monkeypatch.setattr(body, "_FLOOR_WINDOW_S", 0.2)
    limits = {"minBytesPerSecond": 10_000_000}
    with serve(tmp_path / "content", {"http": {"limits": limits}}) as running:
        yield Client(running.host)


def test_a_crawling_sender_is_dropped(demanding: Client) -> None:
    """Who sends something now and then, but too little of it, is dropped."""
    location = demanding.begin("crawl")
    with demanding.socket() as connection:
        connection.sendall(f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n".encode())
        sends_until_dropped(connection, lambda _: b"x", pause_s=0.01)


def test_a_crawling_reader_is_dropped(demanding: Client) -> None:
    """Who takes something now and then, but too little of it, is dropped, and sees that it is not the whole."""
    content = bytes(32 * 1024 * 1024)
    digest = demanding.push_blob("big", content)
    with demanding.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.sendall(f"GET /v2/big/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        received = 0
        while piece := connection.recv(32768):
            received += len(piece)
            time.sleep(0.01)
    assert received < len(content)


def under_way(client: Client, repository: str) -> socket.socket:
    """A connection with an upload of five bytes under way, none of which is sent."""
    head = f"PATCH {client.begin(repository)} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    connection = client.socket()
    connection.sendall(head.encode())
    assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
    return connection


def test_too_many_connections_are_told(tmp_path: Path) -> None:
    """Beyond the limit a request is 503 with a time to come back; when others have ended it is served."""
    with serve(tmp_path / "content", {"http": {"limits": {"maxConnections": 5}}}) as running:
        client = Client(running.host)
        kept = [under_way(client, f"busy{number}") for number in range(4)]
        last = client.socket()
        last.sendall(GET)
        refused = parsed(client.raw(GET + b"\r\n"))
        assert refused.error == (503, "UNAVAILABLE")
        assert (refused["Retry-After"], refused["Connection"]) == ("1", "close")
        for connection in kept:
            connection.sendall(b"hello")
            assert connection.recv(65536).startswith(b"HTTP/1.1 202 ")
            connection.close()
        last.close()
        wait_for(lambda: client.get("/v2/").status == 200)


def test_idle_connections_give_way(tmp_path: Path) -> None:
    """At the limit connections without a request under way are closed, so that new clients are served soon."""
    with serve(tmp_path / "content", {"http": {"limits": {"maxConnections": 20, "headerTimeout": "1h"}}}) as running:
        client = Client(running.host)
        silent = [client.socket() for _ in range(40)]
        wait_for(lambda: client.get("/v2/").status == 200)
        for connection in silent:
            connection.close()


@pytest.mark.parametrize(("limits", "answered"), [(ConnectionLimits(requests=2), 2), (ConnectionLimits(age_s=0), 1)])
async def test_a_connection_does_not_live_for_ever(limits: ConnectionLimits, answered: int) -> None:
    """After its number of requests, or its time, it ends with an answer that says so: load evens out."""
    server = ConnectionServer(ok, limits, [])
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    async with listener:
        reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
        received: list[Response] = []
        while not received or received[-1]["Connection"] is None:
            writer.write(GET + b"\r\n")
            received.append(parsed(await reader.readuntil(b"hello")))
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
    await server.shutdown(1)
    assert [answer["Connection"] for answer in received] == [None] * (answered - 1) + ["close"]


def test_who_goes_away_is_no_error(impatient: Client, hasty: RunningRegistry) -> None:
    """Clients that vanish, or are dropped, leave no error and no traceback in the log."""
    location = impatient.begin("gone")
    connection = impatient.socket()
    connection.sendall(f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n".encode() + b"x")
    connection.close()
    assert impatient.get(location).status == 204
    log = (hasty.root.parent / "zot.log").read_text()
    assert '"level":"error"' not in log
    assert "Traceback" not in log
