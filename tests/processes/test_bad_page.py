"""A page of the catalog goes bad while the server runs: no push that was acknowledged is lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from http_client import OCTETS, Client, wait_for
from layout.images import Image, image, sha256
from servers.zot import ZotServer
from zot.catalog.sqlite.directory import DATABASE
from zot.catalog.sqlite.wal import PAGE_BYTES

BEFORE = [image(f"before {number}") for number in range(40)]
AFTER = [image(f"after {number}") for number in range(8)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ZotServer]:
    """A running server that holds some images, none of them read yet, and whose layout shows them."""
    with ZotServer(tmp_path) as running:
        for number, each in enumerate(BEFORE):
            running.client.push("a/b", each, f"before-{number}")
        running.stop()
        running.start()
        yield running


def push(client: Client, pushed: Image, tag: str) -> None:
    """Push an image; what gets 503 is sent again."""
    for blob in pushed.blobs:
        wait_for(
            lambda: client.ask("POST", f"/v2/a/b/blobs/uploads/?digest={sha256(blob)}", blob, OCTETS).status == 201  # noqa: B023
        )
    wait_for(lambda: client.put_manifest("a/b", tag, pushed.content, pushed.media_type).status == 201)


def is_there(client: Client, pushed: Image, tag: str) -> bool:
    """Tell whether an image can be pulled by its tag, byte for byte."""
    found = [client.get(f"/v2/a/b/manifests/{tag}").body == pushed.content]
    found += [client.get(f"/v2/a/b/blobs/{sha256(blob)}").body == blob for blob in pushed.blobs]
    return all(found)


def spoil(server: ZotServer, tree: str) -> None:
    """Overwrite a page in the middle of a table."""
    path = server.root / ".zot" / DATABASE
    with closing(apsw.Connection(str(path))) as database:
        rows: list[tuple[int]] = list(
            database.execute("SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf'", (tree,))
        )
    with path.open("r+b") as file:
        file.seek((rows[len(rows) // 2][0] - 1) * PAGE_BYTES)
        file.write(os.urandom(PAGE_BYTES))


@pytest.mark.parametrize("tree", ["content", "blob"])
def test_a_bad_page_loses_nothing_that_was_acknowledged(server: ZotServer, tree: str) -> None:
    """The catalog is made again while the server runs; what it lost comes back from the layouts, also after a start."""
    client = server.client
    spoil(server, tree)
    for number, each in enumerate(AFTER):
        push(client, each, f"after-{number}")
    images = {
        f"{name}-{n}": each for name, all_ in (("before", BEFORE), ("after", AFTER)) for n, each in enumerate(all_)
    }
    for _ in range(2):
        for tag, each in images.items():
            wait_for(lambda: is_there(client, each, tag))  # noqa: B023
        assert sorted(images) == client.tags("a/b")
        server.stop()
        server.start()
    assert "and is made again, the damaged one is kept as" in server.output()
    wait_for(lambda: client.get("/readyz").status == 200)
