"""A registry that mirrors another one on demand, over HTTP."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import IncompleteRead
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from clients import Clients
from http_client import Client
from layout.images import DOCKER_MANIFEST, image, index, sha256
from servers.upstream import ScriptedUpstream, scripted_upstream
from zot.testing import serve

ONE, TWO, DOCKER = image("one"), image("two"), image("docker", DOCKER_MANIFEST)
BOTH = index(ONE, TWO)
STALE = '110 - "Response is Stale"'


@pytest.fixture(scope="module")
def running() -> Iterator[ScriptedUpstream]:
    """The upstream of all tests: each has a repository of its own."""
    with scripted_upstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(running: ScriptedUpstream) -> Iterator[ScriptedUpstream]:
    """The upstream, which works again after the test."""
    running.asked.clear()
    yield running
    running.fault = None


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with no credentials that are needed."""
    path = tmp_path_factory.mktemp("sync") / "credentials.json"
    path.write_text(json.dumps({"registry.example": {"username": "a", "password": "b"}}))
    return path


@pytest.fixture(scope="module")
def mirrors(running: ScriptedUpstream, credentials: Path) -> Iterator[Client]:
    """A registry that checks tags below `always` at each pull, and all others once an hour."""
    common: dict[str, Any] = {"urls": [running.url], "onDemand": True, "maxRetries": 2, "retryDelay": "10ms"}
    registries = [
        {**common, "content": [{"prefix": "always/**"}], "manifestCheckInterval": "0s"},
        {**common, "content": [{"prefix": "**"}], "manifestCheckInterval": "1h"},
    ]
    sync = {"credentialsFile": str(credentials), "registries": registries}
    with serve(config={"extensions": {"sync": sync}}) as mirror:
        yield Client(mirror.host)


@pytest.fixture
def repository(request: pytest.FixtureRequest) -> str:
    """A repository for the test alone."""
    return f"r/{request.node.name.partition('[')[0].removeprefix('test_').replace('_', '-')}"


def test_an_image_is_fetched_when_it_is_pulled(mirrors: Client, upstream: ScriptedUpstream, repository: str) -> None:
    """An index, its children and their blobs are each fetched once, when a client asks for them, and then served."""
    upstream.add(repository, BOTH, "latest")
    for _ in range(2):
        pulled = mirrors.ask("GET", f"/v2/{repository}/manifests/latest")
        assert (pulled.status, pulled.body, pulled["Docker-Content-Digest"]) == (200, BOTH.content, BOTH.digest)
        assert mirrors.ask("GET", f"/v2/{repository}/manifests/{ONE.digest}").body == ONE.content
        for content in ONE.blobs:
            assert mirrors.ask("GET", f"/v2/{repository}/blobs/{sha256(content)}").body == content
    assert [each.path.rpartition("/")[2] for each in upstream.asked] == ["latest", ONE.digest, *map(sha256, ONE.blobs)]
    assert mirrors.ask("GET", f"/v2/{repository}/tags/list").json["tags"] == ["latest"]


def test_docker_images_keep_their_digest(mirrors: Client, upstream: ScriptedUpstream, repository: str) -> None:
    """An image of Docker's types is stored as it is, although this registry takes no pushes of it."""
    upstream.add(repository, DOCKER, "latest")
    pulled = mirrors.ask("GET", f"/v2/{repository}/manifests/latest")
    assert (pulled.status, pulled["Docker-Content-Digest"]) == (200, DOCKER.digest)


def test_what_upstream_lacks_is_unknown_for_a_moment(
    mirrors: Client, upstream: ScriptedUpstream, repository: str
) -> None:
    """A missing image is 404, and is not asked for again at once."""
    for _ in range(3):
        assert mirrors.ask("GET", f"/v2/{repository}/manifests/latest").error == (404, "NAME_UNKNOWN")
    assert len(upstream.asked) == 1


def test_a_cached_tag_is_served_without_asking(mirrors: Client, upstream: ScriptedUpstream, repository: str) -> None:
    """Within the interval a pull of a tag asks upstream nothing, and one by digest never does."""
    upstream.add(repository, ONE, "latest")
    for reference in ("latest", "latest", ONE.digest, ONE.digest):
        pulled = mirrors.ask("GET", f"/v2/{repository}/manifests/{reference}")
        assert (pulled.status, pulled["Warning"]) == (200, None)
    assert len(upstream.asked) == 1


