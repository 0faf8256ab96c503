"""Queries to a registry with the search extension, beyond what the transcripts show."""

import json
import re

import pytest

from zli.conftest import Zli
from zli.recorded_zot import ADMIN, RecordedZot, transcript

DEBIAN = "library/debian:12"
DIGEST = "sha256:15d658776c9606335c76ee3da7073238d065a172a8992e9b89c968a9e90b0b8c"
AFFECTED = ("cve", "affected", "CVE-2099-0007")


def lines(text: str) -> list[str]:
    """Return `repo:tag` of each line of JSON."""
    return [f"{each['repoName']}:{each['tag']}" for each in map(json.loads, text.splitlines())]


@pytest.mark.parametrize("form", ["text", "json", "jsonl", "yaml"])
def test_a_list_in_pages_is_the_list(zli: Zli, zot: RecordedZot, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """However many pages the server has to be asked for, in every format."""
    whole = zli(*AFFECTED, "--url", zot.url, "-f", form)
    assert len(zot.queries) == 1
    for size in (1, 4, 27, 28):
        monkeypatch.setattr("zot.zli.search_client.PAGE_SIZE", size)
        zot.queries.clear()
        assert zli(*AFFECTED, "--url", zot.url, "-f", form) == whole
        assert len(zot.queries) == -(-27 // size)


def test_documents_are_printed_as_pages_come(zli: Zli, zot: RecordedZot, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that breaks off has printed what came before, but for a table, whose columns depend on all of it."""
    monkeypatch.setattr("zot.zli.search_client.PAGE_SIZE", 2)
    images = zot.answers["ImageListForCVE CVE-2099-0007"]["Results"]
    images[4] = None
    zot.images[None] = 5  # type: ignore[index]  # what is no image
    done = zli.run(*AFFECTED, "--url", zot.url, "-f", "jsonl")
    assert lines(done.stdout) == images[:4]
    assert done.exit_code == 1
    assert "/v2/_zot/ext/search did not answer as zot does" in done.stderr
    assert "did not answer as zot does" in zli.refused(*AFFECTED, "--url", zot.url)


@pytest.mark.parametrize("limit", [1, 5, 27, 100])
def test_a_limit_shows_the_first(zli: Zli, zot: RecordedZot, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """And asks the server for no more than that."""
    monkeypatch.setattr("zot.zli.search_client.PAGE_SIZE", 4)
    images = zot.answers["ImageListForCVE CVE-2099-0007"]["Results"]
    assert lines(zli(*AFFECTED, "--url", zot.url, "-f", "jsonl", "--limit", str(limit))) == images[:limit]
    asked = sum(int(re.findall(r"limit: (\d+)", each)[0]) for each in zot.queries)
    assert asked <= min(limit, 28)
    text = zli(*AFFECTED, "--url", zot.url, "--limit", str(limit))
    assert len(text.splitlines()) == 1 + min(limit, 27)


def test_a_limit_is_positive(zli: Zli, zot: RecordedZot) -> None:
    """Nothing is asked otherwise."""
    assert "0 is not in the range x>=1" in zli.refused(*AFFECTED, "--url", zot.url, "--limit", "0")
    assert zot.requests == []


def test_a_repository_is_chosen_before_the_limit(zli: Zli, zot: RecordedZot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what a vulnerability affects, and of images by name: the query cannot choose."""
    monkeypatch.setattr("zot.zli.search_client.PAGE_SIZE", 3)
    words = [*AFFECTED, "--repo", "library/alpine", "--url", zot.url, "-f", "jsonl"]
    alpine = [f"library/alpine:{tag}" for tag in ("3.20", "3.20.1", "latest")]
    assert lines(zli(*words)) == alpine
    assert lines(zli(*words, "--limit", "2")) == alpine[:2]
    words = ["image", "name", "team/api:latest", "--url", zot.url, "-f", "jsonl"]
    assert lines(zli(*words)) == lines(zli(*words, "--limit", "1")) == ["team/api:latest"]
    assert zli("image", "name", "team/api:nope", "--url", zot.url) == ""


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["search", "query", "team"], "name"),
        (["search", "subject", f"team/api@{DIGEST}"], "digest"),
        (["cve", "list", DEBIAN], "Id"),
        (["cve", "diff", "tools/cli:v1", "library/alpine:3.20"], "Id"),
        (["repo", "list"], "name"),
        (["image", "name", "team/api"], "tag"),
    ],
)
def test_json_lines_have_a_line_for_each_thing(zli: Zli, zot: RecordedZot, words: list[str], key: str) -> None:
    """Repositories, referrers, vulnerabilities, images; as many as --limit says."""
    found = [json.loads(line)[key] for line in zli(*words, "--url", zot.url, "-f", "jsonl").splitlines()]
    assert len(found) > 1
    first = [
        json.loads(line)[key] for line in zli(*words, "--url", zot.url, "-f", "jsonl", "--limit", "1").splitlines()
    ]
    assert first == found[:1]


def test_options_may_stand_before_the_command(zli: Zli, zot: RecordedZot) -> None:
    """As in zot's zli, whose groups have them; what stands behind the command goes before."""
    expected = transcript("37")
    said = zli("image", "--url", zot.url, "-u", "admin:admin", "-f", "json", "base", "tools/cli:v1")
    assert said == expected.stdout
    said = zli("image", "-f", "yaml", "base", "tools/cli:v1", "--url", zot.url, "-f", "JSON")
    assert said == expected.stdout


