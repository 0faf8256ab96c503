"""How upstreams are configured: certificates, credentials, several addresses, several registries, reload."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from certificates import Authority
from http_client import OCTETS, Client
from layout.images import image, sha256
from servers.docker_registry import DockerRegistry
from servers.upstream import ScriptedUpstream, scripted_upstream
from zot.config.load import load_tree
from zot.extensions.sync.build import Mirrors
from zot.foundation.threads import ThreadPool
from zot.testing import serve

ONE, TWO = image("one"), image("two")
MANIFEST = "/v2/team/app/manifests/latest"


@pytest.fixture(scope="module")
def running() -> Iterator[ScriptedUpstream]:
    """An upstream with one image."""
    with scripted_upstream() as upstream:
        upstream.add("team/app", ONE, "latest")
        yield upstream


@pytest.fixture
def upstream(running: ScriptedUpstream) -> Iterator[ScriptedUpstream]:
    """The upstream, for any client before and after the test."""
    running.asked.clear()
    yield running
    running.user = running.token = ""


def pulled(*registries: dict[str, Any], path: str = MANIFEST, **sync: Any) -> tuple[int, bytes]:
    """Return what a new mirror of some registries responds to the pull of a manifest."""
    entries = [{"onDemand": True, **each} for each in registries]
    with serve(config={"extensions": {"sync": {**sync, "registries": entries}}}, memory=True) as mirror:
        response = Client(mirror.host).ask("GET", path)
        return response.status, response.body


def test_certificates_of_an_authority(authority: Authority, tmp_path: Path) -> None:
    """`certDir` has the authority of an upstream; else only `tlsVerify: false` connects."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.folder / "server.pem", authority.folder / "server.key")
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / "ca.crt").write_bytes(authority.path.read_bytes())
    with scripted_upstream(context) as upstream:
        upstream.add("team/app", ONE, "latest")
        assert pulled({"urls": [upstream.url], "certDir": str(folder)}) == (200, ONE.content)
        assert pulled({"urls": [upstream.url], "tlsVerify": False}) == (200, ONE.content)
        assert pulled({"urls": [upstream.url]})[0] == 503


def test_credentials_of_the_file(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """`credentialsFile` names the host with its port; a wrong password is 503, a client without one finds nothing."""
    upstream.user, upstream.token = "me:secret", "abc"
    host, path = upstream.url.removeprefix("http://"), tmp_path / "credentials.json"
    for password, status in (("secret", 200), ("wrong", 503)):
        path.write_text(json.dumps({host: {"username": "me", "password": password}}))
        assert pulled({"urls": [upstream.url]}, credentialsFile=str(path))[0] == status
    assert pulled({"urls": [upstream.url]})[0] == 404, "the token server refuses a client without credentials"
    upstream.token = ""
    assert pulled({"urls": [upstream.url]})[0] == 404


def test_credentials_of_docker(upstream: ScriptedUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `docker login` stored is used for a host that the file does not name."""
    upstream.user = "me:secret"
    host = upstream.url.removeprefix("http://")
    auth = {"auth": base64.b64encode(b"me:secret").decode()}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {f"http://{host}/v1/": auth}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert pulled({"urls": [upstream.url]}) == (200, ONE.content)


def test_a_credentials_file_that_is_missing_is_told(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    """An upstream that wants credentials is not asked as an anonymous client instead."""
    upstream.user = "me:secret"
    status, body = pulled({"urls": [upstream.url]}, credentialsFile=str(tmp_path / "missing.json"))
    assert status == 503
    assert b"missing.json" in body
    assert upstream.count("GET", "/manifests/") == 1


def test_addresses_of_a_registry_are_tried_in_order(upstream: ScriptedUpstream) -> None:
    """One that is down is followed by the next."""
    with scripted_upstream() as gone:
        pass
    assert pulled({"urls": [gone.url, upstream.url]}) == (200, ONE.content)


def test_registries_are_tried_in_order(upstream: ScriptedUpstream) -> None:
    """The first that has the image gives it, among those whose content the name fits."""
    with scripted_upstream() as other:
        other.add("team/app", TWO, "latest")
        fits = {"urls": [other.url], "content": [{"prefix": "team/*"}]}
        fits_not = {"urls": [other.url], "content": [{"prefix": "other/*"}]}
        mine = {"urls": [upstream.url]}
        assert pulled(fits, mine) == (200, TWO.content)
        assert pulled(fits_not, mine) == (200, ONE.content)
        assert pulled({**fits, "onDemand": False}, mine) == (200, ONE.content)


def test_this_server_is_no_upstream_of_itself(upstream: ScriptedUpstream) -> None:
    """Its own address is left out of the addresses of a registry, and a registry without another one is ignored."""
    own = "http://localhost:5000"
    registries = [{"urls": [own, upstream.url], "onDemand": True}, {"urls": [own], "onDemand": True}]
    tree = {"storage": {"rootDirectory": "/nowhere"}, "http": {"port": "5000"}}
    config = load_tree({**tree, "extensions": {"sync": {"registries": registries}}}).config
    pool = ThreadPool("files", 1, 1)
    assert len(Mirrors(config, pool).upstreams) == 1
    pool.close()


@pytest.mark.needs("docker-registry")
def test_docker_registry_is_mirrored(docker_registry: DockerRegistry) -> None:
    """An image of Docker's own registry is pulled through, with its blobs and ranges of them."""
    repository = "mirrored/app"
    host = docker_registry.url.removeprefix("http://")
    direct = Client(host)
    for blob in ONE.blobs:  # it takes no blob in one request
        begun = direct.ask("POST", f"/v2/{repository}/blobs/uploads/")["Location"] or ""
        target = f"{begun.removeprefix(docker_registry.url)}&digest={sha256(blob)}"
        assert direct.ask("PUT", target, blob, OCTETS).status == 201
    assert direct.put_manifest(repository, "latest", ONE.content, ONE.media_type).status == 201
    sync = {"registries": [{"urls": [docker_registry.url], "onDemand": True}]}
    with serve(config={"extensions": {"sync": sync}}, memory=True) as mirror:
        client = Client(mirror.host)
        assert client.ask("GET", f"/v2/{repository}/manifests/latest").body == ONE.content
        for blob in ONE.blobs:
            assert client.ask("GET", f"/v2/{repository}/blobs/{sha256(blob)}").body == blob
        assert client.ask("GET", f"/v2/{repository}/manifests/other").status == 404
        assert client.ask("GET", f"/v2/{repository}/referrers/{ONE.digest}").json["manifests"] == []
