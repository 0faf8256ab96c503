"""Real clients, anonymous and logged in, at a registry with anonymous pulls."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from clients import Clients
from http_client import Client
from interop.harness import PASSWORD, USER, Site
from interop.test_clients import AMD64
from layout.images import Layout
from servers.zot import ZotServer

pytestmark = pytest.mark.needs("skopeo", "crane", "oras", "regctl", "helm", "cosign")


def made(server: ZotServer, home: Path) -> Site:
    """Return clients with a separate home, not logged in."""
    (home / ".docker").mkdir(parents=True)
    return Site(server.host, Client(server.host), Clients(home), secure=False)


@pytest.fixture
def anonymous(shared: ZotServer, tmp_path: Path) -> Site:
    """Clients that are not logged in."""
    return made(shared, tmp_path / "anonymous")


@pytest.fixture
def user(shared: ZotServer, tmp_path: Path) -> Site:
    """Clients that are logged in."""
    site = made(shared, tmp_path / "user")
    site.log_in()
    return site


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A layout with one image, tagged v1."""
    found = Layout(tmp_path / "layout")
    found.write(AMD64.descriptor("v1"))
    found.put(AMD64)
    return found


def skopeo(site: Site, layout: Layout, repo: str) -> None:
    """Push with skopeo."""
    site.run("skopeo", "copy", f"oci:{layout.path}:v1", f"docker://{repo}:v1")


def crane(site: Site, layout: Layout, repo: str) -> None:
    """Push with crane."""
    site.run("crane", "push", layout.path, f"{repo}:v1")


def oras(site: Site, layout: Layout, repo: str) -> None:
    """Push with oras."""
    site.clients.run("oras", "cp", "--from-oci-layout", "--to-plain-http", f"{layout.path}:v1", f"{repo}:v1")


def regctl(site: Site, layout: Layout, repo: str) -> None:
    """Push with regctl."""
    site.run("regctl", "image", "copy", f"ocidir://{layout.path}:v1", f"{repo}:v1")


PULLS: dict[str, Callable[[Site, str], str]] = {
    "skopeo": lambda site, repo: json.loads(site.run("skopeo", "inspect", f"docker://{repo}:v1"))["Digest"],
    "crane": lambda site, repo: site.run("crane", "digest", "--full-ref", f"{repo}:v1").strip().rpartition("@")[2],
    "oras": lambda site, repo: json.loads(site.run("oras", "manifest", "fetch", "--descriptor", f"{repo}:v1"))[
        "digest"
    ],
    "regctl": lambda site, repo: site.run("regctl", "manifest", "head", f"{repo}:v1").strip(),
}
PUSHES = {"skopeo": skopeo, "crane": crane, "oras": oras, "regctl": regctl}


@pytest.mark.parametrize("client", PUSHES)
def test_a_user_pushes_and_every_client_pulls(
    anonymous: Site, user: Site, layout: Layout, client: str, tmp_path: Path
) -> None:
    """A logged-in client pushes and pulls everywhere; an anonymous one only pulls public repositories."""
    push, pull = PUSHES[client], PULLS[client]
    for place in ("public", "private"):
        repo = f"{user.host}/{place}/{uuid4().hex[:12]}"
        with pytest.raises(AssertionError, match=r"(?i)unauthorized|authentication required|401"):
            push(anonymous, layout, repo)
        push(user, layout, repo)
        assert pull(user, repo) == AMD64.digest
        if place == "public":
            assert pull(anonymous, repo) == AMD64.digest
        else:
            with pytest.raises(AssertionError, match=r"(?i)unauthorized|authentication required|401"):
                pull(anonymous, repo)


@pytest.mark.parametrize("client", PUSHES)
def test_clients_send_credentials_where_anonymous_rights_do_not_suffice(
    anonymous: Site, user: Site, layout: Layout, client: str
) -> None:
    """Where anonymous clients may create but not move tags, a logged-in client moves one."""
    repo = f"{user.host}/inbox/{uuid4().hex[:12]}"
    PUSHES[client](anonymous, layout, repo)
    (user.folder / "note").write_text("another manifest for the tag")
    user.run("oras", "push", f"{repo}:v1", "note")
    PUSHES[client](user, layout, repo)
    assert PULLS[client](user, repo) == AMD64.digest


