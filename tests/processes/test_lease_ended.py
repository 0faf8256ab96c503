"""A server whose lease was ended by another one starts again as a new owner, rather than being refused for good."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from http_client import OCTETS, wait_for
from layout.images import sha256
from servers.zot import ZotServer

CONTENT = b"pushed before another server took over"
# Too large for the catalog: its file is claimed by an owner.
LATER = b"pushed after it" * 5000


def owners(catalog: Path, *, alive: bool) -> set[str]:
    """Return the owners whose lease has not ended, or has."""
    with closing(sqlite3.connect(catalog)) as database:
        rows = database.execute("SELECT id FROM owner WHERE (ended_ns IS NULL) = ?", (alive,)).fetchall()
    return {owner for (owner,) in rows}


def end_leases(catalog: Path) -> None:
    """End all leases, as a server on the same catalog does when they have expired."""
    with closing(sqlite3.connect(catalog, timeout=10)) as database, database:
        database.execute("UPDATE owner SET ended_ns = ? WHERE ended_ns IS NULL", (time.time_ns(),))


@pytest.mark.parametrize("workers", [2, 0])
def test_a_server_whose_lease_has_ended_starts_again(tmp_path: Path, workers: int) -> None:
    """Pushes are refused until it has learned of it, then accepted again, on the same port; nothing is lost."""
    with ZotServer(tmp_path, http={"workers": workers}) as server:
        client, catalog = server.client, server.root / ".zot" / "catalog.db"
        client.push_blob("app", CONTENT)
        (first,) = owners(catalog, alive=True)
        end_leases(catalog)
        location = client.begin("app")
        refused = client.ask("PUT", f"{location}?digest={sha256(LATER)}", LATER, OCTETS)
        assert refused.status == 503
        wait_for(lambda: "starts again as a new owner" in server.output())

        def pushes() -> bool:
            try:
                begun = client.begin("app")
                return client.ask("PUT", f"{begun}?digest={sha256(LATER)}", LATER, OCTETS).status == 201
            except (OSError, AssertionError, KeyError):
                return False

        wait_for(pushes)
        (second,) = owners(catalog, alive=True)
        assert first in owners(catalog, alive=False)
        assert second != first
        for content in (CONTENT, LATER):
            assert client.get(f"/v2/app/blobs/{sha256(content)}").body == content
        children = server.processes()
        assert set(children) == ({"writer", "jobs", "worker-0", "worker-1"} if workers else set())
        assert server.stop() == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in children.values())
