"""History, as-of and restore by HTTP: what happened to tags, who may see it, and who may undo it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import bcrypt
import pytest

from http_client import Client, Response
from layout.images import image
from zot.testing import RunningRegistry, serve

HISTORY, AS_OF, RESTORE = (f"/v2/_zot/ext/{name}" for name in ("history", "asof", "restore"))
OLD, NEW = image("old"), image("new")
EPOCH = "1970-01-02T00:00:00Z"

RULES = {
    "repositories": {
        "team/**": {
            "policies": [
                {"users": ["alice"], "actions": ["read", "create", "update"]},
                {"users": ["reader"], "actions": ["read"]},
                {"users": ["mover"], "actions": ["read", "update"]},
            ]
        },
        "**": {"defaultPolicy": []},
    },
    "adminPolicy": {"users": ["admin"], "actions": ["read", "create", "update", "delete"]},
    "immutableTags": [{"repositories": ["team/frozen"], "tags": ["^v.*"], "exceptGroups": []}],
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry with rules; each user's password is the name."""
    place = tmp_path_factory.mktemp("history")
    users = ("admin", "alice", "reader", "mover", "stranger")
    lines = [f"{user}:{bcrypt.hashpw(user.encode(), bcrypt.gensalt(4)).decode()}\n" for user in users]
    place.joinpath("htpasswd").write_text("".join(lines))
    config = {
        "http": {"auth": {"htpasswd": {"path": str(place / "htpasswd")}}, "accessControl": RULES},
        "log": {"audit": str(place / "audit.log")},
    }
    with serve(place / "content", config) as registry:
        yield registry


def user(running: RunningRegistry, name: str) -> Client:
    """Return a client that sends the password of a user."""
    return Client(running.host, user=f"{name}:{name}" if name else "")


def get(client: Client, path: str, **fields: object) -> Response:
    """Send a GET with a query."""
    return client.get(f"{path}?{urlencode(fields)}")


def restore(client: Client, headers: dict[str, str] | None = None, **fields: object) -> Response:
    """Send the POST of a restore."""
    return client.ask("POST", f"{RESTORE}?{urlencode(fields)}", headers=headers)


def pointed(client: Client, repo: str, tag: str) -> str | None:
    """Return where a tag points."""
    return client.head(f"/v2/{repo}/manifests/{tag}")["Docker-Content-Digest"]


def test_the_history_of_a_tag_is_newest_first(registry: Client, repo: str) -> None:
    """Each change has its time, its digests and its sequence number; of all tags, and of one."""
    registry.push(repo, OLD, "a", "b")
    registry.push(repo, NEW, "a")
    answer = get(registry, HISTORY, repo=repo, tag="a")
    assert answer["Content-Type"] == "application/json"
    newest, oldest = answer.json["changes"]
    assert answer.json["repository"] == repo
    assert (newest["tag"], newest["before"], newest["after"]) == ("a", OLD.digest, NEW.digest)
    assert (oldest["before"], oldest["after"], oldest["source"]) == (None, OLD.digest, "client")
    assert newest["sequence"] > oldest["sequence"]
    assert newest["time"] >= oldest["time"]
    assert [each["tag"] for each in get(registry, HISTORY, repo=repo).json["changes"]] == ["a", "b", "a"]


def test_the_history_comes_in_pages(registry: Client, repo: str) -> None:
    """A page links the next one, the last page links none, and together they are the whole."""
    registry.push(repo, OLD, *(f"v{number}" for number in range(5)))
    target, found = f"{HISTORY}?repo={repo}&n=2", []
    for _ in range(4):
        answer = registry.get(target)
        found += [each["tag"] for each in answer.json["changes"]]
        if answer["Link"] is None:
            break
        target, _, rel = (answer["Link"] or "")[1:].partition(">")
        assert rel == '; rel="next"'
    assert found == ["v4", "v3", "v2", "v1", "v0"]
    assert get(registry, HISTORY, repo=repo, n=10**6).json["changes"] != []
    assert get(registry, HISTORY, repo=repo, n=0).json["changes"] == []