def test_login_with_a_wrong_password_fails(anonymous: Site) -> None:
    """Clients that verify a password at login refuse a wrong one."""
    host = anonymous.host
    anonymous.refused("skopeo", "login", "--username", USER, "--password", "wrong-skopeo", host)
    for program, arguments in (
        ("oras", ("login", host, "--username", USER, "--password", "wrong-oras")),
        ("helm", ("registry", "login", host, "--username", USER, "--password", "wrong-helm")),
        ("regctl", ("registry", "login", host, "--user", USER, "--pass", "wrong-regctl")),
    ):
        anonymous.refused(program, *arguments)


def test_helm(anonymous: Site, user: Site) -> None:
    """A user pushes a chart, and an anonymous client pulls it."""
    user.clients.run("helm", "create", "chart")
    user.clients.run("helm", "package", "chart")
    chart, target = user.folder / "chart-0.1.0.tgz", f"oci://{user.host}/public/{uuid4().hex[:12]}"
    anonymous.refused("helm", "push", chart, target)
    user.run("helm", "push", chart, target)
    anonymous.run("helm", "pull", f"{target}/chart", "--version", "0.1.0")
    assert (anonymous.folder / "chart-0.1.0.tgz").read_bytes() == chart.read_bytes()


def test_cosign(anonymous: Site, user: Site, layout: Layout) -> None:
    """A user signs an image, and an anonymous client verifies it."""
    repo = f"{user.host}/public/{uuid4().hex[:12]}"
    crane(user, layout, repo)
    user.clients.run("cosign", "generate-key-pair")
    reference = f"{repo}@{AMD64.digest}"
    key, public = user.folder / "cosign.key", user.folder / "cosign.pub"
    user.run("cosign", "sign", "--yes", "--tlog-upload=false", "--key", key, reference)
    anonymous.run("cosign", "verify", "--insecure-ignore-tlog", "--key", public, reference)


def test_lists_and_deletes(anonymous: Site, user: Site, layout: Layout) -> None:
    """Every client lists tags and repositories, and only a user deletes."""
    repo = f"{user.host}/public/{uuid4().hex[:12]}"
    crane(user, layout, repo)
    name = repo.partition("/")[2]
    for site in (user, anonymous):
        assert site.run("crane", "ls", repo).split() == ["v1"]
        assert json.loads(site.run("skopeo", "list-tags", f"docker://{repo}"))["Tags"] == ["v1"]
        assert site.run("regctl", "tag", "ls", repo).split() == ["v1"]
        assert site.run("oras", "repo", "tags", repo).split() == ["v1"]
        assert name in site.run("crane", "catalog", user.host).split()
        assert name in site.run("regctl", "repo", "ls", user.host).split()
    anonymous.refused("skopeo", "delete", f"docker://{repo}:v1")
    anonymous.refused("regctl", "tag", "rm", f"{repo}:v1")
    user.run("skopeo", "delete", f"docker://{repo}:v1")
    assert user.client.get(f"/v2/{name}/manifests/v1").status == 404


@pytest.mark.parametrize("program", [["curl", "-s", "-f", "-u"], ["curl", "-s", "-f", "--anyauth", "-u"]])
def test_basic_credentials_are_accepted_on_every_request(user: Site, layout: Layout, program: list[str]) -> None:
    """Credentials are accepted when sent at once and when sent after a challenge."""
    repo = f"{user.host}/private/{uuid4().hex[:12]}"
    crane(user, layout, repo)
    url = f"http://{user.host}/v2/{repo.partition('/')[2]}/tags/list"
    done = subprocess.run([*program, f"{USER}:{PASSWORD}", url], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["tags"] == ["v1"]
