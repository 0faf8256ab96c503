"""Lists in pages: tags, repositories, referrers; whole, in order, and none twice."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from http_client import Client, Response, parsed
from layout.images import CONFIG, INDEX, MANIFEST, Image, image, index
from zot.catalog.interface import Catalog
from zot.catalog.layout_commands import ImportLayout
from zot.catalog.manifest_commands import PutManifest, Stored, TagMove
from zot.catalog.sqlite.driver import open_in_thread
from zot.oci.digest import digest_of
from zot.oci.manifest import parse_manifest
from zot.oci.names import Repository, parse_repository, parse_tag
from zot.testing import serve

# What is started for all of them is started once.
pytestmark = pytest.mark.xdist_group("lists")

MANY = 2500
SUBJECT = image("subject")
TYPES = ("application/example.one", "application/example.two")
TAGS = [f"t{number:04}" for number in range(MANY)]
REPOSITORIES = [f"many/r{number:04}" for number in range(MANY)]


def referrer(number: int, subject: Image = SUBJECT, **fields: Any) -> Image:
    """An index that refers to a subject, for which no blob has to be pushed."""
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "artifactType": TYPES[number % 2], **fields}
    return Image(
        json.dumps({**document, "subject": subject.descriptor(), "annotations": {"n": str(number)}}).encode(), INDEX
    )


async def fill(directory: Path) -> None:
    """Put into a catalog 2,500 repositories, and in `all/of` as many tags and referrers of one subject."""
    catalog = open_in_thread(directory, "boot")
    empty, everything = index(), parse_repository("all/of")
    names = [parse_repository(name) for name in REPOSITORIES]
    await asyncio.gather(
        *(catalog.do(ImportLayout(repository=repository, complete=True)) for repository in (everything, *names)),
        *(put(catalog, repository, empty, "v1") for repository in names),
        put(catalog, everything, empty, *TAGS),
        *(put(catalog, everything, referrer(number)) for number in range(MANY)),
    )
    await catalog.close()


async def put(catalog: Catalog, repository: Repository, pushed: Image, *tags: str) -> None:
    """Store an index in a catalog, as a push does."""
    parsed = parse_manifest(pushed.content, None)
    command = PutManifest(
        repository=repository,
        digest=digest_of(pushed.content),
        content=pushed.content,
        media_type=parsed.media_type,
        artifact_type=parsed.artifact_type,
        subject=parsed.subject,
        annotations=parsed.annotations,
        edges=(),
        tags=tuple(TagMove(parse_tag(tag)) for tag in tags),
        by="",
    )
    assert isinstance(await catalog.do(command), Stored)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A registry with many repositories, tags and referrers."""
    root = tmp_path_factory.mktemp("many")
    with serve(root):
        pass  # makes the store
    asyncio.run(fill(root / ".zot"))
    with serve(root, {"storage": {"readOnly": True}}) as running:  # it has layouts for none of them, and makes none
        yield Client(running.host)


def link(answer: Response) -> str | None:
    """Where the list goes on."""
    header = answer["Link"]
    if header is None:
        return None
    target, _, rest = header.removeprefix("<").partition(">")
    assert rest == '; rel="next"'
    return target


def follow(client: Client, target: str | None, items: Callable[[Any], list[Any]]) -> list[list[Any]]:
    """All pages from the first one on."""
    pages = []
    while target is not None:
        answer = client.get(target)
        assert answer.status == 200, answer.body
        pages.append(items(answer.json))
        target = link(answer)
    return pages


def tags_of(document: Any) -> list[Any]:
    """The tags of an answer."""
    assert set(document) == {"name", "tags"}
    return list(document["tags"])


def repositories_of(document: Any) -> list[Any]:
    """The repositories of an answer."""
    assert set(document) == {"repositories"}
    return list(document["repositories"])


def digests_of(document: Any) -> list[Any]:
    """The digests of an answer, which is an index."""
    assert (document["schemaVersion"], document["mediaType"]) == (2, INDEX)
    return [each["digest"] for each in document["manifests"]]


