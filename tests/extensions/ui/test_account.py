"""The user's own page: API keys and sessions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from extensions.ui.visitor import EXTENSIONS, log_in, page, post
from http_client import Client
from layout.images import image
from zot.testing import RunningRegistry, serve

PATH = "/user/apikey"


def created(guarded: RunningRegistry, cookie: dict[str, str], **fields: str) -> str:
    """Create a key by the form and return its secret."""
    answer = post(Client(guarded.host), "/ui/keys", cookie, **fields)
    assert answer.status == 200
    assert answer["Cache-Control"] == "private, no-store"
    found = re.search(rb"zak_[0-9a-f]{32}", answer.body)
    assert found is not None
    return found.group().decode()


def test_a_key_created_on_the_page_works_within_its_scopes(guarded: RunningRegistry) -> None:
    client = Client(guarded.host)
    cookie = log_in(client, "alice")
    secret = created(guarded, cookie, label="ci", scopes="repository:team/app:pull", expires_days="7")
    keyed = Client(guarded.host, user=f"alice:{secret}")
    assert keyed.get("/v2/team/app/manifests/1").status == 200
    assert keyed.ask("DELETE", "/v2/team/app/manifests/1").status == 403
    shown = page(client, PATH, **cookie)
    assert secret not in shown
    assert "repository:team/app:pull" in shown


def test_a_key_revoked_on_the_page_works_no_more(guarded: RunningRegistry) -> None:
    client = Client(guarded.host)
    cookie = log_in(client, "alice")
    secret = created(guarded, cookie, label="to-revoke", scopes="team/app", expires_days="")
    keyed = Client(guarded.host, user=f"alice:{secret}")
    assert keyed.get("/v2/team/app/manifests/1").status == 200
    row = page(client, PATH, **cookie).partition("to-revoke")[2]
    key_id = row.partition('name="id" value="')[2].partition('"')[0]
    assert post(client, "/ui/keys/revoke", log_in(client, "bob"), id=key_id).status == 303
    assert keyed.get("/v2/team/app/manifests/1").status == 200
    assert post(client, "/ui/keys/revoke", cookie, id=key_id)["Location"] == PATH
    assert keyed.get("/v2/team/app/manifests/1").status == 401


@pytest.mark.parametrize("fields", [{"scopes": "repository:a:fly"}, {"expires_days": "x"}, {"expires_days": "0"}])
def test_a_key_that_cannot_be_is_refused(guarded: RunningRegistry, fields: dict[str, str]) -> None:
    client = Client(guarded.host)
    answer = post(client, "/ui/keys", log_in(client, "alice"), **{"label": "x", **fields})
    assert answer.status == 400
    assert b"zak_" not in answer.body


def test_a_user_ends_own_sessions_and_no_others(guarded: RunningRegistry) -> None:
    client = Client(guarded.host)
    first = log_in(client, "carol")
    shown = page(client, PATH, **first)
    session = shown.partition('name="session" value="')[2].partition('"')[0]
    assert post(client, "/ui/sessions/end", log_in(client, "alice"), session=session).status == 400
    assert "carol" in page(client, PATH, **first)
    assert post(client, "/ui/sessions/end", first, session=session)["Location"] == PATH
    assert client.get(PATH, **first).status == 303


def test_a_guest_is_led_to_the_login(guarded: RunningRegistry) -> None:
    client = Client(guarded.host)
    assert client.get(PATH)["Location"] == f"/login?next={PATH}"
    assert post(client, "/ui/keys", label="x")["Location"] == "/login?next=/"


def test_a_limited_key_sees_no_account(guarded: RunningRegistry) -> None:
    client = Client(guarded.host)
    secret = created(guarded, log_in(client, "alice"), label="limited", scopes="team/app")
    assert Client(guarded.host, user=f"alice:{secret}").get(PATH).status == 403


def test_the_session_of_the_visit_is_marked(guarded: RunningRegistry) -> None:
    client = Client(guarded.host)
    others = log_in(client, "bob")
    shown = page(client, PATH, **log_in(client, "bob"))
    assert shown.count("this one") == 1
    assert page(client, PATH, **others).count("this one") == 1


def test_a_star_of_a_repository_that_cannot_be_read_any_more_is_no_link(tmp_path: Path) -> None:
    users = tmp_path / "htpasswd"
    users.write_bytes(b"alice:" + bcrypt.hashpw(b"alice", bcrypt.gensalt(4)) + b"\n")

    def config(**rules: list[str]) -> dict[str, Any]:
        repositories = {name: {"policies": [{"users": ["alice"], "actions": each}]} for name, each in rules.items()}
        access = {"repositories": repositories}
        return {"extensions": EXTENSIONS, "http": {"auth": {"htpasswd": {"path": str(users)}}, "accessControl": access}}

    with serve(tmp_path / "content", config(kept=["read", "create"], lost=["read", "create"])) as registry:
        client = Client(registry.host, user="alice:alice")
        for name in ("kept", "lost"):
            client.push(name, image(name), "1")
            assert post(client, "/ui/star", repository=name).status == 303
    with serve(tmp_path / "content", config(kept=["read"])) as registry:
        shown = page(Client(registry.host, user="alice:alice"), PATH)
    assert '<a href="/image/kept">kept</a>' in shown
    assert "/image/lost" not in shown
    assert "lost <span" in shown
