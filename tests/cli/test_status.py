"""`zot status`: how a running server is, in words and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from certificates import Authority
from http_client import Client, wait_for
from layout.images import image
from servers.zot import ZotServer
from zot import __version__
from zot.cli.main import cli
from zot.testing import serve


def status(file: Path, *options: str) -> Result:
    return CliRunner().invoke(cli, ["status", *options, str(file)])


def configured(folder: Path, **sections: Any) -> dict[str, Any]:
    """Write a configuration for the store `content` of a folder, and return it."""
    storage = {"rootDirectory": str(folder / "content"), "minFreeBytes": 0, "minFreePercent": 0}
    tree = {"http": {"address": "127.0.0.1", "port": "0"}, **sections}
    tree["storage"] = storage | sections.get("storage", {})
    (folder / "config.json").write_text(json.dumps(tree))
    return tree


def test_a_server_without_faults_is_healthy(tmp_path: Path) -> None:
    """Exit status 0, with what the store holds and how far the index is."""
    tree = configured(tmp_path, extensions={"search": {}})
    file = tmp_path / "config.json"
    with serve(tmp_path / "content", tree) as registry:
        Client(registry.host).push("team/app", image("status"), "1", "2")
        wait_for(lambda: "1 repositories, 2 images\n" in status(file).output)
        result = status(file)
        assert result.exit_code == 0, result.output
        assert result.output.splitlines()[-1] == "healthy"
        assert "one for everything" in result.output
        found = json.loads(status(file, "--format", "json").output)
    (store,) = found["stores"]
    assert (store["route"], store["repositories"]) == ("/", 1)
    assert 0 < store["free_bytes"] <= store["disk_bytes"]
    assert found["warnings"] == []
    assert "ChangeLogTrim" in {each["task"] for each in found["jobs"]}


def test_the_replicas_of_a_store_are_listed(tmp_path: Path) -> None:
    """A server without a shared catalog is the only one; it holds all leases of background work."""
    tree = configured(tmp_path)
    with serve(tmp_path / "content", tree):

        def listed() -> Any:
            result = CliRunner().invoke(cli, ["replicas", "--format", "json", str(tmp_path / "config.json")])
            assert result.exit_code == 0, result.output
            return json.loads(result.output)

        wait_for(lambda: listed() and listed()[0]["replica"]["leases"] == ["export", "import", "maintenance"])
        (row,) = listed()
        assert row["replica"]["version"] == __version__
        assert row["replica"]["behind"] is None
        result = CliRunner().invoke(cli, ["replicas", str(tmp_path / "config.json")])
    assert "export, import, maintenance" in result.output


def test_without_a_server_it_says_so(tmp_path: Path) -> None:
    """Exit status 1, and the store is neither made nor opened."""
    configured(tmp_path)
    result = status(tmp_path / "config.json")
    assert result.exit_code == 1
    assert "no server runs on" in result.output
    assert not (tmp_path / "content").exists()


def test_what_needs_attention_is_a_warning(tmp_path: Path) -> None:
    """A disk too full for pushes, and a certificate that ends soon: exit status 1."""
    certificate, key = Authority(tmp_path).issue("server", hosts=["127.0.0.1"], days=1)
    tls = {"cert": str(certificate), "key": str(key)}
    tree = configured(tmp_path, http={"port": "0", "tls": tls}, storage={"minFreePercent": 99.9})
    with serve(tmp_path / "content", tree):
        result = status(tmp_path / "config.json")
    assert result.exit_code == 1
    warnings = [line for line in result.output.splitlines() if line.startswith("Warning: ")]
    assert [("pushes are refused" in each, "certificate expires" in each) for each in warnings] == [
        (True, False),
        (False, True),
    ]
    assert "certificate    valid until" in result.output


def test_it_names_every_process(tmp_path: Path) -> None:
    """The processes below the supervisor, each of which responds."""
    with ZotServer(tmp_path) as server:
        wait_for(lambda: status(server.config).exit_code == 0)
        found = json.loads(status(server.config, "--format", "json").output)
    assert {each["name"] for each in found["processes"]} == {"writer", "jobs", "worker-0", "worker-1"}
    assert found["config"] == str(server.config)