@pytest.mark.parametrize(
    ("query", "sizes"),
    [("", [2500]), ("?n=1000", [1000, 1000, 500]), ("?n=999", [999, 999, 502]), (f"?n={'9' * 40}", [1000, 1000, 500])],
)
def test_tags_come_in_pages(many: Client, query: str, sizes: list[int]) -> None:
    """All tags, in order, none twice: as one list, or in pages as long as asked for and no longer than allowed."""
    pages = follow(many, f"/v2/all/of/tags/list{query}", tags_of)
    assert [len(page) for page in pages] == sizes
    assert [tag for page in pages for tag in page] == TAGS


@pytest.mark.parametrize(("query", "sizes"), [("", [2501]), ("?n=700", [700, 700, 700, 401])])
def test_repositories_come_in_pages(many: Client, query: str, sizes: list[int]) -> None:
    """All repositories, in the order of their names."""
    pages = follow(many, f"/v2/_catalog{query}", repositories_of)
    assert [len(page) for page in pages] == sizes
    assert [name for page in pages for name in page] == ["all/of", *REPOSITORIES]


def test_referrers_come_in_pages(many: Client) -> None:
    """All referrers, each once; with a filter those of the type alone, which the answer says, on every page."""
    every = f"/v2/all/of/referrers/{SUBJECT.digest}"
    pages = follow(many, every, digests_of)
    assert [len(page) for page in pages] == [2500]
    assert {each for page in pages for each in page} == {referrer(number).digest for number in range(MANY)}
    pages = follow(many, f"{every}?n=1000", digests_of)
    assert [len(page) for page in pages] == [1000, 1000, 500]
    assert {each for page in pages for each in page} == {referrer(number).digest for number in range(MANY)}
    filtered = follow(many, f"{every}?n=600&artifactType={TYPES[1]}", digests_of)
    assert [len(page) for page in filtered] == [600, 600, 50]
    assert {each for page in filtered for each in page} == {referrer(number).digest for number in range(1, MANY, 2)}
    assert [len(page) for page in follow(many, f"{every}?artifactType={TYPES[1]}", digests_of)] == [1250]
    both = follow(many, f"{every}?artifactType={TYPES[0]}&artifactType={TYPES[1]}", digests_of)
    assert sum(map(len, both)) == MANY
    none = many.get(f"{every}?n=0")
    assert (none.status, none.json["manifests"], none["Link"]) == (200, [], None)


@pytest.mark.parametrize("path", ["/v2/_catalog", "/v2/all/of/tags/list", f"/v2/all/of/referrers/{SUBJECT.digest}"])
def test_a_long_list_is_sent_in_pieces(many: Client, path: str) -> None:
    """It has no length beforehand; clients of HTTP/1.0 know its end by the connection's; HEAD has no body."""
    answer = many.get(path)
    assert (answer["Transfer-Encoding"], answer["Content-Length"], answer["X-Request-Id"] is None) == (
        "chunked",
        None,
        False,
    )
    old = parsed(many.raw(f"GET {path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".encode()))
    assert (old.json, old["Transfer-Encoding"]) == (answer.json, None)
    head = many.head(path)
    assert (head.status, head.body, head["Content-Type"]) == (200, b"", answer["Content-Type"])


@pytest.mark.parametrize(("path", "last", "items"), [("_catalog", "many/r2000", 499), ("all/of/tags/list", "t1", 1500)])
def test_a_whole_list_may_begin_after_a_name(many: Client, path: str, last: str, items: int) -> None:
    """`last` without `n`: all that comes after it, which need not exist."""
    answer = many.get(f"/v2/{path}?last={last}")
    (found,) = (value for value in answer.json.values() if isinstance(value, list))
    assert (len(found), link(answer)) == (items, None)


def test_a_client_that_stops_listening_is_dropped(many: Client) -> None:
    """A list that its client does not take to its end is ended, and the server goes on."""
    with many.socket() as connection:
        connection.sendall(b"GET /v2/all/of/tags/list HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(10).startswith(b"HTTP/1.1 2")
    assert many.get("/v2/").status == 200


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, list[str]]]:
    """A registry with one repository of some tags."""
    tags = sorted(["latest", "v1", "v1.0", "v1.0.1", "V1", "_", "0", "a" * 128, "v1-rc", "v10", "z.z", "Z_-9"])
    with serve(tmp_path_factory.mktemp("few")) as running:
        client = Client(running.host)
        client.push("few", image("few"), *tags)
        yield client, tags


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.none() | st.integers(0, 20), st.none() | st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,5}", fullmatch=True))
def test_a_page_is_what_comes_after(few: tuple[Client, list[str]], n: int | None, last: str | None) -> None:
    """A page has at most `n` tags after `last`, which need not exist, in byte order; a link if there are more."""
    client, tags = few
    query = "&".join(f"{key}={value}" for key, value in (("n", n), ("last", last)) if value is not None)
    answer = client.get(f"/v2/few/tags/list?{query}")
    rest = [tag for tag in tags if last is None or tag > last]
    page = rest if n is None else rest[:n]
    assert answer.json == {"name": "few", "tags": page}
    more = len(page) < len(rest) and n != 0
    assert link(answer) == (f"/v2/few/tags/list?n={n}&last={page[-1]}" if more else None)


