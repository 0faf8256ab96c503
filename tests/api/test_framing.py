"""Versions of HTTP and transfer codings: what is not spoken here is refused as such, and nothing follows it."""

import pytest

from http_client import Client, parsed

FOLLOWING = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize("version", ["0.9", "1.2", "2.0", "3.0", "9.9"])
def test_other_versions_are_505(registry: Client, version: str) -> None:
    """The refusal is in the server's own version, and the connection is closed."""
    received = registry.raw(f"GET /v2/ HTTP/{version}\r\nHost: x\r\n\r\n".encode())
    assert parsed(received).error == (505, "UNSUPPORTED")
    assert received.startswith((b"HTTP/1.1 505 ", b"HTTP/1.0 505 "))


def test_the_preface_of_http2_is_505(registry: Client) -> None:
    """A client that speaks HTTP/2 without asking is told."""
    assert parsed(registry.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")).status == 505


@pytest.mark.parametrize("version", ["HTTP/x.y", "HTTP/11.1", "HTTP/2", "HTTP/", "http/1.1"])
def test_malformed_versions_are_400(registry: Client, version: str) -> None:
    """What is not a version at all is a bad request."""
    assert parsed(registry.raw(f"GET /v2/ {version}\r\nHost: x\r\n\r\n".encode())).error[0] == 400


@pytest.mark.parametrize(
    ("coding", "status"),
    [
        ("gzip", 501),
        ("xchunked", 501),
        ("identity", 501),
        ("gzip, chunked", 501),
        ("deflate,gzip,chunked", 501),
        ("", 400),
        ("chunked, identity", 400),
        ("chunked, chunked", 400),
    ],
)
def test_other_transfer_codings_are_refused(registry: Client, repo: str, coding: str, status: int) -> None:
    """A coding that is not understood is 501, one in a wrong place 400; the bytes after it are not a request."""
    location = registry.begin(repo)
    head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {coding}\r\n\r\n"
    received = registry.raw(head.encode() + CHUNKS + FOLLOWING)
    assert parsed(received).error[0] == status
    assert received.count(b"HTTP/1.") == 1
    assert registry.get(location)["Range"] == "0-0"


@pytest.mark.parametrize("coding", ["chunked", "Chunked", ",chunked"])
def test_chunks_are_understood(registry: Client, repo: str, coding: str) -> None:
    """The name of the coding has no case, and lists may have empty elements."""
    head = (
        f"PATCH {registry.begin(repo)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: {coding}\r\n\r\n"
    )
    assert parsed(registry.raw(head.encode() + CHUNKS))["Range"] == "0-4"


def test_chunks_of_an_old_client_end_the_connection(registry: Client, repo: str) -> None:
    """HTTP/1.0 with Transfer-Encoding is served and closed, whatever it asked for (RFC 9112, 6.1)."""
    head = f"PATCH {registry.begin(repo)} HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
    received = registry.raw(head.encode() + CHUNKS + FOLLOWING)
    assert parsed(received)["Range"] == "0-4"
    assert received.count(b"HTTP/1.") == 1


def test_too_many_trailers_are_refused_at_once(registry: Client, repo: str) -> None:
    """They are counted when they come one by one, too."""
    with registry.socket() as connection:
        head = (
            f"PATCH {registry.begin(repo)} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
        )
        connection.sendall(head.encode())
        for number in range(140):
            connection.sendall(b"X-%d: y\r\n" % number)
        assert parsed(connection.recv(65536)).status == 400
