"""The routes of search, by HTTP, on a registry with users, rules and a condition."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import bcrypt
import pytest

from http_client import Client, Response
from layout.images import image
from zot.extensions.search.routes.graphql import BODY_LIMIT_BYTES
from zot.testing import RunningRegistry, serve

SEARCH = "/v2/_zot/ext/search"
MANAGEMENT = "/v2/_zot/ext/mgmt"
PREFERENCES = "/v2/_zot/ext/userprefs"
JSON = {"Content-Type": "application/json"}
NAMES = "{RepoListWithNewestImage(requestedPage:{sortBy:ALPHABETIC_ASC}){Page{TotalCount} Results{Name}}}"

REPOSITORIES = {
    "team/**": {
        "policies": [
            {"users": ["alice"], "actions": ["read"]},
            {
                "users": ["carol"],
                "actions": ["read"],
                "conditions": [{"expression": "req.repository.endsWith('api') && req.method == 'GET'"}],
            },
        ],
        "anonymousPolicy": ["read"],
    },
    "library/**": {"anonymousPolicy": ["read"]},
    "**": {"defaultPolicy": []},
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry of four repositories; each user's password is the name."""
    place = tmp_path_factory.mktemp("search")
    users = ("admin", "alice", "carol")
    lines = [f"{user}:{bcrypt.hashpw(user.encode(), bcrypt.gensalt(4)).decode()}\n" for user in users]
    place.joinpath("htpasswd").write_text("".join(lines))
    config = {
        "http": {
            "auth": {"htpasswd": {"path": str(place / "htpasswd")}, "apikey": True},
            "accessControl": {
                "repositories": REPOSITORIES,
                "adminPolicy": {"users": ["admin"], "actions": ["read", "create", "update", "delete"]},
            },
        },
        "extensions": {"search": {}},
    }
    with serve(place / "content", config) as registry:
        admin = Client(registry.host, user="admin:admin")
        for name in ("library/debian", "payments/gateway", "team/api", "team/web"):
            admin.push(name, image(name), "1.0", "latest")
        yield registry


@pytest.fixture
def admin(running: RunningRegistry) -> Client:
    """The administrator."""
    return user(running, "admin")


@pytest.fixture
def anonymous(running: RunningRegistry) -> Client:
    """A client without credentials."""
    return user(running, "")


def user(running: RunningRegistry, name: str) -> Client:
    """Return a client that sends the password of a user."""
    return Client(running.host, user=f"{name}:{name}" if name else "")


def ask(client: Client, query: str, **fields: str) -> Response:
    """Send a query by GET."""
    return client.get(f"{SEARCH}?{urlencode({'query': query, **fields})}")


def data(client: Client, query: str) -> Any:
    """Return the data of a response without errors."""
    answer = ask(client, query)
    assert (answer.status, answer["Content-Type"]) == (200, "application/json")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert set(answer.json) == {"data"}
    return answer.json["data"]


def names(client: Client, method: str = "GET") -> list[str]:
    """Return the repositories that a client sees; their count is that of the list."""
    if method == "GET":
        listed = data(client, NAMES)["RepoListWithNewestImage"]
    else:
        listed = post(client, {"query": NAMES}).json["data"]["RepoListWithNewestImage"]
    found = [row["Name"] for row in listed["Results"]]
    assert listed["Page"]["TotalCount"] == len(found)
    return found


def post(client: Client, body: object, headers: dict[str, str] = JSON) -> Response:
    """Send a body."""
    return client.ask("POST", SEARCH, body if isinstance(body, bytes) else json.dumps(body).encode(), headers)


def test_each_client_sees_what_it_may_read(running: RunningRegistry) -> None:
    """By rules, by the anonymous policy, and by a condition, which decides on each request."""
    assert names(user(running, "admin")) == ["library/debian", "payments/gateway", "team/api", "team/web"]
    assert names(user(running, "alice")) == ["team/api", "team/web"]
    assert names(user(running, "")) == ["library/debian", "team/api", "team/web"]
    assert names(user(running, "carol")) == ["team/api"]
    assert names(user(running, "carol"), "POST") == []


