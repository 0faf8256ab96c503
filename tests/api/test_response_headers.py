"""Every response has the common headers, whatever made it: a handler, a stream, an error, or the protocol itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from http_client import Client, Response, parsed
from layout.images import image, sha256
from zot.testing import RunningRegistry, serve

REPOSITORY = "team/app"
IMAGE = image("a")
TYPED = f"Content-Type: {IMAGE.media_type}\r\n"
ORIGIN = "https://ui.example"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry with rules for pages of another origin and with rate limits."""
    http = {"allowOrigin": ORIGIN, "ratelimit": {"rate": 100_000, "methods": [{"method": "TRACE", "rate": 1}]}}
    with serve(tmp_path_factory.mktemp("headers") / "content", {"http": http}) as opened:
        client = Client(opened.host)
        client.push(REPOSITORY, IMAGE)
        for start in range(0, 200, 40):  # a list that is long enough to be streamed
            tags = "&".join(f"tag={number:0>100}" for number in range(start, start + 40))
            assert (
                client.put_manifest(REPOSITORY, f"{IMAGE.digest}?{tags}", IMAGE.content, IMAGE.media_type).status == 201
            )
        yield opened


def ask(client: Client, method: str, target: str, headers: str = "", body: bytes = b"") -> Response:
    """Send one request as bytes, and read until the connection ends."""
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    head = f"{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{length}{headers}\r\n"
    return parsed(client.raw(head.encode() + body))


def below(rest: str) -> str:
    """The path of something in the repository."""
    return f"/v2/{REPOSITORY}/{rest}"


MANIFEST = below(f"manifests/{IMAGE.digest}")
CONTENT = below(f"blobs/{sha256(IMAGE.blobs[0])}")
Kind = tuple[int, Callable[[Client], Response]]
KINDS: dict[str, Kind] = {
    "JSON": (200, lambda client: ask(client, "GET", "/v2/_catalog?n=1")),
    "bytes": (200, lambda client: ask(client, "GET", MANIFEST)),
    "HEAD": (200, lambda client: ask(client, "HEAD", MANIFEST)),
    "streamed JSON": (200, lambda client: ask(client, "GET", below("tags/list"))),
    "file": (200, lambda client: ask(client, "GET", CONTENT)),
    "range of a file": (206, lambda client: ask(client, "GET", CONTENT, "Range: bytes=1-2\r\n")),
    "ranges of a file": (206, lambda client: ask(client, "GET", CONTENT, "Range: bytes=0-0,2-2\r\n")),
    "not modified": (304, lambda client: ask(client, "GET", MANIFEST, "If-None-Match: *\r\n")),
    "range not satisfiable": (416, lambda client: ask(client, "GET", CONTENT, "Range: bytes=999999-\r\n")),
    "created": (201, lambda client: ask(client, "PUT", MANIFEST, TYPED, IMAGE.content)),
    "redirect": (301, lambda client: ask(client, "GET", "//v2/")),
    "refused by a use case": (404, lambda client: ask(client, "GET", below("manifests/none"))),
    "refused with its body unread": (413, lambda client: ask(client, "PUT", MANIFEST, TYPED, b"x" * (4 << 20) + b"y")),
    "no such path": (404, lambda client: ask(client, "GET", "/nowhere")),
    "method not allowed": (405, lambda client: ask(client, "POST", MANIFEST)),
    "preflight": (204, lambda client: ask(client, "OPTIONS", MANIFEST)),
    "probe": (200, lambda client: ask(client, "GET", "/livez")),
    "HTTP/1.0": (200, lambda client: parsed(client.raw(f"GET {MANIFEST} HTTP/1.0\r\n\r\n".encode()))),
    "malformed": (400, lambda client: parsed(client.raw(b"nonsense\r\n\r\n"))),
    "another version": (505, lambda client: parsed(client.raw(b"GET / HTTP/3.0\r\n\r\n"))),
    "unknown coding": (501, lambda client: ask(client, "PUT", MANIFEST, "Transfer-Encoding: gzip\r\n")),
}
UNPARSED = {"malformed", "another version", "unknown coding"}
"""Refused by the parser: neither their path nor their version of HTTP is known."""
FOR_OTHER_ORIGINS = set(KINDS) - UNPARSED - {
    "file", "range of a file", "ranges of a file", "range not satisfiable", "redirect", "no such path", "probe",
}  # fmt: skip
OUTSIDE_V2 = UNPARSED | {"redirect", "no such path", "probe"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_response_has_the_common_headers(running: RunningRegistry, kind: str) -> None:
    """Server, Date, a request id of its own and the rate limit are in each response, once; others by its path."""
    status, send = KINDS[kind]
    responses = [send(Client(running.host)) for _ in range(2)]
    for response in responses:
        assert response.status == status
        assert response.headers.get_all("Server") == ["zot"]
        for name in ("Date", "X-Request-Id", "X-Rate-Limit-Limit", "X-Rate-Limit-Request-Remote-Addr"):
            assert len(response.headers.get_all(name, [])) == 1, name
        assert (response["Docker-Distribution-API-Version"] is None) == (kind in OUTSIDE_V2)
        origins = response.headers.get_all("Access-Control-Allow-Origin", [])
        assert origins == ([ORIGIN] if kind in FOR_OTHER_ORIGINS else [])
        assert response["Connection"] == (None if kind in UNPARSED | {"HTTP/1.0"} else "close")
    first, second = (response["X-Request-Id"] for response in responses)
    assert first != second


@pytest.mark.parametrize(
    ("target", "status"),
    [(f"/v2/_zot/ext/history?repo={REPOSITORY}", 200), ("/v2/_zot/ext/history", 400), ("/v2/_zot/ext/none", 404)],
)
def test_answers_of_extensions_are_kept_in_no_cache(running: RunningRegistry, target: str, status: int) -> None:
    """They tell what one user may see at one time. Content, which its digest names, may be kept."""
    answer = ask(Client(running.host), "GET", target)
    assert (answer.status, answer["Cache-Control"]) == (status, "no-store")
    assert ask(Client(running.host), "GET", MANIFEST)["Cache-Control"] is None


def test_a_refusal_by_the_rate_limit_has_the_common_headers(running: RunningRegistry) -> None:
    """429 is made before any handler, and has the headers all the same."""
    client = Client(running.host)
    responses = (ask(client, "TRACE", MANIFEST) for _ in range(100))  # as many as a busy machine needs within a second
    refused = next(response for response in responses if response.status == 429)
    assert refused["Server"] == "zot"
    assert refused["X-Request-Id"]
    assert refused["X-Rate-Limit-Limit"] == "1.00"
    assert refused["Access-Control-Allow-Origin"] == ORIGIN


def test_headers_that_are_too_long_are_refused_by_name(running: RunningRegistry) -> None:
    """The connection itself refuses them before there is a request, and says which server it is."""
    fields = b"".join(b"X-Long-%d: %s\r\n" % (number, b"x" * 8000) for number in range(40))
    received = Client(running.host).raw(b"GET / HTTP/1.1\r\nHost: a\r\n" + fields)
    response = parsed(received)
    assert response.status == 431
    assert response["Server"] == "zot"
