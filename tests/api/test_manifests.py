"""/v2/{name}/manifests/{reference}: what is pushed is what is pulled, and what is refused is told why."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from http_client import Client, Response, parsed, wait_for
from layout.images import DOCKER_MANIFEST, INDEX, MANIFEST, Image, image, index, sha256
from zot.api.manifests import MANIFESTS_LIMIT_BYTES
from zot.registry.large_manifests import LARGE_BYTES
from zot.testing import serve

NOWHERE = "sha256:" + "0" * 64


def changed(of: Image, **fields: Any) -> bytes:
    """The document of an image with other fields."""
    return json.dumps(json.loads(of.content) | fields).encode()


def test_a_manifest_is_pulled_as_it_was_pushed(registry: Client, repo: str) -> None:
    """By tag or digest, byte for byte, with its type, length and digest; HEAD says the same without the bytes."""
    pushed = image("a")
    registry.push(repo, pushed, "v1")
    for reference in ("v1", pushed.digest, pushed.digest.replace(":", "%3A")):
        got = registry.get(f"/v2/{repo}/manifests/{reference}")
        assert (got.status, got.body) == (200, pushed.content)
        head = registry.head(f"/v2/{repo}/manifests/{reference}")
        assert (head.status, head.body) == (200, b"")
        for answer in (got, head):
            assert answer["Content-Type"] == MANIFEST
            assert answer["Content-Length"] == str(len(pushed.content))
            assert answer["Docker-Content-Digest"] == pushed.digest
            assert answer["Docker-Distribution-API-Version"] == "registry/2.0"


def test_a_push_answers_where_the_manifest_is(registry: Client, repo: str) -> None:
    """201 names the manifest by its digest, whatever it was pushed by; again is 201 again."""
    pushed = image("a")
    registry.push(repo, pushed, "v1")
    for reference in ("v1", "v2", pushed.digest, pushed.digest):
        answer = registry.put_manifest(repo, reference, pushed.content, MANIFEST)
        assert (answer.status, answer.body) == (201, b"")
        assert answer["Location"] == f"/v2/{repo}/manifests/{pushed.digest}"
        assert answer["Docker-Content-Digest"] == pushed.digest
        assert answer["OCI-Subject"] is None


def test_a_tag_moves(registry: Client, repo: str) -> None:
    """A tag stands for what was pushed last; what it stood for stays, by its digest."""
    one, two = image("one"), image("two")
    registry.push(repo, one, "v1")
    registry.push(repo, two, "v1")
    assert registry.get(f"/v2/{repo}/manifests/v1").body == two.content
    assert registry.get(f"/v2/{repo}/manifests/{one.digest}").body == one.content
    assert registry.tags(repo) == ["v1"]


def test_a_subject_is_acknowledged(registry: Client, repo: str) -> None:
    """Who pushes a referrer is told that it is listed as one, whether its subject is there or not."""
    subject = image("subject")
    referrer = image("referrer", subject=subject)
    for blob in referrer.blobs:
        registry.push_blob(repo, blob)
    answer = registry.put_manifest(repo, referrer.digest, referrer.content, MANIFEST)
    assert (answer.status, answer["OCI-Subject"]) == (201, subject.digest)


@pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
def test_a_digest_of_another_algorithm_names_a_manifest(registry: Client, repo: str, algorithm: str) -> None:
    """A manifest that is pushed by another digest is known by it, and moves tags as any other."""
    pushed = image("a")
    registry.push(repo, pushed, "v1")
    digest = f"{algorithm}:{hashlib.new(algorithm, pushed.content).hexdigest()}"
    answer = registry.put_manifest(repo, f"{digest}?tag=other", pushed.content, MANIFEST)
    assert (answer.status, answer["Docker-Content-Digest"], answer["OCI-Tag"]) == (201, digest, "other")
    for reference, found in (("other", digest), (digest, digest), ("v1", pushed.digest)):
        assert registry.head(f"/v2/{repo}/manifests/{reference}")["Docker-Content-Digest"] == found


def test_an_index_may_list_what_is_not_there(registry: Client, repo: str) -> None:
    """Nested and sparse indexes are kept: clients push the platforms that they have."""
    present, absent = image("present"), image("absent")
    registry.push(repo, present)
    inner = index(present, absent)
    assert registry.put_manifest(repo, "inner", inner.content, INDEX).status == 201
    outer = index(inner)
    assert registry.put_manifest(repo, "outer", outer.content, INDEX).status == 201
    assert registry.get(f"/v2/{repo}/manifests/outer")["Content-Type"] == INDEX
    assert registry.head(f"/v2/{repo}/manifests/{absent.digest}").status == 404


def test_the_media_type_may_be_in_the_document_alone(registry: Client, repo: str) -> None:
    """Without Content-Type the document's own mediaType counts; parameters of the header do not."""
    pushed = image("a")
    registry.push(repo, pushed)
    assert registry.ask("PUT", f"/v2/{repo}/manifests/v1", pushed.content).status == 201
    answer = registry.put_manifest(repo, "v2", pushed.content, f"{MANIFEST}; charset=utf-8")
    assert answer.status == 201
    assert registry.head(f"/v2/{repo}/manifests/v2")["Content-Type"] == MANIFEST


