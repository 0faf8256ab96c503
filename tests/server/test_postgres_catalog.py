"""A whole server whose catalog is in PostgreSQL: pushed, killed, restarted, collected."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from http_client import Client
from servers.postgres import PostgresServer
from servers.zot import ZOT, ZotServer
from zot.oci.digest import digest_of

pytestmark = pytest.mark.needs("postgres")

IMAGE_TYPE = "application/vnd.oci.image.manifest.v1+json"
LAYER = b"layer" * 20_000
CONFIG = b"{}"


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    """A server that the tests of this module kill, with a database for the registry."""
    with PostgresServer() as running:
        running.sql("CREATE DATABASE zot")
        yield running


@pytest.fixture(scope="module")
def served(database: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZotServer]:
    """A registry in several processes, on that database."""
    driver = {"name": "postgres", "url": database.url("zot")}
    with ZotServer(tmp_path_factory.mktemp("zot"), storage={"cacheDriver": driver}) as running:
        yield running


def push(client: Client, tag: str, repository: str = "team/app") -> int:
    """Push an image of a layer and a config; return the status of the manifest."""
    for content in (LAYER, CONFIG):
        target = f"/v2/{repository}/blobs/uploads/?digest={digest_of(content)}"
        assert client.ask("POST", target, content, {"Content-Type": "application/octet-stream"}).status == 201
    described = [
        {"mediaType": "application/octet-stream", "digest": digest_of(content), "size": len(content)}
        for content in (CONFIG, LAYER)
    ]
    manifest = {"schemaVersion": 2, "mediaType": IMAGE_TYPE, "config": described[0], "layers": described[1:]}
    body = json.dumps(manifest | {"annotations": {"tag": tag}}).encode()
    return client.ask("PUT", f"/v2/{repository}/manifests/{tag}", body, {"Content-Type": IMAGE_TYPE}).status


def zot(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the product."""
    return subprocess.run([ZOT, *arguments], capture_output=True, text=True, check=False)


def test_it_serves_what_was_pushed_without_a_writer(served: ZotServer) -> None:
    """A pushed image is pulled from all workers, and no process writes an embedded catalog."""
    assert push(served.client, "v1") == 201
    for _ in range(4):
        manifest = served.client.get("/v2/team/app/manifests/v1").json
        for each in (manifest["config"], *manifest["layers"]):
            assert len(served.client.get(f"/v2/team/app/blobs/{each['digest']}").body) == each["size"]
    assert served.client.get("/v2/team/app/tags/list").json["tags"] == ["v1"]
    assert set(served.processes()) == {"jobs", "worker-0", "worker-1"}
    assert not list(served.root.rglob("catalog.db"))


def test_a_killed_database_is_an_outage_and_no_more(served: ZotServer, database: PostgresServer) -> None:
    """While it is away requests are answered with 503; once it is back the same processes serve, and have all."""
    assert push(served.client, "before") == 201
    database.kill()
    down = served.client.get("/v2/team/app/manifests/before")
    assert down.status == 503
    assert down["Retry-After"]
    assert served.client.get("/readyz").status == 503
    processes = served.processes()
    database.start()
    assert push(served.client, "after") == 201
    assert served.client.get("/v2/team/app/manifests/before").status == 200
    assert served.processes() == processes


def test_commands_reach_the_running_server(served: ZotServer, tmp_path: Path) -> None:
    """A collection keeps what is referenced; a backup is refused in one line that says what to use."""
    assert push(served.client, "kept") == 201
    done = zot("gc", served.config)
    assert (done.returncode, done.stderr) == (0, "")
    assert served.client.get("/v2/team/app/manifests/kept").status == 200
    refused = zot("backup", tmp_path / "backup", served.config)
    assert refused.returncode == 1
    assert "with pg_dump" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_a_restart_has_all(served: ZotServer, database: PostgresServer) -> None:
    """A new start of the server, after a kill of all processes, has what was acknowledged; layouts show it."""
    assert push(served.client, "last") == 201
    served.kill()
    served.start()
    assert served.client.get("/v2/team/app/manifests/last").status == 200
    assert served.stop() == 0
    shown = json.loads((served.root / "team/app/index.json").read_text())["manifests"]
    assert "last" in {each["annotations"]["org.opencontainers.image.ref.name"] for each in shown}
    assert database.sql("SELECT count(*) FROM zot_catalog.claim", "zot") == "0"
    served.start()


def test_a_database_that_takes_no_changes_is_refused_in_one_line(served: ZotServer, database: PostgresServer) -> None:
    """A start names the place and what is wrong, without the password."""
    database.sql("CREATE DATABASE frozen")
    database.sql("ALTER DATABASE frozen SET default_transaction_read_only = on")
    folder = served.folder / "frozen"
    folder.mkdir()
    url = database.url("frozen").replace("postgres@", "postgres:hidden@")
    other = ZotServer(folder, storage={"cacheDriver": {"name": "postgres", "url": url}})
    done = zot("serve", other.config)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if "frozen: default_transaction_read_only is on" in line]
    assert len(lines) == 1
    assert "hidden" not in done.stderr