def test_what_is_pushed_is_found(admin: Client) -> None:
    """The next request has what was acknowledged before it, and not what was deleted."""
    for number in range(5):
        admin.push("new/app", image(f"new {number}"), f"v{number}")
        tags = data(admin, '{ImageList(repo:"new/app"){Results{Tag}}}')["ImageList"]["Results"]
        assert [each["Tag"] for each in tags] == [f"v{each}" for each in range(number + 1)]
    for number in range(5):
        assert admin.ask("DELETE", f"/v2/new/app/manifests/v{number}").status == 202
    assert data(admin, '{ImageList(repo:"new/app"){Page{TotalCount}}}')["ImageList"]["Page"]["TotalCount"] == 0


def test_a_query_is_sent_by_get_or_post(admin: Client) -> None:
    """With variables and the name of an operation; a GET also as web interfaces write it, hardly encoded."""
    query = "query A{__typename} query B($r:String!){ImageList(repo:$r){Page{TotalCount}}}"
    expected = {"data": {"ImageList": {"Page": {"TotalCount": 2}}}}
    fields = {"variables": json.dumps({"r": "team/api"}), "operationName": "B"}
    assert ask(admin, query, **fields).json == expected
    body = {"query": query, "variables": {"r": "team/api"}, "operationName": "B", "extensions": {}}
    assert post(admin, body).json == expected
    assert post(admin, body, {"Content-Type": "application/json; charset=utf-8"}).json == expected
    plain = "{ImageList(repo:%22team/api%22,%20requestedPage:%20{limit:0})%20{Page%20{TotalCount}}}"
    assert admin.get(f"{SEARCH}?query={plain}").json == expected


@pytest.mark.parametrize(
    ("headers", "body", "status", "told"),
    [
        ({}, b"", 400, "transport not supported"),
        ({"Content-Type": "application/graphql"}, b"{__typename}", 400, "transport not supported"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"query={__typename}", 400, "transport not supported"),
        (JSON, b'[{"query":"{__typename}"}]', 400, "json request body could not be decoded"),
        (JSON, b"", 400, "json request body could not be decoded"),
        (JSON, b"{", 400, "json request body could not be decoded"),
        (JSON, b"\xff", 400, "json request body could not be decoded"),
        (JSON, b"[" * 50_000, 400, "json request body could not be decoded"),
        (JSON, b'{"query":5}', 400, "json request body could not be decoded"),
        (JSON, b'{"query":"{a","variables":5}', 400, "json request body could not be decoded"),
        (JSON, b"{}", 422, "no operation provided"),
        (JSON, b'{"query":null}', 422, "no operation provided"),
        (JSON, b'{"query":"{Nope}"}', 422, "Cannot query field 'Nope'"),
        (JSON, json.dumps({"query": "{__typename}" + " " * 20_000}).encode(), 422, "more than 16384 bytes"),
    ],
)
def test_a_body_that_is_no_query_is_refused(
    admin: Client, headers: dict[str, str], body: bytes, status: int, told: str
) -> None:
    """With zot's statuses, and the errors of GraphQL."""
    answer = post(admin, body, headers)
    assert answer.status == status
    assert told in answer.json["errors"][0]["message"]
    assert answer.json["data"] is None
    kind = "text/plain; charset=utf-8" if "transport" in told else "application/json"
    assert answer["Content-Type"] == kind


def test_a_body_beyond_the_limit_is_refused(admin: Client) -> None:
    """Before it is read."""
    assert post(admin, b'"' + b"a" * BODY_LIMIT_BYTES).error == (413, "SIZE_INVALID")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 422),
        ("?query=", 422),
        ("?query={__typename}&variables=[1]", 400),
        ("?query={__typename}&variables={", 400),
        ("?query={__typename}&variables=null", 200),
        ("?" + "&".join(f"f{number}=" for number in range(20)), 400),
        ("?query=%FF%00{", 422),
    ],
)
def test_a_get_that_is_no_query_is_refused(admin: Client, query: str, status: int) -> None:
    """A missing text is no operation; broken variables are no request."""
    answer = admin.get(f"{SEARCH}{query}")
    assert answer.status == status
    assert ("errors" in answer.json) == (status != 200)


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_refused(admin: Client, method: str) -> None:
    """As zot refuses them."""
    answer = admin.ask(method, SEARCH)
    assert answer.status == 405
    assert {"GET", "POST"} <= set((answer["Allow"] or "").split(", "))