def test_a_due_tag_is_checked_by_head(mirrors: Client, upstream: ScriptedUpstream) -> None:
    """After the interval upstream is asked by HEAD; a tag that moved is followed."""
    repository = "always/moved"
    upstream.add(repository, ONE, "latest")
    for expected in (ONE, ONE, TWO, TWO):
        upstream.add(repository, expected, "latest")
        assert mirrors.ask("GET", f"/v2/{repository}/manifests/latest").body == expected.content
    assert [each.method for each in upstream.asked] == ["GET", "HEAD", "HEAD", "GET", "HEAD"]


async def refuse_401(_: web.Request) -> web.Response:
    """Refuse without a way to authenticate."""
    return web.Response(status=401)


async def fail_500(_: web.Request) -> web.Response:
    """Fail."""
    return web.Response(status=500)


async def html(_: web.Request) -> web.Response:
    """Send a page of a portal."""
    return web.Response(body=b"<html>Log in", content_type="text/html")


@pytest.mark.parametrize("fault", [refuse_401, fail_500, html])
def test_an_upstream_that_fails_takes_no_tag_away(
    mirrors: Client, upstream: ScriptedUpstream, fault: Callable[..., Any]
) -> None:
    """What is here is served, marked as stale if upstream could not tell, and later without asking for a moment."""
    repository = f"always/failing-{fault.__name__.replace('_', '-')}"
    upstream.add(repository, ONE, "latest")
    mirrors.ask("GET", f"/v2/{repository}/manifests/latest")
    upstream.fault = fault
    pulled = mirrors.ask("GET", f"/v2/{repository}/manifests/latest")
    assert (pulled.status, pulled.body) == (200, ONE.content)
    assert pulled["Warning"] == (None if fault is refuse_401 else STALE)
    assert mirrors.ask("GET", f"/v2/{repository}/manifests/{ONE.digest}").status == 200


@pytest.mark.parametrize("fault", [fail_500, html])
def test_what_a_failing_upstream_may_have_is_unavailable(
    mirrors: Client, upstream: ScriptedUpstream, repository: str, fault: Callable[..., Any]
) -> None:
    """503, not 404, and remembered for a moment."""
    upstream.fault = fault
    repository = f"{repository}/{fault.__name__.replace('_', '-')}"
    for _ in range(2):
        refused = mirrors.ask("GET", f"/v2/{repository}/manifests/latest")
        assert refused.error == (503, "UNAVAILABLE")
        assert refused["Retry-After"]
    assert len(upstream.asked) == 1
    upstream.fault = None
    assert mirrors.ask("GET", f"/v2/{repository}/tags/list").status == 404


def test_referrers_come_with_their_subject(mirrors: Client, upstream: ScriptedUpstream, repository: str) -> None:
    """A list of referrers has those of the upstream, which is asked once, and each of them can be pulled."""
    signature = image("signature", subject=ONE)
    upstream.add(repository, ONE, "latest")
    upstream.add(repository, signature)
    mirrors.ask("GET", f"/v2/{repository}/manifests/latest")
    for _ in range(2):
        listed = mirrors.ask("GET", f"/v2/{repository}/referrers/{ONE.digest}").json
        assert [each["digest"] for each in listed["manifests"]] == [signature.digest]
    assert upstream.count("GET", "/referrers/") == 1
    upstream.fault = fail_500
    assert mirrors.ask("GET", f"/v2/{repository}/manifests/{signature.digest}").body == signature.content
    assert mirrors.ask("GET", f"/v2/{repository}/referrers/{TWO.digest}").json["manifests"] == []


def test_a_client_may_push_beside_mirrored_images(mirrors: Client, upstream: ScriptedUpstream, repository: str) -> None:
    """A mirrored repository takes pushes as any other."""
    upstream.add(repository, ONE, "latest")
    mirrors.ask("GET", f"/v2/{repository}/manifests/latest")
    assert mirrors.push(repository, TWO, "mine") == TWO.digest
    assert mirrors.ask("GET", f"/v2/{repository}/tags/list").json["tags"] == ["latest", "mine"]


def test_access_control_decides_whether_something_is_fetched(upstream: ScriptedUpstream) -> None:
    """A client that may not pull gets nothing fetched."""
    upstream.add("secret/app", ONE, "latest")
    sync = {"registries": [{"urls": [upstream.url], "onDemand": True}]}
    access = {"repositories": {"open/**": {"anonymousPolicy": ["read"]}}}
    config = {"http": {"accessControl": access}, "extensions": {"sync": sync}}
    with serve(config=config, memory=True) as mirror:
        assert Client(mirror.host).ask("GET", "/v2/secret/app/manifests/latest").status in (401, 403)
        assert upstream.asked == []