def test_all_images_can_be_searched_for(zli: Zli, zot: RecordedZot) -> None:
    """By `:`, which zot's zli knows."""
    zot.answers["ImageList"] = zot.answers["ImageList team/api"]
    assert (
        zli("search", "query", ":", "--url", zot.url)
        == transcript("67").stdout
        == zli("image", "list", "--url", zot.url)
    )


def test_text_of_a_query_is_quoted(zli: Zli, zot: RecordedZot) -> None:
    """What a user types is a string of the query, whatever is in it."""
    text = 'a"){x}#\\ ü\n'
    zot.answers[f"GlobalSearch {text}"] = {"Images": [], "Repos": []}
    assert zli("search", "query", text, "--url", zot.url) == ""


def test_platforms_are_shown_of_repositories(zli: Zli, zot: RecordedZot) -> None:
    """With --verbose, a line for each."""
    rows = [line.split() for line in zli("search", "query", "team", "--verbose", "--url", zot.url).splitlines()]
    assert rows[0][-1] == "PLATFORMS"
    assert rows[1][-1] == "linux/amd64"
    assert rows[2] == ["linux/arm64/v8"]


def test_docker_images_are_in_the_table(zli: Zli, zot: RecordedZot) -> None:
    """zot's zli leaves them out."""
    for image in zot.images.values():
        image["MediaType"] = image["MediaType"].replace("oci.image.manifest.v1", "docker.distribution.manifest.v2")
    assert "library/debian 12 " in zli("image", "name", DEBIAN, "--url", zot.url)


def test_a_query_is_one_request(zli: Zli, zot: RecordedZot) -> None:
    """What the server has is not looked at before it is needed."""
    zli("image", "name", DEBIAN, "--url", zot.url)
    assert len(zot.requests) == 1


def test_a_server_with_other_queries_is_said(zli: Zli, zot: RecordedZot) -> None:
    """It finds the query invalid: then its schema tells which arguments it has instead."""
    zot.invalid = True
    said = zli.refused("image", "digest", "sha256:1", "--url", zot.url)
    assert said == "Error: query is not supported or has different arguments: ImageListForDigest\n"
    assert zli.refused("cve", "list", DEBIAN, "--url", zot.url) == "Error: Unknown argument\n\n"


@pytest.mark.parametrize(
    ("words", "query"),
    [
        (["image", "digest", "sha256:1"], "ImageListForDigest"),
        (["image", "base", DEBIAN], "BaseImageList"),
        (["image", "derived", DEBIAN], "DerivedImageList"),
        (["image", "cve", DEBIAN], "CVEListForImage"),
        (["cve", "list", DEBIAN], "CVEListForImage"),
        (["cve", "affected", "CVE-1"], "ImageListForCVE"),
        (["cve", "fixed", "a", "CVE-1"], "ImageListWithCVEFixed"),
        (["cve", "diff", "a:1", "b:1"], "CVEDiffListForImages"),
        (["search", "query", "a"], "GlobalSearch"),
    ],
)
def test_a_server_without_the_extension_is_said(zli: Zli, zot: RecordedZot, words: list[str], query: str) -> None:
    """By commands that have no other way to ask."""
    zot.search = False
    assert zli.refused(*words, "--url", zot.url) == (
        "Error: functionality is not built/configured in the current server: "
        f"search extension gql endpoints not found: '{query}'\n"
    )


def test_debug_shows_requests_and_no_password(zli: Zli, zot: RecordedZot) -> None:
    """On standard error, in order that the output can be read by programs."""
    done = zli.run("image", "name", DEBIAN, "--debug", "--url", zot.url, "-u", "admin:admin", "-f", "json")
    assert json.loads(done.stdout)["tag"] == "12"
    sent, got = done.stderr.splitlines()
    assert sent.startswith(f"[debug]  GET   {zot.url}/v2/_zot/ext/search?query=")
    assert "[request header]  map[Authorization:[***]" in sent
    assert "[status]  200   [response header]  map[Content-Length:[" in got
    assert ADMIN.removeprefix("Basic ") not in done.stderr


def test_what_is_no_answer_is_an_error(zli: Zli, zot: RecordedZot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other statuses, other forms, other content: the status is 1, and no traceback."""
    words = ("image", "name", DEBIAN, "--url", zot.url)
    results: list[object] = [5, {"Results": [{"Tag": 5}]}, {"Results": 5}, {"Results": [], "Page": 5}]
    for data in (5, *({"ImageList": each} for each in results)):
        monkeypatch.setattr(zot, "query", lambda _, data=data: (200, {"data": data}))
        assert "did not answer as zot does" in zli.refused(*words)
    monkeypatch.setattr(zot, "query", lambda _: (200, {"data": None}))
    assert zli(*words) == ""
    monkeypatch.setattr(zot, "query", lambda _: (200, []))
    assert "did not answer as zot does: Expected `object`" in zli.refused(*words)
    monkeypatch.setattr(zot, "query", lambda _: (503, "busy"))
    assert zli.refused(*words) == (
        "Error: the response doesn't contain the expected status code: Expected: 200, Got: 503, Body: '\"busy\"'\n"
    )
