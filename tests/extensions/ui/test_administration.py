"""The administrators' pages: what they show, what they do, and to whom."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from extensions.ui.administered import HOSTILE_USER, SECRET, administered
from extensions.ui.visitor import EXTENSIONS, FORM, log_in, page, post
from http_client import Client, Response, wait_for
from servers.zot import ZotServer
from zot.testing import RunningRegistry, serve

VIEWS = ["", "/usage", "/jobs", "/collection", "/users", "/audit", "/configuration"]
PATHS = [f"/admin{each}" for each in VIEWS]
FORMS = {
    "/ui/admin/jobs/start": {"task": "GCTaskGenerator /"},
    "/ui/admin/keys/revoke": {"user": "alice", "id": "x"},
    "/ui/admin/sessions/end": {"user": "alice", "session": "x"},
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    with administered(tmp_path_factory.mktemp("administered")) as running:
        yield running


@pytest.fixture
def client(registry: RunningRegistry) -> Client:
    return Client(registry.host)


@pytest.fixture
def admin(client: Client) -> dict[str, str]:
    """What an administrator's browser sends."""
    return log_in(client, "admin")


def main_of(answer: Response) -> bytes:
    """Return the content of a page without its links to the login, which lead back to it."""
    return answer.body.partition(b"<main")[2].replace(b"/admin", b"/nothing")


def audited(registry: RunningRegistry, **fields: str) -> bool:
    """Tell whether the audit log has a line with these fields."""
    lines = (registry.root.parent / "audit.log").read_text().splitlines()
    return any(fields.items() <= json.loads(line).items() for line in lines)


@pytest.mark.parametrize("path", PATHS)
def test_an_administrator_sees_each_page(client: Client, admin: dict[str, str], path: str) -> None:
    text = page(client, path, **admin)
    assert f'<a href="{path}" aria-current="page">' in text
    assert '<a href="/admin">Administration</a>' in text


@pytest.mark.parametrize("path", [*PATHS, "/admin/users?user=alice", "/admin/collection?repository=team/old"])
def test_a_stranger_sees_what_is_shown_for_a_missing_page(client: Client, path: str) -> None:
    for headers in ({}, {"Cookie": "session=none"}):
        missing = client.get("/nothing", **headers)
        answer = client.get(path, **headers)
        assert answer.status == missing.status == 404
        assert main_of(answer).partition(b"<a")[0] == main_of(missing).partition(b"<a")[0]


def test_a_user_without_the_right_sees_no_page_and_no_link(client: Client) -> None:
    cookie = log_in(client, "alice")
    assert {client.get(each, **cookie).status for each in PATHS} == {404}
    assert "Administration" not in page(client, "/", **cookie)


def test_a_limited_key_of_an_administrator_is_no_administrator(client: Client, admin: dict[str, str]) -> None:
    answer = post(client, "/ui/keys", admin, label="limited", scopes="team/app", expires_days="7")
    secret = answer.body.decode().partition("<code>zak_")[2].partition("<")[0]
    assert Client(client.host, user=f"admin:zak_{secret}").get("/admin").status == 404


@pytest.mark.parametrize("path", FORMS)
def test_a_form_is_taken_from_administrators_alone(client: Client, registry: RunningRegistry, path: str) -> None:
    missing = post(client, "/ui/nothing", **FORMS[path])
    for headers in ({}, log_in(client, "alice")):
        answer = post(client, path, headers, **FORMS[path])
        assert answer.status == missing.status == 400
        assert main_of(answer).partition(b"</p>")[0] == main_of(missing).partition(b"</p>")[0]


@pytest.mark.parametrize("path", FORMS)
def test_a_form_of_another_site_is_refused(client: Client, admin: dict[str, str], path: str) -> None:
    for sent in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "same-site"}):
        assert post(client, path, admin | sent, **FORMS[path]).status == 403


def test_the_server_page_tells_what_it_holds(client: Client, admin: dict[str, str]) -> None:
    wait_for(lambda: "3 repositories, 4 images" in page(client, "/admin", **admin))
    text = page(client, "/admin", **admin)
    assert "Nothing needs attention." in text
    assert "One process does everything." in text