@pytest.mark.parametrize(
    "key", [{"pollInterval": "1h"}, {"onlySigned": True}, {"credentialHelper": "ecr"}], ids=lambda key: next(iter(key))
)
def test_what_is_not_built_is_refused(key: dict[str, Any]) -> None:
    """A key that asks for periodic mirroring, signed images or a helper is refused by its name, not ignored."""
    registry = {"urls": ["https://registry.example"], "onDemand": True, "content": [{"prefix": "**"}], **key}
    with (
        pytest.raises(Exception, match=rf"extensions\.sync\.registries\.{next(iter(key))}"),
        serve(config={"extensions": {"sync": {"registries": [registry]}}}, memory=True),
    ):
        pass


LARGE = bytes(range(256)) * 12_000
LARGE_DIGEST = sha256(LARGE)


def test_a_first_pull_streams(mirrors: Client, upstream: ScriptedUpstream, repository: str) -> None:
    """The first bytes, and a range, reach clients while the upstream still sends, and all share one download."""
    upstream.add(repository, ONE, "latest")
    mirrors.ask("GET", f"/v2/{repository}/manifests/latest")
    upstream.asked.clear()
    half, goes_on = len(LARGE) // 2, threading.Event()

    async def send_half(request: web.Request) -> web.StreamResponse | None:
        if request.method != "GET" or "/blobs/" not in request.path:
            return None
        response = web.StreamResponse(headers={"Content-Length": str(len(LARGE))})
        await response.prepare(request)
        await response.write(LARGE[:half])
        await asyncio.to_thread(goes_on.wait, 30)
        await response.write(LARGE[half:])
        return response

    upstream.fault = send_half
    target = f"/v2/{repository}/blobs/{LARGE_DIGEST}"
    try:
        assert mirrors.ask("HEAD", target)["Content-Length"] == str(len(LARGE))
        part = mirrors.ask("GET", target, headers={"Range": "bytes=1000-1999"})
        assert (part.status, part.body) == (206, LARGE[1000:2000])
        with closing(mirrors.connection()) as connection:
            connection.request("GET", target)
            response = connection.getresponse()
            assert response.status == 200
            assert response.read(half) == LARGE[:half]
            goes_on.set()
            assert response.read() == LARGE[half:]
    finally:
        goes_on.set()
    assert upstream.count("GET", "/blobs/") == 1


def test_a_download_that_breaks_is_resumed(mirrors: Client, upstream: ScriptedUpstream, repository: str) -> None:
    """The rest is asked for by a range, and the client notices nothing."""
    upstream.add(repository, ONE, "latest")
    upstream.blobs[LARGE_DIGEST] = LARGE
    mirrors.ask("GET", f"/v2/{repository}/manifests/latest")

    async def break_once(request: web.Request) -> web.StreamResponse | None:
        if "Range" in request.headers or request.method != "GET":
            return None
        response = web.StreamResponse(headers={"Content-Length": str(len(LARGE))})
        await response.prepare(request)
        await response.write(LARGE[:1_000_000])
        assert request.transport is not None
        request.transport.close()
        return response

    upstream.fault = break_once
    assert mirrors.ask("GET", f"/v2/{repository}/blobs/{LARGE_DIGEST}").body == LARGE
    ranges = [each.range for each in upstream.asked if "/blobs/" in each.path]
    assert ranges[0] == ""
    assert 0 < int(ranges[1].removeprefix("bytes=").rstrip("-")) <= 1_000_000


def test_a_blob_of_another_digest_is_cut_short(mirrors: Client, upstream: ScriptedUpstream, repository: str) -> None:
    """No client gets all of it, it is not stored, and a small one is refused before its first byte."""
    upstream.add(repository, ONE, "latest")
    mirrors.ask("GET", f"/v2/{repository}/manifests/latest")
    large, small = f"sha256:{1:064}", f"sha256:{2:064}"
    upstream.blobs |= {large: LARGE, small: b"small"}
    with pytest.raises(IncompleteRead):
        mirrors.ask("GET", f"/v2/{repository}/blobs/{large}")
    assert mirrors.ask("GET", f"/v2/{repository}/blobs/{small}").error == (503, "UNAVAILABLE")
    assert mirrors.ask("GET", f"/v2/{repository}/blobs/{large}").error == (503, "UNAVAILABLE")


@pytest.mark.needs("crane")
def test_crane_pulls_through(mirrors: Client, upstream: ScriptedUpstream, clients: Clients, repository: str) -> None:
    """A client that knows nothing of mirrors pulls an index with all of its images."""
    upstream.add(repository, BOTH, "latest")
    clients.run("crane", "pull", "--insecure", "--format=oci", f"{mirrors.host}/{repository}:latest", "image")
    assert sum(upstream.count("GET", sha256(blob)) for each in (ONE, TWO) for blob in each.blobs) == 4
