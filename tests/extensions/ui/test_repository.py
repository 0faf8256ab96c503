"""The pages of a repository: what it uses, who may do what, what is untagged, and what tags were."""

from __future__ import annotations

import datetime as dt
import gzip

import pytest

from extensions.ui.artifacts import readme, spdx
from extensions.ui.test_content import pushed
from extensions.ui.visitor import log_in, page, post
from http_client import Client
from layout.images import image, index
from zot.testing import RunningRegistry


def untag(client: Client, name: str, tag: str) -> None:
    """Delete a tag."""
    assert client.ask("DELETE", f"/v2/{name}/manifests/{tag}").status == 202


# --- usage ---


def test_usage_is_shown_over_time_and_in_words(client: Client) -> None:
    shared = image("used")
    client.push("pages/used", shared, "1", "2")
    client.push("pages/also", shared, "1")
    text = page(client, "/image/pages%2Fused/usage")
    today = dt.datetime.now(dt.UTC).date()
    assert f"Tags from {today} to {today}: 2 at first, at most 2, 2 now." in text
    assert '<svg viewBox="0 0 600 120"' in text
    assert "style=" not in text
    assert f'<td class="nowrap">{today}</td>' in text
    assert "<dt>Only here</dt><dd>0 B" in text


def test_usage_of_a_repository_without_a_tag_is_shown(client: Client) -> None:
    client.push("pages/bare", image("bare"), "1")
    untag(client, "pages/bare", "1")
    text = page(client, "/image/pages%2Fbare/usage")
    assert "1 manifest</a> that no tag needs" in text
    assert "0 now" in text


# --- access ---


def test_visitors_learn_what_they_may_and_how_to_ask(guarded: RunningRegistry) -> None:
    client = Client(guarded.host)
    text = page(client, "/image/team%2Fapp/access", **log_in(client, "alice"))
    assert text.count('<span class="tag good">yes</span>') == 2
    assert f"Please grant alice the actions create, update in the repository team/app of {client.host}." in text
    assert "policies[0]" in text
    assert "What others may do here" not in text
    guest = page(client, "/image/public%2Fapp/access")
    assert "visitors who are not logged in the actions create, update, delete" in guest
    assert 'href="/login?next=/image/public%252Fapp/access"' in guest


def test_the_rules_that_deny_are_for_administrators(guarded: RunningRegistry) -> None:
    client = Client(guarded.host)
    asked = "/image/secret%2Fapp/access?user=bob&action=delete"
    text = page(client, asked, **log_in(client, "admin"))
    assert '<span class="tag bad">denied</span> bob: delete' in text
    assert "http.accessControl.adminPolicy grants it to user admin" in text
    text = page(client, "/image/team%2Fapp/access?user=bob&action=delete", **log_in(client, "alice"))
    assert "bob" not in text
    assert "adminPolicy" not in text


@pytest.mark.parametrize("query", ["action=fly", "action=read&reference=-", "action=read&user=%00&group=a,b%20c"])
def test_a_question_that_cannot_be_read_is_no_error(guarded: RunningRegistry, query: str) -> None:
    client = Client(guarded.host)
    page(client, f"/image/team%2Fapp/access?{query}", **log_in(client, "admin"))


def test_without_access_control_visitors_may_do_everything(client: Client) -> None:
    client.push("pages/open", image("open"), "1")
    text = page(client, "/image/pages%2Fopen/access")
    assert text.count('<span class="tag good">yes</span>') == 4
    assert "Ask for more" not in text


# --- deleting, and pointing tags at what is untagged ---


def test_untagged_manifests_are_deleted_after_a_question(client: Client) -> None:
    lost, kept = image("lost"), image("kept")
    client.push("pages/lost", lost, "1")
    client.push("pages/lost", kept, "1")
    assert f'name="manifest" value="{lost.digest}"' in page(client, "/image/pages%2Flost/untagged")
    form = {"repository": "pages/lost", "manifest": lost.digest}
    asked = post(client, "/ui/delete", **form).body.decode()
    size = len(lost.content) + sum(map(len, lost.blobs))
    assert f"Delete 1 manifest?</h1>\n<p>{size} B" in asked
    assert "gone at once" in asked
    assert client.get(f"/v2/pages/lost/manifests/{lost.digest}").status == 200
    assert post(client, "/ui/delete", **form, confirmed="yes")["Location"] == "/image/pages%2Flost/untagged"
    assert client.get(f"/v2/pages/lost/manifests/{lost.digest}").status == 404
    assert "There are none" in page(client, "/image/pages%2Flost/untagged")


def test_a_manifest_that_an_index_lists_is_not_deleted(client: Client) -> None:
    child = image("listed")
    client.push("pages/listed", index(child), "1")
    answer = post(client, "/ui/delete", repository="pages/listed", manifest=child.digest, confirmed="yes")
    assert 400 <= answer.status < 500
    assert b"lists the manifest" in answer.body
    assert client.get(f"/v2/pages/listed/manifests/{child.digest}").status == 200


def test_an_untagged_manifest_gets_a_tag_again(client: Client) -> None:
    lost = image("again")
    client.push("pages/again", lost, "1")
    untag(client, "pages/again", "1")
    assert 'action="/ui/restore"' in page(client, f"/image/pages%2Fagain/digest/{lost.digest}")
    answer = post(client, "/ui/restore", repository="pages/again", digest=lost.digest, tag="new")
    assert answer["Location"] == "/image/pages%2Fagain/tag/new"
    assert client.tags("pages/again") == ["new"]