def test_docker_images_are_served_as_such(registry: Client, repo: str) -> None:
    """Docker's schema 2 is accepted by default, and keeps its media type."""
    pushed = image("a", DOCKER_MANIFEST)
    registry.push(repo, pushed, "v1")
    assert registry.head(f"/v2/{repo}/manifests/v1")["Content-Type"] == DOCKER_MANIFEST


# --- several tags in one push ---


def test_a_push_by_digest_moves_all_its_tags(registry: Client, repo: str) -> None:
    """`?tag=` may be repeated; each tag is named in the answer once."""
    pushed = image("a")
    registry.push(repo, pushed)
    answer = registry.put_manifest(repo, f"{pushed.digest}?tag=a&tag=b&tag=a", pushed.content, MANIFEST)
    assert answer.status == 201
    assert answer.headers.get_all("OCI-Tag") == ["a", "b"]
    assert registry.tags(repo) == ["a", "b"]


@pytest.mark.parametrize(
    ("reference", "status"),
    [
        ("{digest}?tag=", 400),
        ("{digest}?tag=-x", 400),
        ("{digest}?tag=" + "a" * 129, 400),
        ("{digest}?tag=%C3%28", 400),
        ("v1?tag=v2", 400),
        ("{digest}?" + "&".join(f"tag=t{number}" for number in range(47)), 414),
        ("{digest}?" + "&".join(f"tag=t{number}" for number in range(201)), 400),
    ],
)
def test_bad_tag_parameters_move_nothing(registry: Client, repo: str, reference: str, status: int) -> None:
    """A push whose tags are not all acceptable, or too many, is refused as a whole."""
    pushed = image("a")
    registry.push(repo, pushed)
    answer = registry.put_manifest(repo, reference.format(digest=pushed.digest), pushed.content, MANIFEST)
    assert answer.error[0] == status
    assert registry.tags(repo) == []


def test_forty_six_tags_are_not_too_many(registry: Client, repo: str) -> None:
    """The documented number of tags passes."""
    pushed = image("a")
    registry.push(repo, pushed)
    tags = [f"t{number:02}" for number in range(46)]
    answer = registry.put_manifest(
        repo, f"{pushed.digest}?" + "&".join(f"tag={tag}" for tag in tags), pushed.content, MANIFEST
    )
    assert answer.status == 201
    assert registry.tags(repo) == tags


# --- refusals ---