def test_other_origins_are_told_the_methods(anonymous: Client) -> None:
    """A preflight needs no credentials."""
    for path, methods in ((SEARCH, "GET,POST,OPTIONS"), (MANAGEMENT, "GET,OPTIONS"), (PREFERENCES, "PUT,OPTIONS")):
        answer = anonymous.ask("OPTIONS", path, headers={"Origin": "http://x"})
        assert (answer.status, answer["Access-Control-Allow-Methods"]) == (204, methods)


def test_wrong_credentials_are_refused(running: RunningRegistry) -> None:
    """Also where anonymous clients may search."""
    wrong = Client(running.host, user="alice:wrong")
    assert ask(wrong, NAMES).error == (401, "UNAUTHORIZED")


def test_a_scoped_key_searches_what_it_may_read(running: RunningRegistry, admin: Client) -> None:
    """Not all that its owner may read."""
    body = {"label": "ci", "scopes": ["repository:library/*:pull"]}
    key = admin.ask("POST", "/zot/auth/apikey", json.dumps(body).encode(), JSON).json["apiKey"]
    assert names(Client(running.host, user=f"admin:{key}")) == ["library/debian"]


def test_discover_lists_the_endpoints(anonymous: Client) -> None:
    """zli looks for search there; zot's come first, in its order."""
    [extension] = anonymous.get("/v2/_oci/ext/discover").json["extensions"]
    assert extension["name"] == "_zot"
    assert extension["endpoints"][:3] == [SEARCH, PREFERENCES, MANAGEMENT]
    assert "/v2/_zot/ext/history" in extension["endpoints"]


def test_the_login_page_learns_the_ways_to_log_in(running: RunningRegistry) -> None:
    """Without credentials at exactly this path, and with them wherever it is asked."""
    for name in ("", "alice"):
        for path in (MANAGEMENT, f"{MANAGEMENT}/", f"{MANAGEMENT}?a=1"):
            answer = user(running, name).get(path)
            assert answer.status == 200
            assert list(answer.json) == ["distSpecVersion", "commit", "releaseTag", "binaryType", "http"]
            assert answer.json["http"] == {"auth": {"htpasswd": {}, "apikey": True}}
    assert Client(running.host, user="alice:wrong").get(f"{MANAGEMENT}?a=1").status == 401
    assert Client(running.host).ask("POST", MANAGEMENT).status == 405


@pytest.mark.parametrize(
    ("name", "query", "status"),
    [
        ("admin", "", 400),
        ("admin", "?repo=team/api", 400),
        ("admin", "?action=nope&repo=team/api", 400),
        ("admin", "?action=toggleStar", 400),
        ("admin", "?action=toggleStar&repo=team/api&repo=team/web", 400),
        ("admin", "?action=toggleStar&repo=", 404),
        ("admin", "?action=toggleStar&repo=nope", 404),
        ("admin", "?action=toggleStar&repo=" + quote("../x"), 404),
        ("", "?action=toggleStar&repo=team/api", 403),
        ("alice", "?action=toggleStar&repo=payments/gateway", 403),
        ("alice", "?action=toggleStar&repo=payments/nope", 403),
    ],
)
def test_a_preference_that_cannot_be_set_is_refused(
    running: RunningRegistry, name: str, query: str, status: int
) -> None:
    """A caller that may not read cannot tell whether there is such a repository."""
    answer = user(running, name).ask("PUT", f"{PREFERENCES}{query}")
    assert answer.error[0] == status


def test_stars_and_bookmarks_are_kept(running: RunningRegistry, admin: Client) -> None:
    """Each request sets what is not set, and removes what is."""
    alice = user(running, "alice")
    star = f"{PREFERENCES}?action=toggleStar&repo=team/web"
    bookmark = f"{PREFERENCES}?action=toggleBookmark&repo=team/api"
    for client, path in ((alice, star), (admin, star), (alice, bookmark)):
        answer = client.ask("PUT", path)
        assert (answer.status, answer.body) == (200, b"")
    query = "{StarredRepos{Results{Name StarCount}} BookmarkedRepos{Results{Name}}}"
    assert data(alice, query) == {
        "StarredRepos": {"Results": [{"Name": "team/web", "StarCount": 2}]},
        "BookmarkedRepos": {"Results": [{"Name": "team/api"}]},
    }
    by_stars = '{GlobalSearch(query:"" requestedPage:{sortBy:STARS limit:1}){Repos{Name StarCount IsStarred}}}'
    assert data(admin, by_stars)["GlobalSearch"]["Repos"] == [{"Name": "team/web", "StarCount": 2, "IsStarred": True}]
    assert alice.ask("PUT", star).status == 200
    assert data(alice, query)["StarredRepos"]["Results"] == []


