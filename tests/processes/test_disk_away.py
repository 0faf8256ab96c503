"""A store whose disk goes away while processes are replaced: nothing is made in the wrong place, and it heals."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

from http_client import wait_for
from servers.zot import ZotServer
from zot.oci.media_types import IMAGE_INDEX

INDEX = json.dumps({"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": []}).encode()


def put(server: ZotServer, tag: str) -> int:
    """Push an empty index under a tag; return the status."""
    return server.client.ask("PUT", f"/v2/a/b/manifests/{tag}", INDEX, {"Content-Type": IMAGE_INDEX}).status


def replace(server: ZotServer, name: str) -> None:
    """Kill a process, and wait for the one in its place."""
    pid = server.processes()[name]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: server.processes().get(name, pid) != pid)


def test_replaced_processes_wait_for_the_disk(tmp_path: Path) -> None:
    """On an empty directory in the store's place nothing is acknowledged or made; with the store back all goes on."""
    with ZotServer(tmp_path) as server:
        assert put(server, "before") == 201
        away = server.root.rename(tmp_path / "away")
        server.root.mkdir()
        replace(server, "writer")
        wait_for(lambda: "the catalog's writer waits" in server.output())
        assert put(server, "meanwhile") == 503
        assert server.client.get("/readyz").status == 503
        replace(server, "jobs")
        replace(server, "worker-0")
        wait_for(lambda: server.output().count("a replaced process waits for the catalog") >= 2)
        assert list(server.root.iterdir()) == []
        shutil.rmtree(server.root)
        away.rename(server.root)
        wait_for(lambda: server.client.get("/readyz").status == 200)
        assert put(server, "after") == 201
        assert json.loads(server.client.get("/v2/a/b/tags/list").body)["tags"] == ["after", "before"]
        index = server.root / "a" / "b" / "index.json"
        wait_for(lambda: index.exists() and "after" in index.read_text())