def test_what_is_not_there_is_unknown(registry: Client, repo: str) -> None:
    """A missing repository is NAME_UNKNOWN, a missing manifest MANIFEST_UNKNOWN, with what was asked for."""
    for method in ("GET", "DELETE"):
        answer = registry.ask(method, f"/v2/{repo}/manifests/v1")
        assert answer.error == (404, "NAME_UNKNOWN")
        assert answer.detail["name"] == repo
    assert registry.head(f"/v2/{repo}/manifests/v1").status == 404
    registry.push_blob(repo, b"content")
    for method, reference in (("GET", "v1"), ("GET", NOWHERE), ("DELETE", "v1"), ("DELETE", NOWHERE)):
        answer = registry.ask(method, f"/v2/{repo}/manifests/{reference}")
        assert answer.error == (404, "MANIFEST_UNKNOWN")
        assert answer.detail["reference"] == reference
    assert registry.head(f"/v2/{repo}/manifests/v1").status == 404


@pytest.mark.parametrize("reference", ["sha256:abc", "sha256:" + "A" * 64, "md5:" + "0" * 32, "a:b", "sha256:../x"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_a_malformed_digest_is_told(registry: Client, repo: str, method: str, reference: str) -> None:
    """What looks like a digest and is none is 400 DIGEST_INVALID, for every method."""
    path = f"/v2/{repo}/manifests/{reference.replace('/', '%2F')}"
    answer = registry.ask(method, path, image("a").content if method == "PUT" else None)
    assert answer.status == 400
    if method != "HEAD":
        assert answer.error == (400, "DIGEST_INVALID")


@pytest.mark.parametrize("tag", ["-a", ".a", "a+b", "a%20b", "%00", "a" * 129, "%C3%A4"])
def test_a_tag_outside_of_the_grammar_is_nowhere(registry: Client, repo: str, tag: str) -> None:
    """Such a tag cannot be pushed, so there is none to be pulled or deleted."""
    pushed = image("a")
    registry.push(repo, pushed)
    assert registry.put_manifest(repo, tag, pushed.content, MANIFEST).error == (400, "MANIFEST_INVALID")
    assert registry.get(f"/v2/{repo}/manifests/{tag}").error == (404, "MANIFEST_UNKNOWN")
    assert registry.ask("DELETE", f"/v2/{repo}/manifests/{tag}").error == (404, "MANIFEST_UNKNOWN")
    assert registry.tags(repo) == []


def test_another_digest_than_the_contents_is_refused(registry: Client, repo: str) -> None:
    """A manifest is stored under its own digest or not at all."""
    pushed, other = image("a"), image("b")
    registry.push(repo, pushed)
    assert registry.put_manifest(repo, other.digest, pushed.content, MANIFEST).error == (400, "DIGEST_INVALID")
    assert registry.get(f"/v2/{repo}/manifests/{other.digest}").status == 404


@pytest.mark.parametrize(
    "media_type", ["", "text/plain", "application/json", "application/vnd.oci.image.config.v1+json"]
)
def test_a_type_that_is_no_manifests_is_refused(registry: Client, repo: str, media_type: str) -> None:
    """Only manifests and indexes are kept as such."""
    answer = registry.put_manifest(repo, "v1", image("a").content, media_type)
    assert answer.error == (415, "MANIFEST_INVALID")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"schemaVersion":2,"schemaVersion":2}',
        changed(image("a"), schemaVersion=1),
        changed(image("a"), mediaType=INDEX),
        changed(image("a"), layers=[{"mediaType": "x", "digest": "sha256:" + "0" * 64, "size": 2**64}]),
        changed(image("a"), annotations={"key": "\ud800"}),
        changed(image("a"), artifactType=1),
    ],
    ids=["empty", "no fields", "deep", "not UTF-8", "doubled key", "version", "type", "size", "surrogate", "typed"],
)
def test_what_is_no_manifest_is_refused(registry: Client, repo: str, content: bytes) -> None:
    """Whatever else is sent in its place is 400 MANIFEST_INVALID, and nothing is stored."""
    answer = registry.put_manifest(repo, "v1", content, MANIFEST)
    assert answer.error == (400, "MANIFEST_INVALID")
    assert answer.detail["reference"] == "v1"
    assert registry.get(f"/v2/{repo}/manifests/v1").status == 404


TYPES = ["x", "a/", "/b", "a/b/c", "a b/c", "a/b\t", ".a/b", "a/" + "b" * 128, "a/b;\n", "\u00e4/b", " a/b"]