def test_a_registry_in_memory_has_no_search() -> None:
    """It is refused, instead of an index that stays empty."""
    with (
        pytest.raises(ValueError, match="a registry in memory has no search"),
        serve(config={"extensions": {"search": {}}}, memory=True),
    ):
        pass


def test_search_is_there_only_where_it_is_enabled(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Without it none of the routes exists."""
    with serve(tmp_path_factory.mktemp("bare") / "content") as registry:
        client = Client(registry.host)
        for path in (SEARCH, MANAGEMENT, PREFERENCES):
            assert client.get(path).status == 404
        [extension] = client.get("/v2/_oci/ext/discover").json["extensions"]
        assert {SEARCH, MANAGEMENT, PREFERENCES}.isdisjoint(extension["endpoints"])


def test_without_anonymous_clients_only_the_login_page_is_told(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The ways to log in, at exactly that path; all else needs a login."""
    place = tmp_path_factory.mktemp("closed")
    place.joinpath("htpasswd").write_text(f"ada:{bcrypt.hashpw(b'ada', bcrypt.gensalt(4)).decode()}\n")
    config = {"http": {"auth": {"htpasswd": {"path": str(place / "htpasswd")}}}, "extensions": {"search": {}}}
    with serve(place / "content", config) as registry:
        client, ada = Client(registry.host), Client(registry.host, user="ada:ada")
        assert client.get(MANAGEMENT).json["http"] == {"auth": {"htpasswd": {}}}
        closed = [f"{MANAGEMENT}?a=1", f"{MANAGEMENT}/", f"{SEARCH}?query={{__typename}}", "/v2/_oci/ext/discover"]
        for path in closed:
            assert client.get(path).error == (401, "UNAUTHORIZED"), path
            assert ada.get(path).status == 200, path
        preference = f"{PREFERENCES}?action=toggleStar&repo=a"
        assert client.ask("PUT", preference).status == 401
        assert ada.ask("PUT", preference).status == 404


def usage(client: Client, **fields: object) -> Response:
    """Ask what repositories or tags use."""
    return client.get(f"/v2/_zot/ext/usage?{urlencode(fields)}")


def test_usage_is_of_the_repositories_that_the_client_may_read(admin: Client, running: RunningRegistry) -> None:
    """Each with its bytes, in pages; others are neither listed nor shown."""
    rows = usage(admin).json["repositories"]
    names = [each["repository"] for each in rows]
    assert names == sorted(names)
    assert {"library/debian", "payments/gateway", "team/api", "team/web"} <= set(names)
    size = len(image("team/api").content) + sum(len(each) for each in image("team/api").blobs)
    assert rows[names.index("team/api")] == {
        "repository": "team/api",
        "bytes": size,
        "unique_bytes": size,
        "shared_bytes": 0,
        "untagged_bytes": 0,
        "untagged": 0,
    }
    first = usage(admin, n=3)
    assert len(first.json["repositories"]) == 3
    link = first["Link"]
    assert link is not None
    assert admin.get(link[1:].partition(">")[0]).json["repositories"] == rows[3:]
    alice = user(running, "alice")
    assert [each["repository"] for each in usage(alice).json["repositories"]] == ["team/api", "team/web"]
    assert usage(alice, repo="payments/gateway").error == (403, "DENIED")
    assert usage(alice, repo="payments/none").error == (403, "DENIED")
    assert usage(alice, repo="team/none").error == (404, "NAME_UNKNOWN")
    assert usage(user(running, ""), repo="payments/gateway").error == (401, "UNAUTHORIZED")


def test_usage_of_a_repository_is_by_tags(admin: Client) -> None:
    """With what deleting one alone frees: of two tags of one image, nothing."""
    found = usage(admin, repo="team/api").json
    size = found["bytes"]
    rows = [{"tag": tag, "bytes": size, "unique_bytes": 0} for tag in ("1.0", "latest")]
    assert (found["repository"], found["complete"], found["tags"]) == ("team/api", True, rows)
    page = usage(admin, repo="team/api", n=1)
    assert page.json["tags"] == rows[:1]
    assert page["Link"] == '</v2/_zot/ext/usage?repo=team%2Fapi&n=1&last=1.0>; rel="next"'