def test_an_image_is_deleted_from_its_page(client: Client) -> None:
    client.push("pages/here", image("here"), "1")
    assert 'name="tag" value="1"><button>Delete this tag' in page(client, "/image/pages%2Fhere/tag/1")


def test_pages_offer_nothing_that_would_be_refused(guarded: RunningRegistry) -> None:
    client, admin = Client(guarded.host), Client(guarded.host, user="admin:admin")
    pushed_image = image("offers")
    admin.push("public/offers", pushed_image, "1")
    admin.push("public/offers", image("offers more"), "1")
    for path in ("", "/untagged", "/tag/1", f"/digest/{pushed_image.digest}", "/history", "/tag/1/history"):
        text = page(client, f"/image/public%2Foffers{path}")
        assert "/ui/delete" not in text
        assert "/ui/restore" not in text
        assert 'href="/image/public%2Foffers/access"' in text
    form = {"repository": "public/offers", "manifest": pushed_image.digest, "confirmed": "yes"}
    assert post(client, "/ui/delete", **form)["Location"] == "/login?next=/"
    assert post(client, "/ui/delete", log_in(client, "bob"), **form).status == 403
    assert admin.get(f"/v2/public/offers/manifests/{pushed_image.digest}").status == 200


@pytest.mark.parametrize("manifest", ["", "x", "sha256:1", "1"])
def test_a_form_with_no_digest_is_refused(client: Client, manifest: str) -> None:
    assert post(client, "/ui/delete", repository="a", manifest=manifest).status == 400


# --- history ---


def test_a_tag_is_pulled_as_it_was_at_a_time(client: Client) -> None:
    first = image("was")
    client.push("pages/was", first, "1")
    text = page(client, "/image/pages%2Fwas/tag/1/history?at=2200-01-01T00:00")
    assert f"docker pull {client.host}/pages/was@{first.digest}" in text
    assert "there was no such tag" in page(client, "/image/pages%2Fwas/tag/1/history?at=2001-01-01T00:00:00")
    untag(client, "pages/was", "1")
    assert client.ask("DELETE", f"/v2/pages/was/manifests/{first.digest}").status == 202
    assert "there was no such tag" in page(client, "/image/pages%2Fwas/tag/1/history?at=2200-01-01T00:00")


@pytest.mark.parametrize("at", ["x", "2001-99-01T00:00", "<script>alert(1)</script>", "9999-01-01T00:00", "1" * 4000])
def test_a_time_that_is_none_is_said(client: Client, at: str) -> None:
    client.push("pages/when", image("when"), "1")
    text = page(client, f"/image/pages%2Fwhen/tag/1/history?at={at.replace(' ', '%20')}")
    assert "This is no time" in text
    assert "<script>alert" not in text


def test_recent_pushes_are_on_the_first_page_alone(client: Client) -> None:
    client.push("pages/recent", image("recent"), "newest")
    assert "pages/recent:newest" in page(client, "/")
    assert "Recent pushes" not in page(client, "/explore?search=recent")


def test_repositories_are_sorted_by_their_stars(guarded: RunningRegistry) -> None:
    client, admin = Client(guarded.host), Client(guarded.host, user="admin:admin")
    for name in ("team/starred", "team/unstarred"):
        admin.push(name, image(name), "1")
    cookie = log_in(client, "alice")
    post(client, "/ui/star", cookie, repository="team/starred")
    text = page(client, "/explore?sortby=stars&search=starred", **cookie)
    assert text.index("team%2Fstarred") < text.index("team%2Funstarred")
    assert '<td class="number wide">1</td>' in text
    post(client, "/ui/star", cookie, repository="team/starred")


def test_pull_commands_know_each_client(client: Client) -> None:
    client.push("pages/clients", image("clients"), "1")
    text = page(client, "/image/pages%2Fclients/tag/1")
    for each in ("docker pull", "podman pull", "nerdctl", "skopeo", "image: ", "certs.d/", "oras pull", "@sha256:"):
        assert each in text


# --- what a visit costs ---


def test_a_first_visit_is_small(client: Client) -> None:
    """At most 60 KB in three requests, of which HTML is at most 15 KB, as browsers get them."""
    app = image("small")
    client.push("pages/small", app, *[f"t{each:02}" for each in range(60)])
    client.push("pages/small", readme("# Text\n\n" + "some *words* of a page, and `code`\n\n" * 300, app))
    sbom = pushed(client, "pages/small", spdx(3000), "application/spdx+json")
    base = "/image/pages%2Fsmall"
    paths = ["/", base, f"{base}/tag/t01", f"{base}/readme", f"{base}/usage", f"{base}/access", f"{base}/history", sbom]
    for path in paths:
        html = client.get(path, Accept_Encoding="gzip")
        text = gzip.decompress(html.body).decode()
        assets = {each.partition('"')[0] for each in text.split('="/ui/assets/')[1:]}
        assert len(assets) == 2
        files = [client.get(f"/ui/assets/{each}", Accept_Encoding="gzip").body for each in assets]
        assert len(html.body) <= 15_000, path
        assert len(html.body) + sum(map(len, files)) <= 60_000, path
