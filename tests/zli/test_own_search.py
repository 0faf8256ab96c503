"""zli against a registry of this tree with the search extension: users, rules, images, referrers."""

import json
from collections.abc import Iterator

import bcrypt
import pytest

from http_client import Client, wait_for
from zli.conftest import Zli
from zli.test_distribution import BOTH, DOCKER, NEW, OLD, SIGNATURE, cells, referrer, short
from zot.testing import RunningRegistry, serve

RULES = {
    "repositories": {
        "team/**": {"policies": [{"users": ["alice"], "actions": ["read"]}]},
        "infra/**": {"anonymousPolicy": ["read"]},
    },
    "adminPolicy": {"users": ["admin"], "actions": ["read", "create", "update", "delete"]},
}
ADMIN = ("-u", "admin:admin")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """Serve images to an administrator; some of them to alice, others to any client."""
    place = tmp_path_factory.mktemp("search")
    lines = [f"{user}:{bcrypt.hashpw(user.encode(), bcrypt.gensalt(4)).decode()}\n" for user in ("admin", "alice")]
    (place / "htpasswd").write_text("".join(lines))
    http = {"auth": {"htpasswd": {"path": str(place / "htpasswd")}}, "accessControl": RULES}
    with serve(place / "content", {"http": http, "extensions": {"search": {}}}) as registry:
        client = Client(registry.host, user="admin:admin")
        client.push("team/app", OLD, "v1")
        client.push("team/app", NEW, "v2", "latest")
        client.push("team/app", referrer(OLD, SIGNATURE))
        client.push("infra/dns", BOTH, "1.0")
        client.push("legacy/docker", DOCKER, "old")
        yield registry


@pytest.fixture
def asked(zli: Zli, registry: RunningRegistry) -> Zli:
    """Make the registry the default profile, and wait until its index has the last image."""
    zli("config", "add", "main", registry.url)
    zli("config", "set-default", "main")
    wait_for(lambda: "legacy/docker" in zli("image", "list", *ADMIN))
    return zli


def test_images_are_those_of_the_distribution_api(asked: Zli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Search and the manifests themselves tell the same of each image, in each order."""
    for order in ("alpha-asc", "alpha-dsc", "update-time"):
        words = ("image", "list", "--sort-by", order, *ADMIN)
        by_search = [row[:4] for row in cells(asked(*words)) if "*" not in row and len(row) > 4]
        assert len(by_search) == 4
        with monkeypatch.context() as patch:
            patch.setattr("zot.zli.search_client.SEARCH_PATH", "/v2/_zot/ext/nothing")
            assert [row[:4] for row in cells(asked(*words)) if "*" not in row and len(row) > 4] == by_search


def test_users_see_what_they_may_read(asked: Zli) -> None:
    """In lists and searches, with counts that are right for each of them."""
    seen = {"admin:admin": 5, "alice:alice": 3, "": 1}
    for user, count in seen.items():
        assert len(asked("image", "list", "-f", "jsonl", "-u", user).splitlines()) == count
    assert cells(asked("search", "query", "team", "-u", "alice:alice"))[0][0] == "team/app"
    assert asked("search", "query", "team", "-u", "") == asked("image", "name", "team/app", "-u", "") == ""
    assert "unauthorized access. check credentials" in asked.refused("image", "list", "-u", "alice:wrong")


def test_a_list_in_pages_is_the_list(asked: Zli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the size of a page, and cut where --limit says."""
    whole = asked("image", "list", "-f", "jsonl", *ADMIN)
    for size in (1, 2, 5):
        monkeypatch.setattr("zot.zli.search_client.PAGE_SIZE", size)
        assert asked("image", "list", "-f", "jsonl", *ADMIN) == whole
        cut = asked("image", "list", "-f", "jsonl", "--limit", "3", *ADMIN)
        assert cut.splitlines() == whole.splitlines()[:3]


def test_images_are_found_by_digest_and_tag(asked: Zli) -> None:
    """By a manifest, a child, a config, a layer, part of a digest, and the beginning of a tag."""
    for digest in (OLD.digest, OLD.digest[:20], json.loads(OLD.content)["config"]["digest"]):
        assert cells(asked("image", "digest", digest, *ADMIN))[0][:2] == ["team/app", "v1"]
    child = BOTH.children[1].digest
    assert cells(asked("image", "digest", child, *ADMIN))[0][:4] == ["infra/dns", "1.0", "*", short(BOTH)]
    assert [row[1] for row in cells(asked("search", "query", "team/app:v", *ADMIN))] == ["v1", "v2"]
    assert asked("image", "base", "team/app:v1", *ADMIN) == asked("image", "derived", "team/app:v1", *ADMIN) == ""


def test_referrers_are_listed_with_annotations(asked: Zli) -> None:
    """Of a tag, in JSON of zot's spelling."""
    (found,) = json.loads(asked("search", "subject", "team/app:v1", "-f", "json", *ADMIN))
    assert found["artifacttype"] == SIGNATURE
    assert found["annotations"] == [{"key": "org.example.result", "value": "pass"}]


@pytest.mark.parametrize(
    "words",
    [
        ("cve", "list", "team/app:v1"),
        ("image", "cve", "team/app:v1"),
        ("cve", "affected", "CVE-2099-0001"),
        ("cve", "fixed", "team/app", "CVE-2099-0001"),
        ("cve", "diff", "team/app:v1", "team/app:v2", "--fail-on", "low"),
    ],
)
def test_vulnerabilities_need_a_scanner(asked: Zli, words: tuple[str, ...]) -> None:
    """A registry without one says so, with status 1: not 0, as if the image were clean, and not 3."""
    assert asked.refused(*words, *ADMIN) == "Error: cve search is disabled\n\n"


def test_the_status_has_versions(asked: Zli) -> None:
    """They are those of the extension."""
    said = json.loads(asked("status", "-f", "json", *ADMIN))
    assert said["status"] == "online"
    assert said["distSpecVersion"] == "1.1.1"