def test_tags_as_of_a_time_are_those_that_pointed_somewhere(registry: Client, repo: str) -> None:
    """Moved ones where they pointed, deleted ones too, later ones not; a manifest that is deleted is marked."""
    registry.push(repo, OLD, "moved", "deleted")
    then = get(registry, HISTORY, repo=repo).json["changes"][0]["time"]
    registry.push(repo, NEW, "moved", "later")
    registry.ask("DELETE", f"/v2/{repo}/manifests/deleted")
    answer = get(registry, AS_OF, repo=repo, at=then)
    rows = [{"tag": tag, "digest": OLD.digest, "here": True} for tag in ("deleted", "moved")]
    assert answer.json == {"repository": repo, "time": then, "tags": rows}
    assert get(registry, AS_OF, repo=repo, at=EPOCH).json["tags"] == []
    assert get(registry, AS_OF, repo=repo, at=then, tag="moved").json["tags"] == rows[1:]
    first = get(registry, AS_OF, repo=repo, at=then, n=1)
    assert first.json["tags"] == rows[:1]
    assert registry.get((first["Link"] or "")[1:].partition(">")[0]).json["tags"] == rows[1:]
    registry.ask("DELETE", f"/v2/{repo}/manifests/{OLD.digest}")
    assert [each["here"] for each in get(registry, AS_OF, repo=repo, at=then).json["tags"]] == [False, False]


def test_a_tag_is_restored_to_where_it_was(registry: Client, repo: str) -> None:
    """Before its last change, at a time, or to a digest."""
    registry.push(repo, OLD, "v1")
    then = get(registry, HISTORY, repo=repo).json["changes"][0]["time"]
    registry.push(repo, NEW, "v1")
    done = restore(registry, repo=repo, tag="v1")
    assert (done.status, done.json) == (200, {"repository": repo, "tag": "v1", "digest": OLD.digest})
    assert pointed(registry, repo, "v1") == OLD.digest
    assert restore(registry, repo=repo, tag="v1", digest=NEW.digest).status == 200
    assert pointed(registry, repo, "v1") == NEW.digest
    assert restore(registry, repo=repo, tag="v1", at=then).json["digest"] == OLD.digest
    registry.ask("DELETE", f"/v2/{repo}/manifests/v1")
    assert restore(registry, repo=repo, tag="v1").status == 200
    assert pointed(registry, repo, "v1") == OLD.digest


def test_a_restore_is_conditional(registry: Client, repo: str) -> None:
    """`If-Match` is where the tag points, `If-None-Match: *` that there is none; else nothing changes."""
    registry.push(repo, OLD, "v1")
    registry.push(repo, NEW, "v1")
    other = {"If-Match": f'"{image("other").digest}"'}
    assert restore(registry, other, repo=repo, tag="v1").error == (412, "PRECONDITION_FAILED")
    assert restore(registry, {"If-None-Match": "*"}, repo=repo, tag="v1").error == (412, "PRECONDITION_FAILED")
    assert pointed(registry, repo, "v1") == NEW.digest
    right = {"If-Match": f'"{NEW.digest}"'}
    assert restore(registry, right, repo=repo, tag="v1").status == 200
    # The answer may have been lost: asked again for what is so, it is so.
    assert restore(registry, right, repo=repo, tag="v1", digest=OLD.digest).status == 200
    registry.ask("DELETE", f"/v2/{repo}/manifests/v1")
    assert restore(registry, right, repo=repo, tag="v1", digest=NEW.digest).status == 412
    assert restore(registry, {"If-None-Match": "*"}, repo=repo, tag="v1", digest=NEW.digest).status == 200
    assert restore(registry, {"If-Match": "v1"}, repo=repo, tag="v1").error == (400, "UNSUPPORTED")