@pytest.mark.parametrize("media_type", TYPES)
def test_a_type_by_which_artifacts_are_found_is_one(registry: Client, repo: str, media_type: str) -> None:
    """What is no media type (RFC 6838) is neither an artifact's type nor a config's, of images and of indexes."""
    pushed = image("a")
    registry.push(repo, pushed)
    config = json.loads(pushed.content)["config"] | {"mediaType": media_type}
    listed = index(pushed)
    for content, kind in (
        (changed(pushed, artifactType=media_type), MANIFEST),
        (changed(pushed, config=config), MANIFEST),
        (changed(listed, artifactType=media_type), INDEX),
    ):
        assert registry.put_manifest(repo, "v1", content, kind).error == (400, "MANIFEST_INVALID")


@pytest.mark.parametrize(
    "media_type", ["a/b", "application/vnd.x-1.y_z+json", "application/vnd.cyclonedx+json;version=1.4", "a/b; c=d"]
)
def test_media_types_of_artifacts_are_taken(registry: Client, repo: str, media_type: str) -> None:
    """With parameters, too, as some artifacts have them."""
    pushed = image("a")
    registry.push(repo, pushed)
    config = json.loads(pushed.content)["config"] | {"mediaType": media_type}
    for content in (changed(pushed, artifactType=media_type), changed(pushed, config=config)):
        assert registry.put_manifest(repo, "v1", content, MANIFEST).status == 201


def test_a_blobs_type_fits_into_a_header(registry: Client, repo: str) -> None:
    """A manifest cannot make a blob unreadable, nor add headers to its answers, by the type that it gives it."""
    pushed = image("a")
    registry.push(repo, pushed)
    layers = [each | {"mediaType": "a/b\r\nX-Added: 1"} for each in json.loads(pushed.content)["layers"]]
    answer = registry.put_manifest(repo, "v1", changed(pushed, layers=layers), MANIFEST)
    assert answer.error == (400, "MANIFEST_INVALID")
    assert [registry.get(f"/v2/{repo}/blobs/{each['digest']}").status for each in layers] == [200] * len(layers)


def test_a_type_that_is_no_text_is_refused(registry: Client, repo: str) -> None:
    """Bytes that are no text, where the answer would repeat them, are answered as any other type."""
    head = f"PUT /v2/{repo}/manifests/v1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n"
    answer = parsed(registry.raw(head.encode() + b"Content-Type: \xff\xfe\r\n\r\n{}"))
    assert answer.error == (415, "MANIFEST_INVALID")


def test_blobs_have_to_be_there_first(registry: Client, repo: str) -> None:
    """A manifest whose config or layers are missing is 404 MANIFEST_BLOB_UNKNOWN, which names them."""
    pushed = image("a")
    registry.push_blob(repo, pushed.blobs[0])
    answer = registry.put_manifest(repo, "v1", pushed.content, MANIFEST)
    assert answer.error == (404, "MANIFEST_BLOB_UNKNOWN")
    assert sha256(pushed.blobs[1]) in answer.detail["digest"]
    assert sha256(pushed.blobs[0]) not in answer.detail["digest"]
    assert registry.get(f"/v2/{repo}/manifests/v1").status == 404


def test_layers_that_lie_elsewhere_need_not_be_there(registry: Client, repo: str) -> None:
    """Non-distributable layers are fetched from where their URLs say."""
    pushed = image("a")
    registry.push(repo, pushed)
    layer = {"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar", "digest": NOWHERE, "size": 1}
    assert registry.put_manifest(repo, "v1", changed(pushed, layers=[layer]), MANIFEST).status == 201


@pytest.mark.parametrize("in_chunks", [False, True])
def test_a_manifest_has_four_mebibytes_at_most(registry: Client, repo: str, in_chunks: bool) -> None:
    """The largest manifest passes; one byte more is 413, whether its length was announced or not."""
    pushed = image("a")
    registry.push(repo, pushed)
    padding = 4 * 1024 * 1024 - len(changed(pushed, padding=""))
    for extra, status in ((0, 201), (1, 413)):
        content = changed(pushed, padding="x" * (padding + extra))
        body = iter([content[:100], content[100:]]) if in_chunks else content
        answer = registry.ask("PUT", f"/v2/{repo}/manifests/big{extra}", body, {"Content-Type": MANIFEST})
        assert answer.status == status, answer.body
    assert answer.error == (413, "MANIFEST_INVALID")
    assert registry.tags(repo) == ["big0"]


