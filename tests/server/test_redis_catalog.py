"""A registry on local files with its catalog in Redis."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from http_client import wait_for
from layout.images import image
from servers.redis import RedisServer
from servers.zot import ZOT, ZotServer

pytestmark = pytest.mark.needs("redis-server")


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server that keeps what it is given."""
    arguments = ["--appendonly", "yes", "--appendfsync", "always"]
    with RedisServer(tmp_path_factory.mktemp("redis"), arguments) as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, redis: RedisServer) -> Iterator[ZotServer]:
    """A registry with two workers. A test that stops something starts it again."""
    storage = {"remoteCache": True, "cacheDriver": {"name": "redis", "url": redis.url}}
    with ZotServer(tmp_path_factory.mktemp("server"), storage=storage) as running:
        yield running


def command(server: ZotServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of zot on the server's configuration."""
    return subprocess.run([ZOT, *arguments, server.config], capture_output=True, text=True, timeout=60, check=False)


def test_no_process_writes_the_catalog(server: ZotServer) -> None:
    """Redis is the writer, and there is no database on the disk."""
    assert set(server.processes()) == {"jobs", "worker-0", "worker-1"}
    assert not list((server.root / ".zot").glob("catalog.db*"))


def test_what_is_pushed_is_exported_collected_and_kept(server: ZotServer) -> None:
    """An image is pulled as it was pushed, is in its layout, survives a collection and a restart."""
    client, pushed = server.client, image("one")
    digest = client.push("team/app", pushed, "v1")
    wait_for(lambda: digest.encode() in _index(server, "team/app"))
    collected = command(server, "gc")
    assert collected.returncode == 0, collected.stderr
    server.stop()
    server.start()
    assert client.get("/v2/team/app/manifests/v1")["docker-content-digest"] == digest
    assert client.tags("team/app") == ["v1"]


def test_requests_are_refused_while_redis_is_away(server: ZotServer, redis: RedisServer) -> None:
    """They get 503, and are served again once it is back, without a restart."""
    client = server.client
    digest = client.push("app", image("two"), "v2")
    redis.kill()
    refused = client.get("/v2/app/manifests/v2")
    redis.start()
    assert refused.status == 503
    wait_for(lambda: client.get("/v2/app/manifests/v2").status == 200)
    assert client.get("/v2/app/manifests/v2")["docker-content-digest"] == digest
    client.push("app", image("three"), "v3")


def test_a_backup_is_refused_before_anything_is_copied(server: ZotServer, tmp_path: Path) -> None:
    """One line names what to use."""
    refused = command(server, "backup", str(tmp_path / "backup"))
    assert refused.returncode != 0
    assert "back it up with the server's own files" in refused.stderr
    assert not (tmp_path / "backup").exists()


def test_verify_tells_what_redis_may_lose(server: ZotServer, redis_server: RedisServer, tmp_path: Path) -> None:
    """A server without an append-only file is warned of; one that is away ends the start, too."""
    tree = json.loads(server.config.read_text())
    tree["http"]["port"] = "0"
    for url, expected in ((redis_server.url, "no append-only file"), ("redis://127.0.0.1:1", "cannot be reached")):
        tree["storage"]["cacheDriver"]["url"] = url
        file = tmp_path / "config.json"
        file.write_text(json.dumps(tree))
        checked = subprocess.run([ZOT, "verify", file], capture_output=True, text=True, timeout=60, check=False)
        assert expected in checked.stderr


def _index(server: ZotServer, repository: str) -> bytes:
    path = server.root / repository / "index.json"
    return path.read_bytes() if path.exists() else b""
