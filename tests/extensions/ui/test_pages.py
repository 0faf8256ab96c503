"""The pages of a running registry: what visitors see, and what they cannot do."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import urlencode

import bcrypt
import pytest

from extensions.ui.visitor import EXTENSIONS, FORM, log_in, page, post
from http_client import Client, wait_for
from layout.images import CONFIG, LAYER, MANIFEST, Image, image, sha256
from zot.layout.scanner import LayoutScanner
from zot.testing import RunningRegistry, serve


def described(name: str, hostile: str) -> Image:
    """Return an image all of whose texts are hostile."""
    layer = f"layer of {name}".encode()
    settings = {"Labels": {hostile: hostile, "org.opencontainers.image.source": f"javascript:{hostile}"}}
    history = [{"created_by": hostile, "comment": hostile, "author": hostile}]
    config = json.dumps(
        {"author": hostile, "os": hostile, "architecture": hostile, "config": settings, "history": history}
    ).encode()
    names = ("title", "description", "licenses", "source", "documentation", "vendor", "authors", "url")
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": sha256(config), "size": len(config)},
        "layers": [{"mediaType": LAYER, "digest": sha256(layer), "size": len(layer)}],
        "annotations": {f"org.opencontainers.image.{each}": hostile for each in names} | {hostile: hostile},
    }
    return Image(json.dumps(document).encode(), MANIFEST, (config, layer))


def test_an_empty_registry_says_how_to_push_to_it() -> None:
    with serve(config={"extensions": EXTENSIONS}) as registry:
        client = Client(registry.host)
        # In its first moments the index may still be about to find that there is nothing.
        wait_for(lambda: "This registry is empty" in page(client, "/"))
        assert f"docker push {registry.host}/alpine:latest" in page(client, "/")
        assert "docker pull alpine &amp;&amp; docker tag alpine" in page(client, "/"), "there may be no such image yet"


def test_what_was_pushed_is_found_at_once(client: Client) -> None:
    pushed = image("found")
    client.push("team/found", pushed, "1.0")
    assert "team/found" in page(client, "/")
    assert "team/found" in page(client, "/explore?search=eam/fou")
    assert "team/found:1.0" in page(client, "/explore?search=team/found:1")
    assert "team/found:1.0" in page(client, f"/explore?search={pushed.digest[:20]}")
    assert "team/found" in page(client, "/ui/suggestions?search=fou")
    assert pushed.digest in page(client, "/image/team%2Ffound")
    assert pushed.digest in page(client, "/image/team%2Ffound/tag/1.0")
    assert pushed.digest in page(client, "/image/team/found/tag/1.0")
    assert f"&#34;digest&#34;: &#34;{sha256(pushed.blobs[1])}" in page(client, "/image/team%2Ffound/tag/1.0/raw")


HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{77*77*77*77}}"


def test_text_of_clients_runs_nowhere(client: Client) -> None:
    pushed = described("hostile", HOSTILE)
    client.push("hostile", pushed, "1")
    client.push("hostile", described("other", HOSTILE + "2"), "2")
    search = urlencode({"search": HOSTILE, "os": HOSTILE, "sortby": HOSTILE, "filter": HOSTILE, "with": HOSTILE})
    paths = [
        "/",
        f"/explore?{search}",
        f"/ui/suggestions?{search}",
        "/image/hostile",
        f"/image/hostile?{search}",
        "/image/hostile/untagged",
        "/image/hostile/history",
        "/image/hostile/tag/1",
        f"/image/hostile/digest/{pushed.digest}",
        "/image/hostile/tag/1/raw",
        "/image/hostile/tag/1/history",
        f"/image/hostile/tag/1/compare?{search}",
        "/image/hostile/tag/1/compare?with=2",
        f"/login?next={HOSTILE.replace(' ', '%20')}",
    ]
    for path in paths:
        text = page(client, path)
        assert "<script>alert" not in text, path
        assert "<img" not in text, path
        assert 'href="javascript:' not in text, path
        assert "35153041" not in text.partition("<main")[2] or "{{77*77*77*77}}" in text, path


def test_an_image_shows_layers_beside_their_commands(client: Client) -> None:
    client.push("team/steps", described("steps", "RUN make"), "1")
    text = page(client, "/image/team%2Fsteps/tag/1")
    assert '<td class="command">RUN make</td>' in text


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/image/unknown", "/image/unknown/tag/1", "/image/A", "/ui/assets/style.0.css", "/image/a/b/tag/-"],
)
def test_a_page_that_is_not_there_says_so(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status == 404
    assert b"Not found" in answer.body


def test_a_query_of_too_many_fields_is_no_fault_of_the_server(client: Client) -> None:
    assert client.get("/explore?" + "&".join(f"a{each}=1" for each in range(200))).status == 404


@pytest.mark.parametrize("query", ["offset=-1", "offset=x", "offset=99999999999", "images=%FF", "before=x", "sortby=x"])
def test_a_field_that_cannot_be_read_is_ignored(client: Client, query: str) -> None:
    client.push("team/fields", image("fields"), "1")
    for path in ("/", "/image/team%2Ffields", "/image/team%2Ffields/history"):
        assert client.get(f"{path}?{query}").status == 200


def test_tags_are_shown_in_pages(client: Client) -> None:
    client.push("team/many", image("many"), *[f"t{each:03}" for each in range(120)])
    first = page(client, "/image/team%2Fmany?sortby=name")
    assert first.count('name="tag"') == 50
    assert "50 of 120" in first
    last = page(client, "/image/team%2Fmany?sortby=name&offset=100")
    assert "t119" in last
    assert 'rel="next"' not in last
    assert page(client, "/image/team%2Fmany?filter=T01").count('name="tag"') == 10


def test_pages_are_compressed_for_browsers_that_take_it(client: Client) -> None:
    answer = client.get("/", Accept_Encoding="gzip")
    assert answer["Content-Encoding"] == "gzip"
    assert b"<main" in gzip.decompress(answer.body)
    assert client.get("/")["Content-Encoding"] is None


def test_assets_are_kept_by_browsers_for_good(client: Client) -> None:
    text = page(client, "/")
    for mark in ('href="/ui/assets/style.', 'src="/ui/assets/script.'):
        path = text.partition(mark)[2].partition('"')[0]
        answer = client.get(mark.partition('"')[2] + path)
        assert answer.status == 200
        assert "immutable" in (answer["Cache-Control"] or "")


def test_a_page_loads_two_files_and_no_more(client: Client) -> None:
    text = page(client, "/")
    assert text.count("<script") == text.count('rel="stylesheet"') == 1
    assert "<img" not in text
    assert "<style" not in text


def test_other_methods_are_refused(client: Client) -> None:
    assert client.ask("PUT", "/").status == 405
    assert client.ask("DELETE", "/image/a").status == 405
    assert client.head("/").status == 200


def test_tags_are_deleted_after_a_question_and_restored(client: Client) -> None:
    pushed = image("undo")
    client.push("team/undo", pushed, "a", "b", "c")
    form = {"repository": "team/undo", "tag": "a"}
    asked = post(client, "/ui/delete", **form)
    assert b"Delete 1 tag?" in asked.body
    assert client.tags("team/undo") == ["a", "b", "c"]
    deleted = post(client, "/ui/delete", **form, confirmed="yes")
    assert (deleted.status, deleted["Location"]) == (303, "/image/team%2Fundo/history")
    assert client.tags("team/undo") == ["b", "c"]
    assert "deleted" in page(client, "/image/team%2Fundo/tag/a")
    restored = post(client, "/ui/restore", **form, digest=pushed.digest)
    assert restored["Location"] == "/image/team%2Fundo/tag/a"
    assert client.tags("team/undo") == ["a", "b", "c"]
    assert client.get("/v2/team/undo/manifests/a")["Docker-Content-Digest"] == pushed.digest


def test_a_tag_that_was_moved_since_its_history_was_shown_is_not_restored(client: Client) -> None:
    old, new, newer = image("old"), image("new"), image("newer")
    for each in (old, new):
        client.push("team/raced", each, "a")
    text = page(client, "/image/team%2Fraced/tag/a/history")
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', text))
    assert fields == {"repository": "team/raced", "tag": "a", "digest": old.digest, "now": new.digest}
    client.push("team/raced", newer, "a")
    answer = post(client, "/ui/restore", **fields)
    assert answer.status == 412
    assert b"Look at its history again" in answer.body
    assert client.get("/v2/team/raced/manifests/a")["Docker-Content-Digest"] == newer.digest
    assert post(client, "/ui/restore", **{**fields, "now": ""}).status == 412
    assert post(client, "/ui/restore", **{**fields, "now": "x"}).status == 400
    assert post(client, "/ui/restore", **{**fields, "now": newer.digest}).status == 303
    assert client.get("/v2/team/raced/manifests/a")["Docker-Content-Digest"] == old.digest


def test_a_tag_that_a_condition_hides_has_no_pages(tmp_path: Path) -> None:
    """Its repository is listed: a page of the tag shows no more than a pull would get."""
    users = tmp_path / "htpasswd"
    users.write_bytes(b"\n".join(each + b":" + bcrypt.hashpw(each, bcrypt.gensalt(4)) for each in (b"admin", b"alice")))
    grant = {"users": ["alice"], "actions": ["read"], "conditions": [{"expression": "req.tag != 'hidden'"}]}
    rules = {
        "repositories": {"team/**": {"policies": [grant]}},
        "adminPolicy": {"users": ["admin"], "actions": ["read", "create", "update", "delete"]},
    }
    http = {"auth": {"htpasswd": {"path": str(users)}}, "accessControl": rules}
    with serve(tmp_path / "content", {"extensions": EXTENSIONS, "http": http}) as registry:
        admin, alice = Client(registry.host, user="admin:admin"), Client(registry.host)
        hidden = image("hidden")
        admin.push("team/some", hidden, "hidden")
        admin.push("team/some", image("open"), "open")
        cookie = log_in(alice, "alice")
        for view in ("", "/raw", "/files", "/history", "/compare?with=open", "/content", "/download?path=x"):
            assert alice.get(f"/image/team%2Fsome/tag/hidden{view}", **cookie).status == 404, view
        assert alice.get("/image/team%2Fsome/tag/open", **cookie).status == 200
        compared = page(alice, "/image/team%2Fsome/tag/open/compare?with=hidden", **cookie)
        assert hidden.digest not in compared


def test_a_tag_is_not_restored_to_a_manifest_that_is_gone(client: Client) -> None:
    client.push("team/gone", image("gone"), "a")
    answer = post(client, "/ui/restore", repository="team/gone", tag="a", digest=sha256(b"nothing"))
    assert answer.status == 404
    assert b"was deleted" in answer.body


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/ui/delete", {"repository": "A", "tag": "1"}),
        ("/ui/delete", {"repository": "a"}),
        ("/ui/delete", {"repository": "a", "tag": "-"}),
        ("/ui/restore", {"repository": "a", "tag": "1", "digest": "x"}),
        ("/ui/restore", {"repository": "a", "digest": sha256(b"")}),
        ("/ui/nothing", {}),
        ("/", {}),
    ],
)
def test_a_form_that_cannot_be_read_is_refused(client: Client, path: str, fields: dict[str, str]) -> None:
    assert post(client, path, **fields).status == 400


def test_a_form_of_another_kind_or_size_is_refused(client: Client) -> None:
    assert client.ask("POST", "/ui/delete", b"{}", {"Content-Type": "application/json"}).status == 400
    assert client.ask("POST", "/ui/delete", b"a=" + b"x" * 300_000, FORM).status == 413


def test_a_form_of_another_site_is_refused(client: Client) -> None:
    client.push("team/csrf", image("csrf"), "a")
    fields = {"repository": "team/csrf", "tag": "a", "confirmed": "yes"}
    # By plain HTTP browsers send `Origin` alone.
    for header in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        assert post(client, "/ui/delete", header, **fields).status == 403
    assert client.tags("team/csrf") == ["a"]
    own = {"Origin": f"http://{client.host}"}
    assert post(client, "/ui/delete", own, **fields).status == 303


# --- with users ---


def test_a_login_by_the_form_shows_what_the_user_may_read(guarded: RunningRegistry) -> None:
    client = Client(guarded.host)
    cookie = log_in(client, "alice")
    text = page(client, "/", **cookie)
    assert "team/app" in text
    assert "secret/app" not in text
    assert "alice" in text


def test_a_hidden_repository_is_a_missing_one(guarded: RunningRegistry) -> None:
    client = Client(guarded.host)
    cookie = log_in(client, "alice")
    for path in ("/image/{}", "/image/{}/history", "/image/{}/untagged", "/image/{}/tag/1", "/image/{}/tag/1/history"):
        hidden = client.get(path.format("secret%2Fapp"), **cookie)
        missing = client.get(path.format("secret%2Fxyz"), **cookie)
        assert hidden.status == missing.status == 404
        assert hidden.body.replace(b"secret/app", b"secret/xyz").replace(b"%2Fapp", b"%2Fxyz") == missing.body


def test_a_guest_sees_what_guests_may_read(guarded: RunningRegistry) -> None:
    text = page(Client(guarded.host), "/")
    assert "public/app" in text
    assert "team/app" not in text
    assert 'href="/login?next=/"' in text


def test_a_wrong_password_is_said_on_the_page(guarded: RunningRegistry) -> None:
    answer = post(Client(guarded.host), "/login", username="alice", password="wrong", next="/")
    assert answer.status == 403
    assert answer["WWW-Authenticate"] is None
    assert answer["Set-Cookie"] is None
    assert b"do not fit" in answer.body


@pytest.mark.parametrize("after", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"])
def test_a_login_never_leads_to_another_site(guarded: RunningRegistry, after: str) -> None:
    answer = post(Client(guarded.host), "/login", username="alice", password="alice", next=after)
    assert answer["Location"] == "/"


def test_a_logout_ends_the_session(guarded: RunningRegistry) -> None:
    client = Client(guarded.host)
    cookie = log_in(client, "alice")
    assert post(client, "/logout", cookie).status == 303
    assert "team/app" not in page(client, "/", **cookie)


def test_a_star_is_set_and_removed(guarded: RunningRegistry) -> None:
    client = Client(guarded.host)
    cookie = log_in(client, "alice")
    star = {"repository": "team/app"}
    assert post(client, "/ui/star", cookie, **star)["Location"] == "/image/team%2Fapp"
    assert "★ Starred" in page(client, "/image/team%2Fapp", **cookie)
    assert "team/app" in page(client, "/explore?starred=yes", **cookie)
    assert post(client, "/ui/star", cookie, **star).status == 303
    assert "☆ Star" in page(client, "/image/team%2Fapp", **cookie)


def test_stars_need_a_user_who_may_read_the_repository(guarded: RunningRegistry) -> None:
    client = Client(guarded.host)
    assert post(client, "/ui/star", repository="public/app")["Location"] == "/login?next=/"
    cookie = log_in(client, "alice")
    assert post(client, "/ui/star", cookie, repository="secret/app").status == 404
    assert post(client, "/ui/star", cookie, repository="secret/none").status == 404


def test_a_cookie_counts_for_forms_of_own_pages_alone(guarded: RunningRegistry) -> None:
    client = Client(guarded.host)
    cookie = log_in(client, "alice")
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert post(client, "/ui/star", cookie | headers, repository="team/app").status == 403
    # Without the header of the UI, the cookie counts for nothing at the API.
    assert client.ask("DELETE", "/v2/team/app/manifests/1", headers=cookie).status == 401


def test_a_form_needs_the_rights_of_the_request_that_does_the_same(guarded: RunningRegistry) -> None:
    client, admin = Client(guarded.host), Client(guarded.host, user="admin:admin")
    pushed = image("rights")
    admin.push("team/rights", pushed, "a", "b")
    cookie = log_in(client, "alice")
    fields = {"repository": "team/rights", "tag": "a", "confirmed": "yes"}
    assert post(client, "/ui/delete", **fields)["Location"] == "/login?next=/"
    assert post(client, "/ui/delete", log_in(client, "bob"), **fields).status == 403
    assert admin.tags("team/rights") == ["a", "b"]
    assert post(client, "/ui/delete", cookie, **fields).status == 303
    assert post(client, "/ui/restore", cookie, **fields, digest=pushed.digest).status == 403
    assert admin.tags("team/rights") == ["b"]


def test_a_user_restores_the_last_tag_of_a_repository(guarded: RunningRegistry) -> None:
    """Without any tag a repository still has its history, for all who may read it."""
    client, admin = Client(guarded.host), Client(guarded.host, user="admin:admin")
    pushed = image("last")
    admin.push("team/last", pushed, "a")
    cookie = log_in(client, "alice")
    deleted = post(client, "/ui/delete", cookie, repository="team/last", tag="a", confirmed="yes")
    history = page(client, deleted["Location"] or "", **cookie)
    assert pushed.digest in history
    assert pushed.digest in page(client, "/image/team%2Flast/untagged", **cookie)
    assert client.get("/image/team%2Flast/history", **log_in(client, "bob")).status == 404


def test_pages_say_so_until_the_layouts_of_a_store_are_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index of a catalog that has not all layouts yet is not called complete, nor the registry empty."""
    scanned, scan = Event(), LayoutScanner._import

    async def scan_later(scanner: LayoutScanner, *args: Any, **kwargs: Any) -> None:
        await asyncio.to_thread(scanned.wait)
        await scan(scanner, *args, **kwargs)

    monkeypatch.setattr(LayoutScanner, "_import", scan_later)
    with serve(tmp_path / "content", {"extensions": EXTENSIONS}) as registry:
        client = Client(registry.host)
        wait_for(lambda: "Layouts are being imported: 0 repositories are in search" in page(client, "/"))
        assert "This registry is empty" not in page(client, "/")
        scanned.set()
        wait_for(lambda: "This registry is empty" in page(client, "/"))
        assert "being imported" not in page(client, "/")


