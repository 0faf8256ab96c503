"""A server whose disk is full to the last byte serves, deletes, and starts again."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from http_client import OCTETS
from layout.images import image, index
from servers.zot import ZotServer

SIZE_BYTES = 64 << 20
PUSHED = image("pushed")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ZotServer]:
    """A running server whose store is a file system of 64 MiB."""
    root = tmp_path / "data"
    root.mkdir()
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "tmpfs", root], capture_output=True, text=True, check=False
    )
    if mounting.returncode:
        pytest.skip(f"a file system can be mounted by root alone: {mounting.stderr.strip()}")
    try:
        with ZotServer(tmp_path) as running:
            yield running
    finally:
        subprocess.run(["umount", "--lazy", root], check=True)


def fill(root: Path) -> None:
    """Take all the room that is left, as another program's file does."""
    with (root / "of-another-program").open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(os.urandom(4096))
    assert shutil.disk_usage(root).free == 0


@pytest.mark.parametrize("killed", [False, True])
def test_a_full_disk_serves_deletes_and_starts(server: ZotServer, killed: bool) -> None:
    """With no byte free a tag is deleted, the server starts, pulls and deletes go on, and pushes get 503."""
    client = server.client
    client.push("app", PUSHED, "v1", "v2", "v3")
    fill(server.root)
    assert client.ask("DELETE", "/v2/app/manifests/v3").status == 202
    fill(server.root)
    if killed:
        server.kill()
    else:
        server.stop()
    fill(server.root)
    server.start()
    assert "pushes are refused" not in server.output()  # this server keeps nothing free
    assert client.get("/v2/app/manifests/v1").body == PUSHED.content
    assert client.tags("app") == ["v1", "v2"]
    assert client.ask("POST", "/v2/app/blobs/uploads/", headers=OCTETS).error == (503, "UNAVAILABLE")
    empty = index()
    assert client.put_manifest("app", "v4", empty.content, empty.media_type).error == (503, "UNAVAILABLE")
    (server.root / "of-another-program").unlink()
    assert client.ask("DELETE", "/v2/app/manifests/v2").status == 202
