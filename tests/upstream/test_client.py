"""The client of another registry: authorization, redirects, and what it refuses of an upstream that lies."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator

import pytest
from aiohttp import web
from yarl import URL

from layout.images import image, sha256
from servers.upstream import ScriptedUpstream, scripted_upstream
from zot.oci.digest import Digest
from zot.oci.names import parse_tag
from zot.upstream.authorization import UpstreamAuthorization, UpstreamLogin
from zot.upstream.budget import RequestBudget
from zot.upstream.client import UpstreamClient
from zot.upstream.errors import UpstreamError, UpstreamPausedError, UpstreamRefusedError
from zot.upstream.transport import Transport

APP, LATEST = "team/app", parse_tag("latest")
ONE = image("one")
LAYER = Digest(sha256(ONE.blobs[1]))


@pytest.fixture(scope="module")
def running() -> Iterator[ScriptedUpstream]:
    """The upstream of all tests."""
    with scripted_upstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(running: ScriptedUpstream) -> ScriptedUpstream:
    """The upstream with one image and no faults."""
    fresh = ScriptedUpstream(running.url)
    running.__dict__.update(fresh.__dict__)
    running.add(APP, ONE, "latest")
    return running


def client_of(
    upstream: ScriptedUpstream, credentials: UpstreamLogin | None = None, concurrent: int = 4
) -> UpstreamClient:
    """Return a client of the upstream."""

    async def tls() -> ssl.SSLContext:
        return ssl.create_default_context()

    async def known() -> UpstreamLogin | None:
        return credentials

    transport = Transport(URL(upstream.url), tls, RequestBudget(concurrent))
    return UpstreamClient(transport, UpstreamAuthorization(transport, known), manifest_limit_bytes=4096)


@pytest.fixture
async def client(upstream: ScriptedUpstream) -> AsyncIterator[UpstreamClient]:
    """An anonymous client."""
    client = client_of(upstream)
    yield client
    await client.retire()


async def blob(client: UpstreamClient, start: int = 0) -> bytes | None:
    """Return the bytes of the image's layer from `start` on."""
    async with client.blob(APP, LAYER, start) as found:
        return None if found is None else b"".join([chunk async for chunk in found.chunks])


async def test_reads(client: UpstreamClient) -> None:
    """Manifests, their digests, blobs, their sizes, and ranges of them; what is not there is None."""
    found = await client.manifest(APP, LATEST)
    assert found == (ONE.digest, ONE.media_type, ONE.content)
    assert await client.resolve(APP, LATEST) == ONE.digest
    assert await blob(client) == ONE.blobs[1]
    assert await blob(client, 4) == ONE.blobs[1][4:]
    assert await client.blob_size(APP, LAYER) == len(ONE.blobs[1])
    other = parse_tag("other")
    assert await client.manifest(APP, other) is None
    assert await client.resolve(APP, other) is None
    assert await client.blob_size(APP, Digest(f"sha256:{1:064}")) is None


async def test_a_token_is_asked_for_once(upstream: ScriptedUpstream) -> None:
    """The token server gets the credentials, the registry the token, and later requests send it at once."""
    upstream.user, upstream.token = "me:secret", "abc"
    client = client_of(upstream, UpstreamLogin("me", "secret"))
    for _ in range(3):
        assert await client.resolve(APP, LATEST) == ONE.digest
    assert upstream.count("GET", "/token") == 1
    sent = [each.authorization for each in upstream.asked if "/manifests/" in each.path]
    assert sent == ["", "Bearer abc", "Bearer abc", "Bearer abc"]
    await client.retire()


async def test_basic_credentials(upstream: ScriptedUpstream) -> None:
    """A registry that asks for Basic gets the credentials; wrong ones are an error, not a missing image."""
    upstream.user = "me:secret"
    right, wrong, none = (
        client_of(upstream, each) for each in (UpstreamLogin("me", "secret"), UpstreamLogin("me", "x"), None)
    )
    assert await right.resolve(APP, LATEST) == ONE.digest
    assert await none.resolve(APP, LATEST) is None
    with pytest.raises(UpstreamRefusedError):
        await wrong.resolve(APP, LATEST)
    for each in (right, wrong, none):
        await each.retire()


