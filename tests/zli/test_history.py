"""`zli history`, `zli restore` and `zli usage` against a registry of this tree, and against others."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from http_client import Client
from layout.images import image
from zli.conftest import Zli, answering
from zot.testing import RunningRegistry, serve

OLD, NEW = image("old"), image("new")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """Serve with search."""
    with serve(tmp_path_factory.mktemp("history") / "content", {"extensions": {"search": {}}}) as registry:
        yield registry


@pytest.fixture
def url(served: RunningRegistry) -> str:
    """The URL, as an option."""
    return f"--url={served.url}"


@pytest.fixture
def client(served: RunningRegistry) -> Client:
    """A client that pushes."""
    return Client(served.host)


def lines(text: str) -> list[dict[str, Any]]:
    """Return the documents of JSON lines."""
    return [json.loads(each) for each in text.splitlines()]


def test_the_history_is_a_table_or_a_document_a_line(zli: Zli, client: Client, url: str) -> None:
    """Newest first, with the digests whole; all formats have the same."""
    client.push("app/history", OLD, "v1")
    client.push("app/history", NEW, "v1", "v2")
    table = zli("history", "app/history:v1", url).splitlines()
    assert table[0].split() == ["TIME", "TAG", "FROM", "TO", "BY"]
    assert [each.split()[1:] for each in table[1:]] == [
        ["v1", OLD.digest, NEW.digest, "anonymous"],
        ["v1", "-", OLD.digest, "anonymous"],
    ]
    documents = lines(zli("history", "app/history", url, "-f", "jsonl"))
    assert [(each["tag"], each["after"]) for each in documents] == [
        ("v2", NEW.digest),
        ("v1", NEW.digest),
        ("v1", OLD.digest),
    ]
    assert lines(zli("history", "app/history", url, "-f", "json", "--limit", "1")) == documents[:1]
    assert f"after: {NEW.digest}\n" in zli("history", "app/history", url, "-f", "yaml")


def test_a_long_history_is_read_to_its_end(zli: Zli, client: Client, url: str) -> None:
    """Page after page, unless a limit is given."""
    client.push("app/long", OLD, *(f"v{number}" for number in range(120)))
    assert len(lines(zli("history", "app/long", url, "-f", "jsonl"))) == 120
    assert len(lines(zli("history", "app/long", url, "-f", "jsonl", "--limit", "110"))) == 110


def test_a_tag_goes_back_and_forth(zli: Zli, client: Client, url: str) -> None:
    """To before its last change, to a digest, and only if it points where it is expected."""
    client.push("app/back", OLD, "v1")
    client.push("app/back", NEW, "v1")
    assert zli("restore", "app/back:v1", url) == f"app/back:v1 points to {OLD.digest}\n"
    wrong = zli.refused("restore", "app/back:v1", "--to", NEW.digest, "--if-digest", NEW.digest, url)
    assert wrong == "Error: PRECONDITION_FAILED: tag 'v1' does not point where it was expected\n"
    done = zli("restore", "app/back:v1", "--to", NEW.digest, "--if-digest", OLD.digest, url, "-f", "json")
    assert json.loads(done) == {"repository": "app/back", "tag": "v1", "digest": NEW.digest}


def test_all_tags_go_back_to_a_time(zli: Zli, client: Client, url: str) -> None:
    """What cannot be restored is named, with exit status 1; the state of that time can be shown before."""
    client.push("app/time", OLD, "a", "b")
    client.push("app/time", image("gone"), "gone")
    then = lines(zli("history", "app/time", url, "-f", "jsonl"))[0]["time"]
    client.push("app/time", NEW, "a")
    client.ask("DELETE", "/v2/app/time/manifests/b")
    client.ask("DELETE", f"/v2/app/time/manifests/{image('gone').digest}")
    shown = zli("history", "app/time", "--at", then, url).splitlines()
    assert [each.split() for each in shown[1:]] == [
        ["a", f"app/time@{OLD.digest}"],
        ["b", f"app/time@{OLD.digest}"],
        ["gone", f"app/time@{image('gone').digest}", "deleted", "since"],
    ]
    done = zli.run("restore", "app/time", "--at", then, url)
    assert done.exit_code == 1
    assert done.stdout == f"app/time:a points to {OLD.digest}\napp/time:b points to {OLD.digest}\n"
    assert done.stderr == "app/time:gone is not restored: its manifest was deleted\n"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["app/none"], "the tag is missing"),
        (["app/none", "--to", OLD.digest], "the tag is missing"),
        (["app/none:v1", "--to", OLD.digest, "--at", "2030-01-01T00:00:00Z"], "exclude each other"),
        (["app/none:v1", "--at", "yesterday"], "at is not a time of RFC 3339"),
        (["app/none:v1"], "NAME_UNKNOWN"),
    ],
)
def test_wrong_restores_are_refused(zli: Zli, url: str, words: list[str], reason: str) -> None:
    """In one line that says what is wrong."""
    said = zli.refused("restore", *words, url)
    assert reason in said
    assert said.count("\n") == 1


def test_usage_is_of_repositories_or_tags(zli: Zli, client: Client, url: str) -> None:
    """With what is unique; all formats have the same."""
    client.push("use/a", OLD, "v1", "v2")
    client.push("use/b", NEW, "v1")
    size = sum(len(each) for each in (NEW.content, *NEW.blobs))
    rows = {each["repository"]: each for each in lines(zli("usage", url, "-f", "jsonl"))}
    assert rows["use/b"]["bytes"] == size
    assert zli("usage", url).splitlines()[0].split() == ["REPOSITORY", "SIZE", "UNIQUE", "SHARED", "UNTAGGED"]
    assert len(lines(zli("usage", url, "-f", "jsonl", "--limit", "1"))) == 1
    table = [each.split() for each in zli("usage", "use/b", url).splitlines()]
    assert table == [["TAG", "SIZE", "UNIQUE"], ["v1", str(size), "B", str(size), "B"]]
    assert [each["unique_bytes"] for each in lines(zli("usage", "use/a", url, "-f", "jsonl"))] == [0, 0]


@pytest.mark.parametrize("words", [["history", "app"], ["restore", "app:v1"], ["usage"], ["usage", "app"]])
@pytest.mark.parametrize(
    "answer",
    [(404, b"404 page not found\n"), (405, b""), (200, b"<!doctype html>"), (200, b"{}"), (200, b'{"tags":5}')],
)
def test_another_registry_has_no_such_routes(zli: Zli, words: list[str], answer: tuple[int, bytes]) -> None:
    """One line says so, whatever it answers."""
    with answering(dict.fromkeys(PATHS, answer)) as other:
        said = zli.refused(*words, f"--url={other}")
    assert said.startswith(f"Error: the registry has no {other}/v2/_zot/ext/{words[0]}: it is another one")
    assert said.count("\n") == 1


PATHS = [
    "/v2/_zot/ext/history?repo=app",
    "/v2/_zot/ext/restore?repo=app&tag=v1",
    "/v2/_zot/ext/usage?",
    "/v2/_zot/ext/usage?repo=app",
]
