"""`zot serve` with options in place of keys of the configuration."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from http_client import Client, wait_for
from servers.process import Process, accepts, free_port
from servers.zot import ZOT
from zot.cli.configuration import checked
from zot.config.load import load_tree
from zot.config.model import DEFAULT_TREE, Config


def test_without_a_file_options_replace_the_defaults(tmp_path: Path) -> None:
    """Address, port and directory, and nothing is made elsewhere."""
    port = free_port()
    options = ["--address", "localhost", "--port", str(port), "--root", str(tmp_path / "data"), "--workers", "0"]
    server = Process([ZOT, "serve", *options], log=tmp_path / "log", ready=lambda: accepts(port))
    with server:
        Client(f"127.0.0.1:{port}").push_blob("app", b"content")
        wait_for(lambda: f"zot serves http://127.0.0.1:{port} from {tmp_path / 'data'}" in server.output())
    assert (tmp_path / "data" / "app" / "blobs").exists()


@pytest.mark.parametrize("workers", ["0", "2"])
def test_options_go_before_the_file_also_when_it_is_reloaded(tmp_path: Path, workers: str) -> None:
    """The file's own port and directory are no changes that wait for a restart."""
    tree: dict[str, Any] = {"storage": {"rootDirectory": "/nowhere"}, "http": {"port": "1"}}
    file, port = tmp_path / "config.json", free_port()
    file.write_text(json.dumps(tree))
    options = ["--workers", workers, "--port", str(port), "--root", str(tmp_path / "data")]
    with Process([ZOT, "serve", *options, file], log=tmp_path / "log", ready=lambda: accepts(port)) as server:
        tree["http"] |= {"accessControl": {"repositories": {"**": {"anonymousPolicy": ["read"]}}}}
        file.write_text(json.dumps(tree))
        wait_for(lambda: "configuration reloaded: http.accessControl" in server.output())
        assert "after a restart" not in server.output()


def test_an_option_that_cannot_be_is_refused(tmp_path: Path) -> None:
    """By the command line, or by the rules of the configuration."""
    for options in (["--port", "70000"], ["--root", __file__], ["--address", "no such host.invalid", "--port", "0"]):
        done = subprocess.run(
            [ZOT, "serve", *options], capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path
        )
        assert done.returncode != 0
        assert "Traceback" not in done.stderr


def test_the_default_is_what_its_tree_says() -> None:
    """With options and without a file the same holds as without options, but for them."""
    assert load_tree(DEFAULT_TREE).config == Config.default()
    assert checked(None, {"http": {"port": "5000"}}).http.port == "5000"