def test_usage_is_sorted_and_filtered_on_the_server(client: Client, admin: dict[str, str]) -> None:
    def names(query: str) -> list[str]:
        rows = page(client, f"/admin/usage?{query}", **admin).partition("Repositories</h2>")[2]
        found = [each for each in ("team/app", "team/old", "public/base") if f">{each}</a>" in rows]
        return sorted(found, key=lambda each: rows.index(f">{each}</a>"))

    assert names("") == ["team/old", "public/base", "team/app"]
    assert names("sortby=name") == ["public/base", "team/app", "team/old"]
    assert names("pattern=team/**&sortby=tags") == ["team/old", "team/app"]
    assert names("pattern=none") == []
    assert client.get("/admin/usage?pattern=%5B", **admin).status == 400


def test_usage_shows_quotas_and_what_is_shared(client: Client, admin: dict[str, str]) -> None:
    """`team/app` and `public/base` have the same image, so that nothing is in one of them alone."""
    wait_for(lambda: "3 repositories, 4 images" in page(client, "/admin", **admin))
    text = page(client, "/admin/usage?pattern=team/app", **admin)
    assert "all 2 together" in text
    assert "each of 3" in text
    assert '<td class="number">0 B</td>' in text.partition(">team/app</a>")[2].partition("</tr>")[0]


def test_a_job_is_started_and_audited(tmp_path: Path) -> None:
    with administered(tmp_path) as registry:
        client = Client(registry.host)
        admin = log_in(client, "admin")
        answer = post(client, "/ui/admin/jobs/start", admin, task="GCTaskGenerator /")
        assert (answer.status, answer["Location"]) == (303, "/admin/jobs")
        wait_for(lambda: "3 repositories: removed" in page(client, "/admin/jobs", **admin))
        line = {"message": "administration", "subject": "admin", "action": "start job", "object": "GCTaskGenerator /"}
        wait_for(lambda: audited(registry, **line))
        assert post(client, "/ui/admin/jobs/start", admin, task="none").status == 400


def test_the_preview_tells_what_collection_would_delete_and_why(tmp_path: Path) -> None:
    with administered(tmp_path) as registry:
        client = Client(registry.host)
        admin = log_in(client, "admin")
        text = page(client, "/admin/collection", **admin)
        assert "/admin/collection?repository=team/old" in text
        assert ">team/app</a>" not in text
        text = page(client, "/admin/collection?repository=team/old", **admin)
        assert ">superseded</a>" in text
        assert ">kept</a>" not in text
        assert "no manifest names it" in text
        assert client.get("/admin/collection?repository=none", **admin).status == 400
        assert client.get("/admin/collection?repository=A", **admin).status == 400
        assert Client(registry.host, user="admin:admin").get("/v2/team/old/manifests/superseded").status == 200


def test_an_administrator_revokes_a_key_of_a_user(
    client: Client, registry: RunningRegistry, admin: dict[str, str]
) -> None:
    answer = post(client, "/ui/keys", log_in(client, "alice"), label="laptop", expires_days="7")
    secret = answer.body.decode().partition("<code>zak_")[2].partition("<")[0]
    keyed = Client(client.host, user=f"alice:zak_{secret}")
    assert keyed.get("/v2/team/app/manifests/1").status == 200
    assert 'href="/admin/users?user=alice"' in page(client, "/admin/users", **admin)
    text = page(client, "/admin/users?user=alice", **admin)
    assert secret not in text
    key_id = text.partition('name="id" value="')[2].partition('"')[0]
    assert post(client, "/ui/admin/keys/revoke", admin, user="bob", id=key_id).status == 400
    assert keyed.get("/v2/team/app/manifests/1").status == 200
    answer = post(client, "/ui/admin/keys/revoke", admin, user="alice", id=key_id)
    assert answer["Location"] == "/admin/users?user=alice"
    assert keyed.get("/v2/team/app/manifests/1").status == 401
    wait_for(lambda: audited(registry, subject="admin", action="revoke API key", object="alice", keyId=key_id))


def test_an_administrator_ends_a_session_of_a_user(
    client: Client, registry: RunningRegistry, admin: dict[str, str]
) -> None:
    cookie = log_in(client, "bob")
    assert client.get("/user/apikey", **cookie).status == 200
    text = page(client, "/admin/users?user=bob", **admin)
    session = text.partition('name="session" value="')[2].partition('"')[0]
    assert post(client, "/ui/admin/sessions/end", admin, user="alice", session=session).status == 400
    assert post(client, "/ui/admin/sessions/end", admin, user="bob", session=session).status == 303
    assert client.get("/user/apikey", **cookie).status == 303
    assert post(client, "/ui/admin/sessions/end", admin, user="bob", session=session).status == 400
    assert post(client, "/ui/admin/sessions/end", admin, user="bob", session="").status == 400
    wait_for(lambda: audited(registry, subject="admin", action="end session", object="bob", session=session))