def test_a_form_says_that_search_is_not_there_now(tmp_path: Path) -> None:
    with serve(tmp_path / "content", {"extensions": EXTENSIONS}) as registry:
        client = Client(registry.host)
        client.push("team/app", image("app"), "1")
        page(client, "/image/team%2Fapp")
        index = tmp_path / "content" / ".zot" / "search.db"
        index.unlink()
        index.mkdir()
        assert post(client, "/ui/delete", repository="team/app", tag="1").status == 503
        deleted = post(client, "/ui/delete", repository="team/app", tag="1", confirmed="yes")
        assert deleted.status == 303


def test_a_page_says_that_sessions_cannot_be_read_now(tmp_path: Path) -> None:
    """A visitor whose session cannot be read is neither a guest nor logged out."""
    users = tmp_path / "htpasswd"
    users.write_bytes(b"alice:" + bcrypt.hashpw(b"alice", bcrypt.gensalt(4)))
    config = {"extensions": EXTENSIONS, "http": {"auth": {"htpasswd": {"path": str(users)}}}}
    with serve(tmp_path / "content", config) as registry:
        client = Client(registry.host)
        cookie = log_in(client, "alice")
        sessions = tmp_path / "content" / "_sessions"
        sessions.rename(tmp_path / "away")
        sessions.touch()
        answer = client.get("/explore", **cookie)
        assert (answer.status, answer["Set-Cookie"]) == (503, None)
        assert answer.body.startswith(b"<!doctype html>")
        sessions.unlink()
        (tmp_path / "away").rename(sessions)
        assert "alice" in page(client, "/explore", **cookie)


def test_pages_are_led_to_the_login_where_guests_may_read_nothing(tmp_path: Path) -> None:
    users = tmp_path / "htpasswd"
    users.write_bytes(b"alice:" + bcrypt.hashpw(b"alice", bcrypt.gensalt(4)))
    config = {"extensions": EXTENSIONS, "http": {"auth": {"htpasswd": {"path": str(users)}}}}
    with serve(tmp_path / "content", config) as registry:
        client = Client(registry.host)
        answer = client.get("/image/a?offset=5")
        assert (answer.status, answer["Location"]) == (303, "/login?next=/image/a%3Foffset%3D5")
        assert answer["WWW-Authenticate"] is None
        assert "Log in" in page(client, "/login")
