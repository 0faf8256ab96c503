"""From the raw request line to a typed request: what is decided on is what was asked for."""

from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from http_client import Client
from zot.api.route import NoRouteError, parse
from zot.oci.digest import digest_of
from zot.oci.names import parse_reference, parse_repository
from zot.registry import request
from zot.registry.errors import RegistryError
from zot.registry.request import Action, OfRepository, Request, Right

DIGEST = digest_of(b"")
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "BREW"]
WORDS = ["v2", "a", "A", "blobs", "uploads", "tags", "list", "manifests", "referrers", "_catalog", DIGEST]
TRICKS = ["", ".", "..", "%2F", "%2e%2e", "\\", "\x00", "%00", "%zz", "%C3%28"]
SEGMENTS = st.sampled_from(WORDS + TRICKS) | st.text(max_size=5)
QUERIES = st.text(max_size=20) | st.sampled_from(
    ["n=1", "tag=a", f"digest={DIGEST}", "mount=x", "n=%FF", "&&&", "a=" * 50]
)
NAMES = st.from_regex(r"[a-z0-9]{1,5}([._-][a-z0-9]{1,3})?(/[a-z0-9]{1,5}){0,3}", fullmatch=True)


def parsed(method: str, target: str) -> Request:
    """Parse a request line."""
    path, _, query = target.partition("?")
    return parse(method, path, query, tags_limit=46)


@given(NAMES)
@example("tags")
@example("tags/list")
@example("manifests/manifests")
@example("a/tags/list")
@example("referrers/referrers")
@example("_catalog/x".replace("_", ""))
def test_every_route_says_what_it_needs(name: str) -> None:
    """Each path and method is one request of the repository, whose rights are those that access control grants."""
    repository = parse_repository(name)
    read, create, delete = (Action.READ,), (Action.CREATE,), (Action.DELETE,)
    tag = parse_reference("v1")
    for method, rest, kind, rights in (
        ("GET", "tags/list", request.ListTags, [Right(read, repository)]),
        ("GET", f"referrers/{DIGEST}", request.ListReferrers, [Right(read, repository)]),
        ("GET", "manifests/v1", request.PullManifest, [Right(read, repository, tag)]),
        ("HEAD", f"manifests/{DIGEST}", request.PullManifest, [Right(read, repository, DIGEST)]),
        ("PUT", f"manifests/{DIGEST}", request.PushManifest, [Right(create, repository, DIGEST)]),
        ("DELETE", "manifests/v1", request.DeleteManifest, [Right(delete, repository, tag)]),
        ("GET", f"blobs/{DIGEST}", request.PullBlob, [Right(read, repository, DIGEST)]),
        ("DELETE", f"blobs/{DIGEST}", request.DeleteBlob, [Right(delete, repository, DIGEST)]),
        ("POST", "blobs/uploads/", request.BeginUpload, [Right(create, repository)]),
        ("POST", "blobs/uploads", request.BeginUpload, [Right(create, repository)]),
        ("GET", "blobs/uploads/x", request.UploadStatus, [Right(read, repository)]),
        ("PATCH", "blobs/uploads/x", request.AppendUpload, [Right(create, repository)]),
        ("PUT", f"blobs/uploads/x?digest={DIGEST}", request.FinishUpload, [Right(create, repository)]),
        ("DELETE", "blobs/uploads/x", request.CancelUpload, [Right(delete, repository)]),
    ):
        found = parsed(method, f"/v2/{name}/{rest}")
        assert type(found) is kind
        assert isinstance(found, OfRepository)
        assert found.repository == name
        assert list(found.rights()) == rights


def test_each_tag_of_a_push_is_a_right_of_its_own() -> None:
    """A push moves tags, each of which may be created or moved; a digest beside them is content for them."""
    either = (Action.CREATE, Action.UPDATE)
    repository, one, two = parse_repository("a"), parse_reference("v1"), parse_reference("v2")
    assert list(parsed("PUT", "/v2/a/manifests/v1").rights()) == [Right(either, repository, one)]
    several = parsed("PUT", f"/v2/a/manifests/{DIGEST}?tag=v1&tag=v2")
    assert list(several.rights()) == [
        Right(either, repository, one),
        Right(either, repository, two),
        Right(either, repository, DIGEST),
    ]


def test_what_belongs_to_no_repository_needs_no_right() -> None:
    """Who was let in may ask whether this is a registry, and for lists that are filtered."""
    for target in ("/v2/", "/v2/_catalog", "/v2/_oci/ext/discover"):
        assert parsed("GET", target).rights() == ()


@settings(max_examples=500)
@given(st.sampled_from(METHODS), st.lists(SEGMENTS, max_size=7), QUERIES)
def test_any_path_is_a_request_or_refused(method: str, segments: list[str], query: str) -> None:
    """Whatever is asked for, it is a request of a well-formed repository or one of the specification's refusals."""
    try:
        found = parse(method, "/v2/" + "/".join(segments), query, tags_limit=46)
    except (NoRouteError, RegistryError):
        return
    if isinstance(found, OfRepository):
        assert parse_repository(found.repository) == found.repository
        assert "/".join(segments).startswith(found.repository + "/")