def test_users_are_those_of_the_file_and_of_logins(client: Client, admin: dict[str, str]) -> None:
    text = page(client, "/admin/users", **admin)
    for name in ("admin", "alice", "bob"):
        assert f">{name}</a>" in text
    assert text.count('<span class="tag good">administrator</span>') == 1
    assert ">bob</a>" not in page(client, "/admin/users?after=bob", **admin)
    assert client.get("/admin/users?user=nothing", **admin).status == 404


def test_the_audit_log_is_filtered(client: Client, registry: RunningRegistry, admin: dict[str, str]) -> None:
    Client(client.host, user="alice:alice").ask("DELETE", "/v2/public/base/manifests/1")
    wait_for(lambda: audited(registry, subject="alice", action="DELETE"))
    text = page(client, "/admin/audit?user=alice&status=4&action=delete&repository=public", **admin)
    assert "/v2/public/base/manifests/1" in text
    assert text.count("<tr>") == 2
    assert "No line fits." in page(client, "/admin/audit?user=alice&status=5", **admin)


def test_a_line_of_the_audit_log_runs_in_no_browser(
    client: Client, registry: RunningRegistry, admin: dict[str, str]
) -> None:
    hostile = "<script>alert(1)</script>"
    client.ask("DELETE", f"/v2/{hostile}/manifests/{hostile}")
    Client(client.host, user=f"{HOSTILE_USER}:x").ask("DELETE", "/v2/team/app/manifests/1")
    wait_for(lambda: audited(registry, subject=HOSTILE_USER))
    for path in (*PATHS, "/admin/audit?user=%3Cimg+src%3Dx+onerror%3Dalert(1)%3E", "/admin/users?user=%3Cimg"):
        answer = client.get(path, **admin)
        assert b"<script>alert" not in answer.body, path
        assert b"<img" not in answer.body, path
    assert "&lt;img src=x" in page(client, "/admin/users", **admin)
    assert "&lt;script&gt;alert" in page(client, "/admin/audit", **admin)


def test_an_audit_log_that_is_off_says_so(running: RunningRegistry) -> None:
    """Any client of a registry without users is its administrator: there is no other."""
    client = Client(running.host)
    assert "The audit log is off" in page(client, "/admin/audit")
    assert "This registry has no users" in page(client, "/admin/users")


def test_the_configuration_has_no_secret(client: Client, admin: dict[str, str]) -> None:
    text = page(client, "/admin/configuration", **admin)
    assert SECRET not in text
    assert "&#34;clientsecret&#34;: &#34;******&#34;" in text
    assert "&#34;gcDelay&#34;: &#34;1h0m0s&#34;" in text


def test_a_page_says_so_while_the_background_process_does_not_answer(tmp_path: Path) -> None:
    with serve(tmp_path / "content", {"extensions": EXTENSIONS}) as registry:
        client = Client(registry.host)
        page(client, "/admin/jobs")
        (tmp_path / "content" / ".zot" / "control").unlink()
        for path in ("/admin", "/admin/usage", "/admin/jobs", "/admin/collection"):
            answer = client.get(path)
            assert answer.status == 503
            assert b"The process that works in the background cannot be asked" in answer.body
        assert client.ask("POST", "/ui/admin/jobs/start", b"task=ChangeLogTrim", FORM).status == 503
        page(client, "/admin/configuration")


def test_a_worker_asks_the_background_process(tmp_path: Path) -> None:
    """With several processes the pages show each of them, and start jobs."""
    server = ZotServer(tmp_path)
    tree: dict[str, Any] = json.loads(server.config.read_text())
    server.config.write_text(json.dumps(tree | {"extensions": EXTENSIONS}))
    with server:
        client = server.client
        wait_for(lambda: client.get("/admin").status == 200)
        text = page(client, "/admin")
        for name in ("writer", "jobs", "worker-0", "worker-1"):
            assert f'<td class="name">{name}</td>' in text
        assert post(client, "/ui/admin/jobs/start", task="UnfinishedDeletes").status == 303
        assert "UnfinishedDeletes" in page(client, "/admin/jobs")