def test_half_a_manifest_is_none(registry: Client, repo: str) -> None:
    """A connection that ends before the announced length stores nothing."""
    pushed = image("a")
    registry.push(repo, pushed)
    head = f"PUT /v2/{repo}/manifests/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: {len(pushed.content) + 1}\r\n\r\n"
    with registry.socket() as connection:
        connection.sendall(head.encode() + pushed.content)
    assert registry.tags(repo) == []


def test_manifests_on_their_way_are_bounded(repo: str, tmp_path: Path) -> None:
    """Many that are large and never end leave no room for another large one: 503, until they are given up.

    Small ones have room of their own.
    """
    pushed, large = image("a"), MANIFESTS_LIMIT_BYTES // 16
    another = image("b")
    another = Image(changed(another, annotations={"large": "x" * 2 * LARGE_BYTES}), MANIFEST, another.blobs)
    head = f"PUT /v2/{repo}/manifests/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: {large}\r\n\r\n".encode()
    with serve(tmp_path / "content") as running:
        registry = Client(running.host)
        for each in (pushed, another):
            registry.push(repo, each, "v0")

        def push(what: Image) -> Response:
            return registry.put_manifest(repo, "v1", what.content, MANIFEST)

        with ExitStack() as held:
            while (answer := push(another)).status == 201:
                connection = held.enter_context(registry.socket())
                with suppress(BrokenPipeError, ConnectionResetError):  # there is no room for it already
                    connection.sendall(head + bytes(large - 1))
            assert answer.error == (503, "UNAVAILABLE")
            assert answer["Retry-After"] == "1"
            assert push(pushed).status == 201
        wait_for(lambda: push(another).status == 201)


# --- deleting ---


def test_deleting_a_tag_leaves_its_manifest(registry: Client, repo: str) -> None:
    """The tag is gone at once, again is unknown; the manifest and its other tags stay."""
    pushed = image("a")
    registry.push(repo, pushed, "v1", "v2")
    assert registry.ask("DELETE", f"/v2/{repo}/manifests/v1").status == 202
    assert registry.ask("DELETE", f"/v2/{repo}/manifests/v1").error == (404, "MANIFEST_UNKNOWN")
    assert registry.tags(repo) == ["v2"]
    assert registry.ask("DELETE", f"/v2/{repo}/manifests/v2").status == 202
    assert registry.get(f"/v2/{repo}/manifests/{pushed.digest}").body == pushed.content


def test_deleting_a_manifest_takes_its_tags(registry: Client, repo: str) -> None:
    """By digest, the manifest and every tag of it are gone at once."""
    pushed, other = image("a"), image("b")
    registry.push(repo, pushed, "v1", "v2")
    registry.push(repo, other, "v3")
    assert registry.ask("DELETE", f"/v2/{repo}/manifests/{pushed.digest}").status == 202
    assert registry.tags(repo) == ["v3"]
    for reference in ("v1", "v2", pushed.digest):
        assert registry.get(f"/v2/{repo}/manifests/{reference}").error == (404, "MANIFEST_UNKNOWN")


def test_what_an_index_lists_stays(registry: Client, repo: str) -> None:
    """A manifest goes after the index that lists it, not before: 405 DENIED."""
    child = image("child")
    parent = index(child)
    registry.push(repo, parent, "v1")
    answer = registry.ask("DELETE", f"/v2/{repo}/manifests/{child.digest}")
    assert answer.error == (405, "DENIED")
    assert answer.detail["reference"] == child.digest
    assert registry.ask("DELETE", f"/v2/{repo}/manifests/{parent.digest}").status == 202
    assert registry.ask("DELETE", f"/v2/{repo}/manifests/{child.digest}").status == 202