# --- over the wire ---


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v2/", "GET, HEAD"),
        ("PUT", "/v2/_catalog", "GET, HEAD"),
        ("DELETE", "/v2/_oci/ext/discover", "GET, HEAD"),
        ("POST", "/v2/{repo}/tags/list", "GET, HEAD"),
        ("DELETE", "/v2/{repo}/referrers/" + DIGEST, "GET, HEAD"),
        ("POST", "/v2/{repo}/manifests/v1", "GET, HEAD, PUT, DELETE"),
        ("PATCH", "/v2/{repo}/manifests/v1", "GET, HEAD, PUT, DELETE"),
        ("PUT", "/v2/{repo}/blobs/" + DIGEST, "GET, HEAD, DELETE"),
        ("GET", "/v2/{repo}/blobs/uploads/", "POST"),
        ("PUT", "/v2/{repo}/blobs/uploads", "POST"),
        ("POST", "/v2/{repo}/blobs/uploads/x", "GET, HEAD, PATCH, PUT, DELETE"),
        ("PROPFIND", "/v2/{repo}/manifests/v1", "GET, HEAD, PUT, DELETE"),
        ("POST", "/livez", "GET, HEAD"),
    ],
)
def test_another_method_is_405(registry: Client, repo: str, method: str, path: str, allowed: str) -> None:
    """A path that is there with a method that is not: 405 UNSUPPORTED, with the methods that are."""
    answer = registry.ask(method, path.format(repo=repo))
    assert answer.error == (405, "UNSUPPORTED")
    assert answer["Allow"] == allowed
    assert method in answer.detail["description"]


@pytest.mark.parametrize("path", ["/", "/v2", "/v1/", "/v2/a", "/v2/a/b/c", "/v2/_unknown", "/favicon.ico", "/V2/"])
def test_other_paths_are_404(registry: Client, path: str) -> None:
    """What is no path of the API is not found."""
    assert registry.get(path).status == 404


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("//v2/", "/v2/"),
        ("///v2//", "/v2/"),
        ("/v2//", "/v2/"),
        ("//v2/_catalog?n=1&last=a//b", "/v2/_catalog?n=1&last=a//b"),
        ("/v2//app/tags/list", "/v2/app/tags/list"),
        ("//v2/app/manifests/sha256%3Aabc", "/v2/app/manifests/sha256%3Aabc"),
        ("//elsewhere.example/v2/", "/elsewhere.example/v2/"),
        ("//\\elsewhere.example/", "/%5Celsewhere.example/"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_slashes_too_many_are_redirected(registry: Client, method: str, path: str, location: str) -> None:
    """Clients that put `/v2/` behind a base address with a slash are led to the path, as by zot, on this host."""
    answer = registry.ask(method, path)
    assert (answer.status, answer["Location"]) == (301, location)


@pytest.mark.parametrize(
    "name",
    [
        "A",
        "a//b",
        "a/../b",
        "../a",
        "a/./b",
        "a%2Fb",
        "a%2f..%2fb",
        "%2e%2e",
        "a%20b",
        "a\\b",
        "-a",
        "a/",
        "%61",
        "a" * 256,
        quote("ä"),
        "a%00",
    ],
)
@pytest.mark.parametrize(
    "rest", ["tags/list", "manifests/v1", f"blobs/{DIGEST}", "blobs/uploads/x", f"referrers/{DIGEST}"]
)
def test_a_malformed_name_is_400(registry: Client, name: str, rest: str) -> None:
    """Names outside of the grammar, dot segments and encoded slashes are refused, never normalised into others."""
    assert registry.get(f"/v2/{name}/{rest}").error == (400, "NAME_INVALID")


@pytest.mark.parametrize("name", ["blobs", "a/blobs/b", "a/index.json", "meta.db", "/".join(["a" * 60] * 5)])
def test_a_name_that_no_push_creates_is_unknown_until_it_is_there(registry: Client, name: str) -> None:
    """A repository that another program may have stored is asked for like others; only creating it is refused."""
    assert registry.get(f"/v2/{name}/tags/list").error == (404, "NAME_UNKNOWN")
    assert registry.get(f"/v2/{name}/manifests/v1").error[0] == 404
    assert registry.ask("POST", f"/v2/{name}/blobs/uploads/").error == (400, "NAME_INVALID")


def test_the_api_says_what_it_is(registry: Client) -> None:
    """GET /v2/ tells clients that this is a registry of the second version."""
    answer = registry.get("/v2/")
    assert (answer.status, answer.body, answer["Content-Type"]) == (200, b"", "application/json")
    assert answer["Docker-Distribution-API-Version"] == "registry/2.0"
    assert registry.head("/v2/").status == 200
    [extension] = registry.get("/v2/_oci/ext/discover").json["extensions"]
    assert extension["name"] == "_zot"
    assert extension["endpoints"] == [f"/v2/_zot/ext/{name}" for name in ("history", "asof", "restore", "diff")]


@pytest.mark.parametrize("path", ["/livez", "/startupz", "/readyz"])
def test_the_probes_say_ok(registry: Client, path: str) -> None:
    """A registry that serves is alive, started and ready."""
    answer = registry.get(path)
    assert (answer.status, answer.body) == (200, b"ok")
    assert registry.head(path).status == 200
    assert "Docker-Distribution-API-Version" not in answer.headers