def test_all_tags_are_restored_as_of_a_time(registry: Client, repo: str) -> None:
    """Those that pointed elsewhere; what has no manifest any more is named, what is newer stays."""
    registry.push(repo, OLD, "moved", "deleted", "same")
    registry.push(repo, image("gone"), "gone")
    then = get(registry, HISTORY, repo=repo).json["changes"][0]["time"]
    registry.push(repo, NEW, "moved", "later")
    registry.ask("DELETE", f"/v2/{repo}/manifests/deleted")
    registry.ask("DELETE", f"/v2/{repo}/manifests/{image('gone').digest}")
    done = restore(registry, repo=repo, at=then)
    assert done.status == 200
    assert done.json == {
        "repository": repo,
        "time": then,
        "restored": [{"tag": tag, "digest": OLD.digest} for tag in ("deleted", "moved")],
        "gone": ["gone"],
        "changed": [],
        "left": 0,
    }
    assert [pointed(registry, repo, tag) for tag in ("moved", "deleted", "same")] == [OLD.digest] * 3
    assert pointed(registry, repo, "later") == NEW.digest
    assert restore(registry, repo=repo, at=then).json["restored"] == []


def test_many_tags_are_restored_in_portions(registry: Client, repo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one request does not restore is counted, and the same request again goes on."""
    monkeypatch.setattr("zot.api.tag_history.RESTORED_LIMIT", 3)
    names = [f"t{number}" for number in range(7)]
    registry.push(repo, OLD, *names)
    then = get(registry, HISTORY, repo=repo).json["changes"][0]["time"]
    registry.push(repo, NEW, *names)
    assert [restore(registry, repo=repo, at=then).json["left"] for _ in range(3)] == [4, 1, 0]
    assert {pointed(registry, repo, name) for name in names} == {OLD.digest}


@pytest.mark.parametrize(
    ("method", "path", "fields", "error"),
    [
        ("GET", HISTORY, {}, (400, "UNSUPPORTED")),
        ("GET", HISTORY, {"repo": "Not a name"}, (400, "UNSUPPORTED")),
        ("GET", HISTORY, {"repo": "test/none"}, (404, "NAME_UNKNOWN")),
        ("GET", HISTORY, {"repo": "test/none", "n": "-1"}, (400, "UNSUPPORTED")),
        ("GET", HISTORY, {"repo": "test/none", "tag": "a:b"}, (400, "UNSUPPORTED")),
        ("GET", AS_OF, {"repo": "test/none"}, (400, "UNSUPPORTED")),
        ("GET", AS_OF, {"repo": "test/none", "at": "yesterday"}, (400, "UNSUPPORTED")),
        ("GET", AS_OF, {"repo": "test/none", "at": EPOCH}, (404, "NAME_UNKNOWN")),
        ("POST", RESTORE, {"repo": "test/none"}, (400, "UNSUPPORTED")),
        ("POST", RESTORE, {"repo": "test/none", "tag": "a"}, (404, "NAME_UNKNOWN")),
        ("POST", RESTORE, {"repo": "test/none", "tag": "a", "digest": "sha256:1"}, (400, "UNSUPPORTED")),
        ("POST", RESTORE, {"repo": "test/none", "tag": "a", "digest": OLD.digest, "at": EPOCH}, (400, "UNSUPPORTED")),
        ("POST", HISTORY, {"repo": "test/none"}, (405, "UNSUPPORTED")),
        ("GET", RESTORE, {"repo": "test/none"}, (405, "UNSUPPORTED")),
    ],
)
def test_bad_requests_say_what_is_wrong(
    registry: Client, method: str, path: str, fields: dict[str, str], error: tuple[int, str]
) -> None:
    """A query that is none is 400, a missing repository 404, another method 405."""
    assert registry.ask(method, f"{path}?{urlencode(fields)}").error == error


def test_a_tag_that_never_was_is_unknown(registry: Client, repo: str) -> None:
    """It has no history and no past, and cannot be restored; a tag that was created last has nothing before."""
    registry.push(repo, OLD, "v1")
    for answer in (
        get(registry, HISTORY, repo=repo, tag="none"),
        get(registry, AS_OF, repo=repo, tag="none", at=EPOCH),
        restore(registry, repo=repo, tag="none"),
        restore(registry, repo=repo, tag="v1"),
        restore(registry, repo=repo, tag="v1", at=EPOCH),
        restore(registry, repo=repo, tag="v1", digest=NEW.digest),
    ):
        assert answer.error == (404, "MANIFEST_UNKNOWN")


def test_reading_the_history_needs_the_right_to_read(running: RunningRegistry) -> None:
    """Without it a repository that exists and one that does not are refused alike."""
    admin = user(running, "admin")
    admin.push("team/read", OLD, "v1")
    for name in ("team/read", "team/none"):
        for client, error in ((user(running, "stranger"), (403, "DENIED")), (user(running, ""), (401, "UNAUTHORIZED"))):
            assert get(client, HISTORY, repo=name).error == error
            assert get(client, AS_OF, repo=name, at=EPOCH).error == error
            assert restore(client, repo=name, tag="v1").error == error
            assert restore(client, repo=name, at=EPOCH).error == error
    assert get(user(running, "reader"), HISTORY, repo="team/read").json["changes"][0]["by"] == "admin"


def test_a_restore_needs_the_rights_of_a_push(running: RunningRegistry) -> None:
    """Moving a tag needs `update`, making one again `create`; of several tags none moves if one may not."""
    admin, mover = user(running, "admin"), user(running, "mover")
    admin.push("team/rights", OLD, "a", "b")
    then = get(admin, HISTORY, repo="team/rights").json["changes"][0]["time"]
    admin.push("team/rights", NEW, "a")
    admin.ask("DELETE", "/v2/team/rights/manifests/b")
    assert restore(user(running, "reader"), repo="team/rights", tag="a").error == (403, "DENIED")
    assert restore(user(running, "reader"), repo="team/rights", at=then).error == (403, "DENIED")
    assert restore(mover, repo="team/rights", tag="b").error == (403, "DENIED")
    assert restore(mover, repo="team/rights", at=then).error == (403, "DENIED")
    assert pointed(admin, "team/rights", "a") == NEW.digest
    assert restore(mover, repo="team/rights", tag="a").status == 200
    assert restore(user(running, "alice"), repo="team/rights", at=then).json["restored"] != []
    assert get(admin, HISTORY, repo="team/rights", tag="b").json["changes"][0]["by"] == "alice"


def test_an_immutable_tag_is_not_restored(running: RunningRegistry) -> None:
    """It may come again, as with a push, but is not moved."""
    admin = user(running, "admin")
    admin.push("team/frozen", OLD, "v1", "x1")
    admin.push("team/frozen", NEW, "v2", "x1")
    assert restore(admin, repo="team/frozen", tag="v1", digest=NEW.digest).error == (403, "DENIED")
    assert restore(admin, repo="team/frozen", tag="x1").status == 200


def test_a_restore_is_in_the_audit_log(running: RunningRegistry) -> None:
    """With the operation, the repository, the tags and the user; refused ones as well."""
    admin = user(running, "admin")
    admin.push("team/audit", OLD, "v1")
    admin.push("team/audit", NEW, "v1")
    restore(user(running, "reader"), repo="team/audit", tag="v1")
    restore(admin, repo="team/audit", tag="v1")
    path = running.root.parent / "audit.log"
    lines = _eventually(path, 2, '"tags.restore"', "team/audit")
    assert [(each["subject"], each["result"], each["tags"]) for each in lines] == [
        ("reader", "denied", ["v1"]),
        ("admin", "done", ["v1"]),
    ]


def _eventually(path: Path, count: int, *words: str) -> list[dict[str, object]]:
    """Return the lines of a log that have some words, once there are so many."""
    while True:
        text = path.read_text() if path.exists() else ""
        lines = [json.loads(each) for each in text.splitlines() if all(word in each for word in words)]
        if len(lines) >= count:
            return lines
        time.sleep(0.01)