def test_a_deleted_manifest_is_not_served_from_memory(registry: Client, repo: str) -> None:
    """A manifest that was just read is gone when it is deleted, in its repository alone; pushed again it is back."""
    pushed, other = image("a"), f"{repo}-other"
    for each in (repo, other):
        registry.push(each, pushed, "v1")
        assert registry.get(f"/v2/{each}/manifests/{pushed.digest}").status == 200
    assert registry.ask("DELETE", f"/v2/{repo}/manifests/{pushed.digest}").status == 202
    assert registry.get(f"/v2/{repo}/manifests/{pushed.digest}").error == (404, "MANIFEST_UNKNOWN")
    assert registry.get(f"/v2/{other}/manifests/v1").body == pushed.content
    registry.push(repo, pushed, "v1")
    assert registry.get(f"/v2/{repo}/manifests/v1").body == pushed.content


# --- what the configuration changes ---


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A registry without Docker's types, that takes sparse images and tells of collisions."""
    everything = ["read", "create", "update", "delete", "detectManifestCollision"]
    http = {
        "compat": [],
        "acceptSparse": True,
        "accessControl": {
            "repositories": {"**": {"anonymousPolicy": everything}},
            "immutableTags": [{"repositories": ["kept/**"], "tags": [r"v\d+"]}],
        },
    }
    with serve(tmp_path_factory.mktemp("strict"), {"http": http}) as running:
        yield Client(running.host)


def test_docker_types_can_be_refused(strict: Client, repo: str) -> None:
    """With `http.compat: []`, Docker's types are 415, whether the header or the document names them."""
    pushed = image("a", DOCKER_MANIFEST)
    assert strict.put_manifest(repo, "v1", pushed.content, DOCKER_MANIFEST).error == (415, "MANIFEST_INVALID")
    assert strict.ask("PUT", f"/v2/{repo}/manifests/v1", pushed.content).error == (415, "MANIFEST_INVALID")


def test_sparse_images_can_be_accepted(strict: Client, repo: str) -> None:
    """With `http.acceptSparse` an image may come before its blobs."""
    pushed = image("a")
    assert strict.put_manifest(repo, "v1", pushed.content, MANIFEST).status == 201
    assert strict.get(f"/v2/{repo}/manifests/v1").body == pushed.content


def test_collisions_are_told_to_whom_they_matter(strict: Client, repo: str) -> None:
    """With the action detectManifestCollision, deleting a digest that has several tags is 409."""
    pushed = image("a")
    strict.push(repo, pushed, "v1", "v2")
    answer = strict.ask("DELETE", f"/v2/{repo}/manifests/{pushed.digest}")
    assert answer.error == (409, "MANIFEST_INVALID")
    assert strict.ask("DELETE", f"/v2/{repo}/manifests/v2").status == 202
    assert strict.ask("DELETE", f"/v2/{repo}/manifests/{pushed.digest}").status == 202


def test_an_immutable_tag_stays(strict: Client, repo: str) -> None:
    """It can be pushed, and pushed again as it is; moving it, deleting it or its manifest is 403, on every path."""
    kept = f"kept/{repo}"
    one, two = image("one"), image("two")
    strict.push(kept, one, "v1", "free")
    strict.push(kept, one, "v1")
    strict.push(kept, two, "free")
    for refused in (
        strict.put_manifest(kept, "v1", two.content, MANIFEST),
        strict.put_manifest(kept, f"{two.digest}?tag=new&tag=v1", two.content, MANIFEST),
        strict.ask("DELETE", f"/v2/{kept}/manifests/v1"),
        strict.ask("DELETE", f"/v2/{kept}/manifests/{one.digest}"),
    ):
        assert refused.error == (403, "DENIED")
        assert "immutable" in refused.detail["description"]
    assert strict.tags(kept) == ["free", "v1"]
    assert strict.get(f"/v2/{kept}/manifests/v1").body == one.content
    assert strict.ask("DELETE", f"/v2/{kept}/manifests/free").status == 202