async def test_credentials_stay_with_the_upstream(upstream: ScriptedUpstream) -> None:
    """A token server of another site, and the target of a redirect, get no credentials."""
    with scripted_upstream() as other:
        other.add(APP, ONE)
        other_name = other.url.replace("127.0.0.1", "localhost")
        upstream.user, upstream.token, upstream.realm = "me:secret", "abc", f"{other_name}/token"
        client = client_of(upstream, UpstreamLogin("me", "secret"))
        other.token = "another"
        assert await client.resolve(APP, LATEST) is None
        other.token = ""
        assert [each.authorization for each in other.asked] == [""]
        upstream.token = ""

        async def redirect(request: web.Request) -> web.Response | None:
            if "Authorization" not in request.headers or "/blobs/" not in request.path:
                return None
            return web.Response(status=307, headers={"Location": f"{other.url}{request.path}"})

        upstream.fault = redirect
        assert await blob(client) == ONE.blobs[1]
        assert [each.authorization for each in other.asked] == ["", ""]
        assert upstream.asked[-1].authorization
        await client.retire()


@pytest.mark.parametrize(
    "location", ["/again", "ftp://127.0.0.1/", "http://[", "http:///x"], ids=["loop", "scheme", "malformed", "no host"]
)
async def test_redirects_are_bounded(upstream: ScriptedUpstream, client: UpstreamClient, location: str) -> None:
    """A redirect that leads nowhere is an error."""

    async def redirect(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": location})

    upstream.fault = redirect
    with pytest.raises(UpstreamError, match=r"redirects|cannot be reached"):
        await client.resolve(APP, LATEST)
    assert len(upstream.asked) <= 6


async def lie_about_digest(_: web.Request) -> web.Response:
    """Send another manifest."""
    return web.Response(body=image("two").content, headers={"Content-Type": ONE.media_type})


async def send_too_much(request: web.Request) -> web.StreamResponse:
    """Send a body without end."""
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    try:
        while True:
            await response.write(b"x" * 1000)
    except ConnectionError:
        return response


async def announce_too_much(_: web.Request) -> web.Response:
    """Announce a body that is too long."""
    return web.Response(body=b"x" * 10_000)


async def compress(_: web.Request) -> web.Response:
    """Compress though the client wants no compression."""
    return web.Response(body=ONE.content, headers={"Content-Encoding": "gzip"})


async def fail(_: web.Request) -> web.Response:
    """Fail."""
    return web.Response(status=500)


async def break_off(request: web.Request) -> web.StreamResponse:
    """Send fewer bytes than announced."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"{")
    assert request.transport is not None
    request.transport.abort()
    return response


@pytest.mark.parametrize("fault", [lie_about_digest, send_too_much, announce_too_much, compress, fail, break_off])
async def test_a_manifest_that_cannot_be_right_is_an_error(
    upstream: ScriptedUpstream, client: UpstreamClient, fault: object
) -> None:
    """Another digest, too many bytes, compression, a status or a broken connection: never a manifest, nor None."""
    upstream.fault = fault  # type: ignore[assignment]
    with pytest.raises(UpstreamError):
        await client.manifest(APP, Digest(ONE.digest))


@pytest.mark.parametrize("fault", [send_too_much, compress, fail, break_off])
async def test_a_blob_that_cannot_be_right_is_an_error(
    upstream: ScriptedUpstream, client: UpstreamClient, fault: object
) -> None:
    """No length, compression, a status, or fewer bytes than announced."""
    upstream.fault = fault  # type: ignore[assignment]
    with pytest.raises(UpstreamError):
        await blob(client)


async def test_an_upstream_is_obeyed(upstream: ScriptedUpstream, client: UpstreamClient) -> None:
    """After 429 it is not asked again before the time that it names."""

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "30"})

    upstream.fault = refuse
    for kind in (UpstreamError, UpstreamPausedError):
        with pytest.raises(kind) as error:
            await client.resolve(APP, LATEST)
        assert error.value.retry_after_s in (29, 30)
    assert len(upstream.asked) == 1


@pytest.mark.parametrize("after", ["9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_a_pause_is_bounded(upstream: ScriptedUpstream, client: UpstreamClient, after: str) -> None:
    """A pause without end is one of an hour, for the clients of the mirror too."""

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": after})

    upstream.fault = refuse
    with pytest.raises(UpstreamError) as error:
        await client.resolve(APP, LATEST)
    assert error.value.retry_after_s == 3600


async def lie_about_range(_: web.Request) -> web.Response:
    """Send a part of a size that is no number of bytes."""
    return web.Response(status=206, body=b"x", headers={"Content-Range": f"bytes 4-{'9' * 4400}/1"})


async def test_a_range_that_cannot_be_right_is_an_error(upstream: ScriptedUpstream, client: UpstreamClient) -> None:
    """A number that is too long to read makes the response one with another range."""
    upstream.fault = lie_about_range
    with pytest.raises(UpstreamError, match="another range"):
        await blob(client, 4)


async def test_a_lifetime_that_cannot_be_right_is_an_error(upstream: ScriptedUpstream, client: UpstreamClient) -> None:
    """A token whose lifetime is no number of seconds is refused."""
    upstream.token = "abc"

    async def lie(request: web.Request) -> web.Response | None:
        text = f'{{"token": "abc", "expires_in": 1{"0" * 400}}}'
        return web.Response(text=text) if request.path == "/token" else None

    upstream.fault = lie
    with pytest.raises(UpstreamError, match="sends no token"):
        await client.resolve(APP, LATEST)


async def test_what_an_anonymous_client_gets_no_token_for_is_absent(
    upstream: ScriptedUpstream, client: UpstreamClient
) -> None:
    """A token server that denies an anonymous client, as for a repository that does not exist, is no failure."""
    upstream.user, upstream.token = "me:secret", "abc"
    for _ in range(2):
        assert await client.resolve(APP, LATEST) is None


async def test_an_upstream_that_is_down_fails_fast() -> None:
    """Once it could not be connected to, the next request does not try."""
    with scripted_upstream() as gone:
        pass
    client = client_of(gone)
    with pytest.raises(UpstreamError, match="cannot be reached"):
        await client.resolve(APP, LATEST)
    with pytest.raises(UpstreamPausedError):
        await client.resolve(APP, LATEST)
    await client.retire()


async def test_requests_are_bounded_apart_from_downloads(upstream: ScriptedUpstream) -> None:
    """While downloads use all their places, a tag is resolved, and a further download waits."""
    client = client_of(upstream, concurrent=1)
    async with client.blob(APP, LAYER) as found:
        assert found is not None
        assert await client.resolve(APP, LATEST) == ONE.digest
        waiting = asyncio.create_task(blob(client))
        await client.resolve(APP, LATEST)
        assert upstream.count("GET", "/blobs/") == 1
    assert await waiting == ONE.blobs[1]
    await client.retire()


async def test_a_proxy_in_a_private_network_is_used(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator names it; a redirect of an upstream to it is refused as to any other private address."""

    async def tls() -> ssl.SSLContext:
        return ssl.create_default_context()

    proxy = f"http://localhost:{URL(upstream.url).port}"
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, proxy)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    transport = Transport(URL("http://8.8.8.8"), tls, RequestBudget(1))
    async with transport.ask_token_server(URL("http://auth.example.org/v2/team/app/manifests/latest"), {}) as response:
        assert await response.read() == ONE.content
    with pytest.raises(UpstreamError, match="private address localhost"):
        async with transport.ask_token_server(URL(f"{proxy}/v2/"), {}):
            pass
    await transport.close()