@pytest.mark.parametrize("path", ["/v2/{repo}/tags/list", "/v2/_catalog", "/v2/{repo}/referrers/sha256:" + "0" * 64])
@pytest.mark.parametrize("query", ["n=-1", "n=x", "n=1&n=1", "n=", "n=1.5", "n=%C2%B2", "last=a&last=b", "last=%C3%28"])
def test_bad_parameters_are_told(registry: Client, repo: str, path: str, query: str) -> None:
    """A count that is none, or a parameter given twice, is 400 with the specification's form."""
    registry.push_blob(repo, b"content")
    assert registry.get(f"{path.format(repo=repo)}?{query}").error == (400, "PAGINATION_NUMBER_INVALID")


def test_a_list_of_what_is_not_there(registry: Client, repo: str) -> None:
    """Tags of no repository are 404, referrers in no repository are none; a repository may have no tags."""
    assert registry.get(f"/v2/{repo}/tags/list").error == (404, "NAME_UNKNOWN")
    referrers = registry.get(f"/v2/{repo}/referrers/{SUBJECT.digest}")
    assert (referrers.status, digests_of(referrers.json)) == (200, [])
    registry.push_blob(repo, b"content")
    assert registry.get(f"/v2/{repo}/tags/list").json == {"name": repo, "tags": []}


@pytest.mark.parametrize("digest", ["x", "sha256:abc", "sha256:" + "A" * 64, "latest"])
def test_referrers_of_a_malformed_digest_are_refused(registry: Client, repo: str, digest: str) -> None:
    """A subject is a digest."""
    assert registry.get(f"/v2/{repo}/referrers/{digest}").error == (400, "DIGEST_INVALID")


def test_a_referrer_is_described(registry: Client, repo: str) -> None:
    """Type, digest and size, the artifact type by the specification's rule, and its annotations; gone when it is."""
    for each in (SUBJECT, image("signature", subject=SUBJECT), referrer(0)):
        registry.push(repo, each)
    target = f"/v2/{repo}/referrers/{SUBJECT.digest}"
    answer = registry.get(target)
    assert answer["Content-Type"] == INDEX
    assert answer["OCI-Filters-Applied"] is None
    signature, other = image("signature", subject=SUBJECT), referrer(0)
    assert sorted(answer.json["manifests"], key=lambda each: each["mediaType"], reverse=True) == [
        {"mediaType": MANIFEST, "digest": signature.digest, "size": len(signature.content), "artifactType": CONFIG},
        {
            "mediaType": INDEX,
            "digest": other.digest,
            "size": len(other.content),
            "artifactType": TYPES[0],
            "annotations": {"n": "0"},
        },
    ]
    filtered = registry.get(f"{target}?artifactType={CONFIG.replace('+', '%2B')}")
    assert filtered["OCI-Filters-Applied"] == "artifactType"
    assert digests_of(filtered.json) == [signature.digest]
    assert digests_of(registry.get(f"{target}?artifactType=application/other").json) == []
    assert registry.ask("DELETE", f"/v2/{repo}/manifests/{signature.digest}").status == 202
    assert digests_of(registry.get(target).json) == [other.digest]


def test_referrers_outlive_their_subject(registry: Client, repo: str) -> None:
    """They may come before it, and stay listed when it goes."""
    registry.push(repo, referrer(0))
    target = f"/v2/{repo}/referrers/{SUBJECT.digest}"
    assert digests_of(registry.get(target).json) == [referrer(0).digest]
    registry.push(repo, SUBJECT)
    assert registry.ask("DELETE", f"/v2/{repo}/manifests/{SUBJECT.digest}").status == 202
    assert digests_of(registry.get(target).json) == [referrer(0).digest]
