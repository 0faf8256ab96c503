"""Two servers on one bucket and one engine serve as one: what is acknowledged by one is there on the other at once."""

from __future__ import annotations

import hashlib
import json
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPException
from typing import Any, NamedTuple

import bcrypt
import pytest

from http_client import OCTETS, Client, wait_for
from layout.images import Image, image
from servers.postgres import PostgresServer
from servers.redis import RedisServer
from servers.versitygw import S3Server
from servers.zot import ZOT, ZotServer

USER = "alice:secret"
pytestmark = [pytest.mark.needs("versitygw"), pytest.mark.xdist_group("two-servers")]


class Pair(NamedTuple):
    """Two servers, and clients of each with the rights of a user."""

    first: ZotServer
    second: ZotServer
    a: Client
    b: Client


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("redis", marks=pytest.mark.needs("redis-server")),
        pytest.param("postgres", marks=pytest.mark.needs("postgres")),
    ],
)
def pair(
    request: pytest.FixtureRequest, s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    """Two running servers with directories of their own, a bucket and an engine that they share."""
    name = f"two_{uuid.uuid4().hex}"
    if request.param == "redis":
        redis: RedisServer = request.getfixturevalue("redis_server")
        driver = {"name": "redis", "url": redis.url, "keyprefix": name}
    else:
        postgres: PostgresServer = request.getfixturevalue("postgres_server")
        postgres.sql(f"CREATE DATABASE {name}")
        driver = {"name": "postgres", "url": postgres.url(name)}
    storage = {
        "remoteCache": True,
        "cacheDriver": driver,
        "storageDriver": s3_server.make_bucket(),
        "quotas": [{"repositories": ["small"], "bytes": 4096}],
    }
    folders = [tmp_path_factory.mktemp(f"replica-{number}") for number in (1, 2)]
    passwords = folders[0] / "htpasswd"
    passwords.write_text(f"alice:{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
    http = {
        "workers": 1,
        "auth": {"htpasswd": {"path": str(passwords)}, "apikey": True},
        "accessControl": {
            "repositories": {
                "**": {"policies": [{"users": ["alice"], "actions": ["read", "create", "update", "delete"]}]},
                "fixed": {"policies": [{"users": ["alice"], "actions": ["read", "create"]}]},
            }
        },
    }
    with ExitStack() as running:
        servers = [ZotServer(folder, http=http, storage=storage) for folder in folders]
        for server in servers:
            running.enter_context(server)
        first, second = servers
        yield Pair(first, second, Client(first.host, user=USER), Client(second.host, user=USER))


def an_image() -> Image:
    """Return an image that no other test has."""
    return image(uuid.uuid4().hex)


def test_a_push_is_served_by_the_other_server_at_once(pair: Pair) -> None:
    pushed = an_image()
    pair.a.push("app", pushed, "v1")
    got = pair.b.get("/v2/app/manifests/v1")
    assert (got.status, got.body) == (200, pushed.content)
    for blob in pushed.blobs:
        digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
        assert pair.b.get(f"/v2/app/blobs/{digest}").body == blob


def test_a_moved_tag_is_seen_by_the_other_server_at_once(pair: Pair) -> None:
    for server, other in [(pair.a, pair.b), (pair.b, pair.a)] * 3:
        digest = server.push("moving", an_image(), "latest")
        assert other.head("/v2/moving/manifests/latest")["Docker-Content-Digest"] == digest
        assert other.tags("moving") == ["latest"]


def test_an_upload_goes_on_at_the_other_server(pair: Pair) -> None:
    parts = [bytes([number]) * 700_000 for number in range(4)]
    location = pair.a.begin("chunks")
    begin = 0
    for part, client in zip(parts, [pair.a, pair.b, pair.a, pair.b], strict=True):
        content_range = {"Content-Range": f"{begin}-{begin + len(part) - 1}", **OCTETS}
        answer = client.ask("PATCH", location, part, content_range)
        assert answer.status == 202, answer.body
        location = str(answer["Location"])
        begin += len(part)
    content = b"".join(parts)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    mark = "&" if "?" in location else "?"
    answer = pair.b.ask("PUT", f"{location}{mark}digest={digest}")
    assert answer.status == 201, answer.body
    assert pair.a.get(f"/v2/chunks/blobs/{digest}").body == content


def test_an_api_key_and_a_session_are_valid_on_the_other_server(pair: Pair) -> None:
    made = pair.a.ask("POST", "/zot/auth/apikey", json.dumps({"label": "ci", "scopes": []}).encode())
    assert made.status == 201, made.body
    assert Client(pair.second.host, user=f"alice:{made.json['apiKey']}").get("/v2/").status == 200
    login = pair.a.get("/v2/", X_ZOT_API_CLIENT="zot-ui")
    cookies = "; ".join(each.partition(";")[0] for each in login.headers.get_all("Set-Cookie", []))
    assert cookies
    with_session = {"Cookie": cookies, "X_ZOT_API_CLIENT": "zot-ui"}
    assert pair.second.client.get("/v2/", X_ZOT_API_CLIENT="zot-ui").status == 401
    assert pair.second.client.get("/v2/", **with_session).status == 200


def test_a_digest_is_deleted_on_one_server_and_pushed_on_the_other(pair: Pair) -> None:
    content = uuid.uuid4().bytes * 8_000  # too large for the catalog
    for client, other in [(pair.a, pair.b), (pair.b, pair.a)] * 2:
        digest = client.push_blob("again", content)
        assert other.get(f"/v2/again/blobs/{digest}").body == content
        assert other.ask("DELETE", f"/v2/again/blobs/{digest}").status == 202
        assert client.head(f"/v2/again/blobs/{digest}").status == 404
    digest = pair.b.push_blob("again", content)
    assert pair.a.get(f"/v2/again/blobs/{digest}").body == content


def test_quotas_and_immutable_tags_hold_on_both_servers(pair: Pair) -> None:
    digest = f"sha256:{hashlib.sha256(b'x' * 3000).hexdigest()}"
    answer = pair.a.ask("POST", f"/v2/small/blobs/uploads/?digest={digest}", b"x" * 3000, OCTETS)
    assert answer.status == 201, answer.body
    digest = f"sha256:{hashlib.sha256(b'y' * 3000).hexdigest()}"
    answer = pair.b.ask("POST", f"/v2/small/blobs/uploads/?digest={digest}", b"y" * 3000, OCTETS)
    assert answer.error == (403, "DENIED")
    first, second = an_image(), an_image()
    pair.a.push("fixed", first, "v1")
    pair.b.push("fixed", second)
    for client in (pair.a, pair.b):
        assert client.put_manifest("fixed", "v1", second.content, second.media_type).status == 403
        assert client.get("/v2/fixed/manifests/v1").body == first.content


def replicas(server: ZotServer) -> list[dict[str, Any]]:
    """Return what `zot replicas` says on the machine of a server."""
    shown = subprocess.run([ZOT, "replicas", "--format", "json", server.config], capture_output=True, check=True)
    found: list[dict[str, Any]] = json.loads(shown.stdout)
    return found


def test_each_server_shows_both(pair: Pair) -> None:
    both = {pair.first.host, pair.second.host}
    for server in (pair.first, pair.second):
        wait_for(lambda server=server: {each["replica"]["address"] for each in replicas(server)} == both)  # type: ignore[misc]
    held = [name for each in replicas(pair.first) for name in each["replica"]["leases"]]
    assert len(held) == len(set(held))


def test_a_killed_server_loses_nothing_and_returns(pair: Pair) -> None:
    acknowledged: list[tuple[str, Image]] = []

    def push() -> None:
        for number in range(1000):
            pushed = an_image()
            try:
                pair.a.push("killed", pushed, f"v{number}")
            except (OSError, HTTPException):
                return
            acknowledged.append((f"v{number}", pushed))

    pushing = threading.Thread(target=push)
    pushing.start()
    wait_for(lambda: len(acknowledged) >= 10)
    pair.first.kill()
    pushing.join()
    for tag, pushed in acknowledged:
        assert pair.b.get(f"/v2/killed/manifests/{tag}").body == pushed.content
        for blob in pushed.blobs:
            assert pair.b.get(f"/v2/killed/blobs/sha256:{hashlib.sha256(blob).hexdigest()}").body == blob
    pair.b.push("killed", an_image(), "after")
    pair.first.start()
    assert pair.a.tags("killed") == pair.b.tags("killed")
