"""A line for each answered request, in zot's fields, without secrets."""

import json
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from loopback import ok, serve_handler
from zot.api.access_log import AccessLog
from zot.api.client_address import ClientAddresses
from zot.api.http_request import HttpRequest
from zot.api.middleware import RequestIds
from zot.auth.principal import Principal
from zot.config.durations import parse_ns
from zot.logs.formatters import json_line, text_line
from zot.logs.writer import LineWriter

NOBODY = ClientAddresses()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[LineWriter]:
    """The log."""
    writer = LineWriter(tmp_path / "log", json_line)
    yield writer
    writer.close()


def lines(writer: LineWriter, tmp_path: Path) -> list[dict[str, Any]]:
    """What the log says so far."""
    assert writer.flush()
    return [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]


async def test_a_line_has_zots_fields(writer: LineWriter, tmp_path: Path) -> None:
    """Each request that was answered is one line with zot's names, and with the request's own."""
    ids = RequestIds(NOBODY)

    async def handler(http: HttpRequest) -> web.StreamResponse:
        ids.begin(http)
        http.principal = Principal("alice", "htpasswd")
        return web.Response(status=201, text="hello")

    async with serve_handler(handler, AccessLog(writer, NOBODY).observe) as server:
        await server.ask("PUT", "/v2/a/manifests/1?tag=b", {"Authorization": "Basic aHVudGVyMg==", "Accept": "*/*"})
    (line,) = lines(writer, tmp_path)
    assert list(line) == [
        "time", "level", "message", "module", "component", "clientIP", "method", "path", "statusCode", "latency",
        "bodySize", "headers", "username", "requestId",
    ]  # fmt: skip
    assert line["message"] == "HTTP API"
    assert (line["module"], line["component"], line["level"]) == ("http", "session", "info")
    assert line["clientIP"].startswith("127.0.0.1:")
    assert (line["method"], line["path"]) == ("PUT", "/v2/a/manifests/1?tag=b")
    assert (line["statusCode"], line["bodySize"], line["username"]) == (201, 5, "alice")
    assert line["headers"]["Authorization"] == ["******"]
    assert line["headers"]["Accept"] == ["*/*"]
    assert 0 < parse_ns(line["latency"]) < 60_000_000_000


async def test_an_anonymous_line_leaves_out_the_name(writer: LineWriter, tmp_path: Path) -> None:
    """Nobody known, no username; no name given to the request, none in the line."""
    async with serve_handler(ok, AccessLog(writer, NOBODY).observe) as server:
        await server.ask("GET", "/v2/")
    (line,) = lines(writer, tmp_path)
    assert not {"username", "requestId"} & line.keys()


async def test_the_client_is_the_one_behind_the_proxy(writer: LineWriter, tmp_path: Path) -> None:
    """Behind a trusted proxy the line names the client."""
    trusting = ClientAddresses([ip_network("127.0.0.0/8")])
    async with serve_handler(ok, AccessLog(writer, trusting).observe) as server:
        await server.ask("GET", "/v2/", {"X-Forwarded-For": "203.0.113.9"})
    assert lines(writer, tmp_path)[0]["clientIP"] == "203.0.113.9"


async def test_bodies_that_are_not_sent_have_no_size(writer: LineWriter, tmp_path: Path) -> None:
    """HEAD and 304 announce a length and send nothing."""

    async def handler(http: HttpRequest) -> web.StreamResponse:
        status = 304 if http.method == "GET" else 200
        return web.Response(status=status, headers={"Content-Length": "700"} if http.method == "HEAD" else None)

    async with serve_handler(handler, AccessLog(writer, NOBODY).observe) as server:
        await server.ask("HEAD", "/v2/a/blobs/x")
        await server.ask("GET", "/v2/a/blobs/x")
    assert [line["bodySize"] for line in lines(writer, tmp_path)] == [0, 0]


async def test_probes_that_went_well_are_left_out(writer: LineWriter, tmp_path: Path) -> None:
    """A probe is a line only when it fails."""

    async def handler(http: HttpRequest) -> web.StreamResponse:
        return web.Response(status=500 if http.raw_path == "/readyz" else 200)

    async with serve_handler(handler, AccessLog(writer, NOBODY).observe) as server:
        for path in ("/livez", "/startupz", "/readyz"):
            await server.ask("GET", path)
    assert [line["path"] for line in lines(writer, tmp_path)] == ["/readyz"]


async def test_secrets_in_the_query_are_masked(writer: LineWriter, tmp_path: Path) -> None:
    """A login's code does not get into the log, and the parameters of the registry do."""
    async with serve_handler(ok, AccessLog(writer, NOBODY).observe) as server:
        await server.ask("GET", "/zot/auth/callback/oidc?code=hunter2&state=hunter2&n=1")
    assert lines(writer, tmp_path)[0]["path"] == "/zot/auth/callback/oidc?code=******&state=******&n=1"


async def test_bytes_that_are_no_text_are_shown(writer: LineWriter, tmp_path: Path) -> None:
    """A header that is not UTF-8 is shown, and a request that is none is a line like all others."""
    async with serve_handler(ok, AccessLog(writer, NOBODY).observe) as server:
        await server.ask("GET", "/v2/", {"X-Odd": "\udcfe"})
        await server.ask("GET", "/v2/\udcff")
    odd, none = lines(writer, tmp_path)
    assert odd["headers"]["X-Odd"] == ["\\udcfe"]
    assert none["statusCode"] == 400


async def test_long_requests_make_no_long_lines(writer: LineWriter, tmp_path: Path) -> None:
    """However long path and headers are, the line is cut to what a reader needs."""
    async with serve_handler(ok, AccessLog(writer, NOBODY).observe) as server:
        await server.ask("GET", "/" + "x" * 10_000, {"X-Long": "y" * 10_000})
    (line,) = lines(writer, tmp_path)
    assert (len(line["path"]), len(line["headers"]["X-Long"][0])) == (2048, 256)


async def test_people_get_a_short_line(tmp_path: Path) -> None:
    """In text form a request is its method, path, status and who asked, without the headers."""
    writer = LineWriter(tmp_path / "log", text_line)
    async with serve_handler(ok, AccessLog(writer, NOBODY).observe) as server:
        await server.ask("GET", "/v2/")
    writer.close()
    text = (tmp_path / "log").read_text()
    assert "INFO  HTTP API clientIP=127.0.0.1:" in text
    assert "method=GET path=/v2/ statusCode=200" in text
    assert "headers" not in text
