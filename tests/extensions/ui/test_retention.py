"""The page of retention shows what would be deleted, and why, to visitors who may delete there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from extensions.ui.visitor import EXTENSIONS, page
from http_client import Client, wait_for
from layout.images import image
from zot.admin import operations
from zot.maintenance import scheduler
from zot.testing import RunningRegistry, serve

KEEP = [{"repositories": ["team/**"], "keepTags": [{"patterns": ["kept.*"]}]}]


def config(users: Path, **storage: Any) -> dict[str, Any]:
    """Return a registry in which alice deletes in `team/**`, and bob reads."""
    users.write_bytes(
        b"".join(name + b":" + bcrypt.hashpw(name, bcrypt.gensalt(4)) + b"\n" for name in (b"admin", b"alice", b"bob"))
    )
    alice = {"users": ["alice"], "actions": ["read", "delete"]}
    rules = {
        "repositories": {"team/**": {"policies": [alice, {"users": ["bob"], "actions": ["read"]}]}},
        "adminPolicy": {"users": ["admin"], "actions": ["read", "create"]},
    }
    http = {"auth": {"htpasswd": {"path": str(users)}}, "accessControl": rules}
    return {"extensions": EXTENSIONS, "http": http, "storage": {"gc": True, "gcDelay": "1h", **storage}}


@pytest.fixture(scope="module")
def retained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry that keeps tags by their names."""
    folder = tmp_path_factory.mktemp("retained")
    described = config(folder / "users", retention={"policies": KEEP})
    with pytest.MonkeyPatch.context() as patched:
        # Collection does not begin by itself.
        patched.setattr(scheduler, "_spread", lambda: 1.0)
        patched.setattr(scheduler, "_SPREAD_S", 3600.0)
        with serve(folder / "content", described) as registry:
            fill(registry)
            yield registry


def fill(registry: RunningRegistry) -> None:
    """Push tags that a rule keeps, and one that it does not keep."""
    admin = Client(registry.host, user="admin:admin")
    admin.push("team/app", image("kept"), *[f"kept{each:02}" for each in range(60)])
    admin.push("team/app", image("old"), "old")
    # Each process writes its counts of pushes once a second, and a page does not wait for them.
    wait_for(lambda: "would delete 1 tag" in page(admin, "/image/team%2Fapp/retention"))


@pytest.mark.parametrize("user", ["alice", "admin"])
def test_deletes_and_decisions_are_shown_with_their_reasons(retained: RunningRegistry, user: str) -> None:
    client = Client(retained.host, user=f"{user}:{user}")
    text = page(client, "/image/team%2Fapp/retention")
    assert "collection would delete 1 tag, 1 manifest and 2 blobs" in text
    assert "tag 'patterns' rules" in text.replace("&#39;", "'")
    assert "retained by patterns policy" in text
    assert "50 of 61" in text
    rest = page(client, "/image/team%2Fapp/retention?tags=50")
    assert "kept59" in rest
    kept = '<span class="tag good">kept</span>'
    assert (text.count(kept), rest.count(kept)) == (50, 10)  # in the order of tags "old" is the last


def test_a_page_of_a_large_repository_shows_tags_and_says_so(
    retained: RunningRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the tags' manifests name is read of a repository up to a limit."""
    monkeypatch.setattr(operations, "PAGE_MANIFESTS_LIMIT", 1)
    for user, path in (("alice", "/image/team%2Fapp/retention"), ("admin", "/admin/collection?repository=team/app")):
        text = page(Client(retained.host, user=f"{user}:{user}"), path)
        assert "only tags are shown here" in text
        assert "tag 'patterns' rules" in text.replace("&#39;", "'")
    text = page(Client(retained.host, user="alice:alice"), "/image/team%2Fapp/retention")
    assert "would delete 1 tag, 0 manifests and 0 blobs" in text
    assert "50 of 61" in text
    monkeypatch.setattr(operations, "PAGE_MANIFESTS_LIMIT", 2)
    assert "only tags" not in page(Client(retained.host, user="alice:alice"), "/image/team%2Fapp/retention")


def test_a_visitor_who_may_not_delete_learns_how_to_ask(retained: RunningRegistry) -> None:
    text = page(Client(retained.host, user="bob:bob"), "/image/team%2Fapp/retention")
    assert "shown to those who may delete here" in text
    assert "kept00" not in text
    assert Client(retained.host, user="bob:bob").get("/image/team%2Fnone/retention").status == 404


@pytest.mark.parametrize("query", ["offset=x", "offset=9999999", "tags=-1", "tags=9999999"])
def test_an_offset_that_cannot_be_read_is_no_error(retained: RunningRegistry, query: str) -> None:
    page(Client(retained.host, user="alice:alice"), f"/image/team%2Fapp/retention?{query}")


def test_a_store_that_collects_nothing_says_so(tmp_path: Path) -> None:
    with serve(tmp_path / "content", config(tmp_path / "users", gc=False)) as registry:
        Client(registry.host, user="admin:admin").push("team/app", image("app"), "1")
        text = page(Client(registry.host, user="alice:alice"), "/image/team%2Fapp/retention")
        assert "garbage collection is off" in text


def test_without_rules_all_tags_stay(tmp_path: Path) -> None:
    with serve(tmp_path / "content", config(tmp_path / "users")) as registry:
        Client(registry.host, user="admin:admin").push("team/app", image("app"), "1")
        text = page(Client(registry.host, user="alice:alice"), "/image/team%2Fapp/retention")
        assert "No rule of retention deletes tags" in text
        assert "<p>Nothing.</p>" in text
