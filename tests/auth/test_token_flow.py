"""Tokens of this registry: Docker pulls without a login and pushes with one; tokens end with what they stand for."""

import asyncio
import base64
import time
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from auth.docker import ENGINE, Engine, NoCredentials
from auth.harness import EMPTY_INDEX, INDEX_TYPE, PEOPLE, UI, Site, basic, serving
from servers.redis import RedisServer
from zot.auth import cached_file, registry_tokens
from zot.auth.authenticators.apikey import new_key
from zot.auth.registry_tokens import LENGTH_LIMIT, LIFETIME_S, PREFIX, SCOPES_LIMIT

RULES: dict[str, Any] = {
    "repositories": {
        "**": {"anonymousPolicy": ["read"], "defaultPolicy": ["read", "create"]},
        "team/**": {"policies": [{"users": ["alice"], "actions": ["read", "create", "update", "delete"]}]},
        "inbox/**": {"anonymousPolicy": ["create"], "policies": [{"users": ["alice"], "actions": ["update"]}]},
    },
    "adminPolicy": {"users": ["root"], "actions": ["read", "create", "update", "delete"]},
}
TYPED = {"Content-Type": INDEX_TYPE}


def hashed(password: str) -> str:
    """Hash at the lowest cost."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a file with all PEOPLE; changes of it count at once."""
    monkeypatch.setattr(cached_file, "CHECK_INTERVAL_S", 0.0)
    path = tmp_path / "htpasswd"
    path.write_text("".join(f"{name}:{hashed(password)}\n" for name, password in PEOPLE.items()))
    return path


@pytest.fixture
def http(users: Path) -> dict[str, Any]:
    """Configure users and API keys, and anonymous reading beside them."""
    return {"auth": {"htpasswd": {"path": str(users)}, "apikey": True}, "accessControl": RULES}


@pytest.fixture
async def site(tmp_path: Path, http: dict[str, Any]) -> AsyncIterator[Site]:
    """Serve it, with one index in `public/app`."""
    async with serving(tmp_path / "data", http) as site:
        assert await put(site, "public/app", "v1", basic("root")) == 201
        yield site


async def put(site: Site, repository: str, tag: str, headers: dict[str, str]) -> int:
    """Push an empty index."""
    path = f"/v2/{repository}/manifests/{tag}"
    return await site.status(path, "PUT", data=EMPTY_INDEX, headers={**TYPED, **headers})


async def issued(site: Site, scope: str = "", headers: dict[str, str] | None = None, **query: str) -> dict[str, Any]:
    """Get a token."""
    params = {"service": "zot", "scope": scope, **query}
    async with site.client() as client, client.get("/zot/auth/token", params=params, headers=headers) as response:
        assert response.status == 200, await response.text()
        assert response.headers["Cache-Control"] == "no-store"
        found: dict[str, Any] = await response.json()
    assert found["token"] == found["access_token"]
    return found


async def bearer(site: Site, scope: str = "", headers: dict[str, str] | None = None) -> dict[str, str]:
    """Give the header of a token."""
    return {"Authorization": f"Bearer {(await issued(site, scope, headers))['token']}"}


async def challenges(site: Site, path: str, method: str = "GET", **options: Any) -> tuple[int, list[str]]:
    """Give the status, and all challenges."""
    async with site.client() as client, client.request(method, path, **options) as response:
        return response.status, response.headers.getall("WWW-Authenticate", [])


# --- Docker ---


async def test_docker_pulls_without_a_login_where_anonymous_clients_may(site: Site) -> None:
    """It is sent to the token endpoint, gets a token without a password, and reads; it does not push."""
    async with site.client() as client:
        engine = Engine(client)
        await engine.ping()
        assert await engine.ask("GET", "/v2/public/app/manifests/v1", "repository:public/app:pull") == 200
        assert engine.tokens == 1
        path, scope = "/v2/public/app/manifests/v2", "repository:public/app:pull,push"
        assert await engine.ask("PUT", path, scope, data=EMPTY_INDEX, headers=TYPED) == 401
        assert await engine.ask("GET", "/v2/team/app/manifests/v1", "repository:team/app:pull") == 401


async def test_docker_logs_in_pulls_and_pushes(site: Site) -> None:
    """With the right password, or an API key, and with no other."""
    async with site.client(headers=basic("alice")) as client, client.post("/zot/auth/apikey") as response:
        key = (await response.json())["apiKey"]
    async with site.client() as client:
        assert not await Engine(client, "alice", "wrong").login()
        assert not await Engine(client, "nobody", "wrong").login()
        for password in (PEOPLE["alice"], key):
            engine = Engine(client, "alice", password)
            assert await engine.login()
            path, scope = f"/v2/team/app/manifests/{password[:3]}", "repository:team/app:pull,push"
            assert await engine.ask("PUT", path, scope, data=EMPTY_INDEX, headers=TYPED) == 201
            assert await engine.ask("GET", path, scope) == 200
            assert await engine.ask("GET", "/v2/public/app/manifests/v1", "repository:public/app:pull") == 200


async def test_docker_is_offered_basic_where_every_client_has_to_log_in(tmp_path: Path, users: Path) -> None:
    """Without anonymous reading nothing changes; an engine without a password sends no request."""
    async with (
        serving(tmp_path / "data", {"auth": {"htpasswd": {"path": str(users)}}}) as site,
        site.client() as client,
    ):
        engine = Engine(client)
        await engine.ping()
        with pytest.raises(NoCredentials):
            await engine.ask("GET", "/v2/public/app/manifests/v1", "repository:public/app:pull")
        assert await Engine(client, "alice", PEOPLE["alice"]).login()


# --- challenges ---


async def test_the_ping_offers_a_bearer_token_alone(site: Site) -> None:
    """Docker's client is asked with 401; others are answered, with the same offer."""
    expected = [f'Bearer realm="{site.url}/zot/auth/token",service="zot",scope=""']
    assert await challenges(site, "/v2/", headers=ENGINE) == (401, expected)
    assert await challenges(site, "/v2/") == (200, expected)
    assert await challenges(site, "/v2/", headers=UI) == (200, [])


async def test_a_refusal_offers_a_token_for_what_was_refused_and_basic(site: Site) -> None:
    """The token first: some clients read one challenge only."""
    realm = f'Bearer realm="{site.url}/zot/auth/token",service="zot"'
    digest = "sha256:" + "0" * 64
    for method, path, scope in (
        ("GET", "/v2/team/app/tags/list", "repository:team/app:pull"),
        ("PUT", "/v2/team/app/manifests/v1", "repository:team/app:push"),
        ("POST", "/v2/team/app/blobs/uploads/", "repository:team/app:push"),
        ("DELETE", f"/v2/team/app/manifests/{digest}", "repository:team/app:delete"),
    ):
        assert await challenges(site, path, method) == (
            401,
            [f'{realm},scope="{scope}"', 'Basic realm="Authorization Required"'],
        )


async def test_the_realm_is_the_address_that_the_client_used(tmp_path: Path, http: dict[str, Any]) -> None:
    """Or `externalUrl`; a header that says HTTPS counts from any sender, since passwords are sent there."""

    async def realm(site: Site, **headers: str) -> str:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        _, (first, *_) = await challenges(site, "/v2/", headers=names)
        return first.partition('realm="')[2].partition('"')[0]

    async with serving(tmp_path / "a", http) as site:
        assert await realm(site, Host="registry.example") == "http://registry.example/zot/auth/token"
        told = await realm(site, Host="registry.example", X_Forwarded_Proto="https")
        assert told == "https://registry.example/zot/auth/token"
        assert await realm(site, Host='a"b') == "Authorization Required"
    async with serving(tmp_path / "b", {**http, "externalUrl": "https://zot.example/ui"}) as site:
        assert await realm(site, Host="registry.example") == "https://zot.example/zot/auth/token"


async def test_where_no_client_can_log_in_a_refusal_is_final(tmp_path: Path) -> None:
    """403 without a challenge: there is nothing that a client could do."""
    rules = {"repositories": {"public/**": {"anonymousPolicy": ["read"]}}}
    async with serving(tmp_path, {"accessControl": rules}) as site:
        assert await challenges(site, "/v2/") == (200, [])
        assert await challenges(site, "/v2/team/app/tags/list") == (403, [])
        assert await challenges(site, "/v2/public/app/manifests/v1", "PUT", data=b"{}") == (403, [])


async def test_a_right_that_shows_to_be_missing_in_the_change_is_a_challenge(site: Site) -> None:
    """An anonymous client that may create and not move a tag is asked to log in; one that is logged in is refused."""
    assert await put(site, "inbox/app", "v1", {}) == 201
    other = EMPTY_INDEX.replace(b"[]", b"[ ]")
    path = "/v2/inbox/app/manifests/v1"
    status, offered = await challenges(site, path, "PUT", data=other, headers=TYPED)
    assert status == 401
    assert [each.partition(" ")[0] for each in offered] == ["Bearer", "Basic"]
    assert 'scope="repository:inbox/app:push"' in offered[0]
    assert await site.status(path, "PUT", data=other, headers={**TYPED, **basic("alice")}) == 201
    # alice may move tags and not create them.
    assert await put(site, "inbox/app", "v2", basic("alice")) == 403
    token = await bearer(site, "repository:inbox/app:pull,push", basic("alice"))
    assert await put(site, "inbox/app", "v2", token) == 403
    token = await bearer(site, "repository:inbox/app:pull,push")
    assert await site.status(path, "PUT", data=EMPTY_INDEX, headers={**TYPED, **token}) == 401


async def test_an_immutable_tag_is_a_challenge_if_a_login_may_change_it(tmp_path: Path, http: dict[str, Any]) -> None:
    """Only where some groups are excepted."""
    for excepted, status in (([], 403), (["release"], 401)):
        immutable = [{"repositories": ["inbox/**"], "exceptGroups": excepted}]
        rules = {
            "repositories": {
                "inbox/**": {"anonymousPolicy": ["create", "update", "delete"], "defaultPolicy": ["read"]}
            },
            "groups": {"release": {"users": ["alice"]}},
            "immutableTags": immutable,
        }
        async with serving(tmp_path / str(status), {**http, "accessControl": rules}) as site:
            assert await put(site, "inbox/app", "v1", {}) == 201
            other = EMPTY_INDEX.replace(b"[]", b"[ ]")
            path = "/v2/inbox/app/manifests/v1"
            assert await site.status(path, "PUT", data=other, headers=TYPED) == status
            assert await site.status(path, "DELETE") == status


async def test_a_push_without_any_right_is_refused_before_its_body_is_read(site: Site) -> None:
    """By a client that waits for `100 Continue`, and by one that only announces a body."""
    host, port = site.url.removeprefix("http://").split(":")
    lines = ["PUT /v2/team/app/manifests/v1 HTTP/1.1", f"Host: {host}", f"Content-Type: {INDEX_TYPE}"]
    for authorization, status in (("", b"401"), (basic("bob")["Authorization"], b"403")):
        for more in ("Expect: 100-continue", "X-Nothing: more"):
            reader, writer = await asyncio.open_connection(host, int(port))
            sent = [
                *lines,
                "Content-Length: 1000000",
                more,
                *([f"Authorization: {authorization}"] * bool(authorization)),
            ]
            writer.write("\r\n".join([*sent, "", ""]).encode())
            assert (await reader.readline()).split()[1] == status
            writer.close()


@pytest.mark.parametrize("agent", ["containerd/1.6.20+dfsg", "buildkit/v0.17", "docker/28.2 (containerd-client/2.1)"])
async def test_containerd_is_asked_for_a_token_when_it_looks_for_the_tag_that_it_pushes(site: Site, agent: str) -> None:
    """It cannot send a manifest twice. With any token, and for what is there, it is answered as others are."""
    path, headers = "/v2/public/app/manifests/new", {"User-Agent": agent}
    status, offered = await challenges(site, path, "HEAD", headers=headers)
    assert status == 401
    assert offered[0].endswith('scope="repository:public/app:pull"')
    assert await site.status("/v2/absent/manifests/new", "HEAD", headers=headers) == 401
    token = await bearer(site, "repository:public/app:pull,push")
    assert await site.status(path, "HEAD", headers={**headers, **token}) == 404
    assert await site.status("/v2/public/app/manifests/v1", "HEAD", headers=headers) == 200
    assert await site.status(path, headers=headers) == 404
    assert await site.status(path, "HEAD") == 404


async def test_a_small_body_that_is_refused_leaves_the_connection_open(site: Site) -> None:
    """containerd waits indefinitely if it closes before all is sent; a client that waits for `100` sends nothing."""
    host, port = site.url.removeprefix("http://").split(":")
    lines = [f"PUT /v2/team/app/manifests/v1 HTTP/1.1\r\nHost: {host}\r\nContent-Type: {INDEX_TYPE}\r\n"]
    for length, more, stays in ((100, "", True), (1_000_000, "", False), (100, "Expect: 100-continue\r\n", False)):
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"{lines[0]}Content-Length: {length}\r\n{more}\r\n".encode()
        writer.write(head)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert (b"connection: close" in answer.lower()) is not stays
        if stays:
            body_bytes = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(body_bytes)
            writer.write(b"x" * length + head + b"x" * length)
            assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
        writer.close()


# --- what a token is good for ---


async def test_a_token_is_limited_to_its_scopes(site: Site) -> None:
    """Another repository or action is 401 with what the token lacks; what its user may not do is 403."""
    token = await bearer(site, "repository:team/app:pull", basic("alice"))
    assert await site.status("/v2/team/app/manifests/v1", headers=token) == 404
    realm = f'Bearer realm="{site.url}/zot/auth/token",service="zot"'
    expected = f'{realm},scope="repository:team/app:push",error="insufficient_scope"'
    status, offered = await challenges(site, "/v2/team/app/blobs/uploads/", "POST", headers=token)
    assert (status, offered[0]) == (401, expected)
    assert await site.status("/v2/public/app/manifests/v1", headers=token) == 401
    assert await put(site, "public/app", "v1", await bearer(site, "repository:public/app:*", basic("bob"))) in {
        201,
        403,
    }
    token = await bearer(site, "repository:team/app:pull,push", basic("bob"))
    assert await put(site, "team/app", "v1", token) == 403
    assert await site.status("/v2/", headers=await bearer(site, "", basic("bob"))) == 200
    assert await site.status("/v2/public/app/manifests/v1", headers=await bearer(site, "", basic("bob"))) == 401


async def test_a_token_has_several_scopes(site: Site) -> None:
    """In one parameter or in several; what is not understood asks for nothing."""
    scope = "repository:a/b:pull repository(x):team/app:pull,push,fly nonsense repository:UPPER:pull :: repository:"
    token = await bearer(site, scope, basic("alice"))
    assert await put(site, "team/app", "v1", token) == 201
    assert await site.status("/v2/a/b/tags/list", headers=token) == 404
    query = "/zot/auth/token?scope=repository:a/b:pull&scope=repository:team/app:*"
    async with site.client() as client, client.get(query, headers=basic("alice")) as response:
        token = {"Authorization": f"Bearer {(await response.json())['token']}"}
    assert await site.status("/v2/a/b/tags/list", headers=token) == 404
    assert await site.status("/v2/team/app/manifests/v1", "DELETE", headers=token) == 202


async def test_the_catalog_has_a_scope_of_its_own(site: Site) -> None:
    """With it the list shows what the user may read, without it what the token may; it reads nothing else."""
    assert await put(site, "team/app", "v1", basic("alice")) == 201
    for scope, user, expected in (
        ("registry:catalog:*", "alice", ["public/app", "team/app"]),
        ("registry:catalog:*", "bob", ["public/app"]),
        ("repository:team/app:pull", "alice", ["team/app"]),
    ):
        headers = await bearer(site, scope, basic(user))
        async with site.client(headers=headers) as client, client.get("/v2/_catalog") as response:
            assert (await response.json())["repositories"] == expected
    token = await bearer(site, "registry:catalog:*", basic("alice"))
    assert await site.status("/v2/team/app/manifests/v1", headers=token) == 401


async def test_a_token_is_no_administrators_and_makes_no_keys(site: Site) -> None:
    """It stands for less than its user."""
    token = await bearer(site, "repository:team/app:* registry:catalog:*", basic("root"))
    assert await site.status("/zot/auth/apikey", "POST", headers=token) == 403
    assert await site.status("/v2/_zot/ext/explain?user=bob&repo=a&action=read", headers=token) == 403


async def test_a_token_is_within_the_scopes_of_its_api_key(site: Site) -> None:
    """Whatever more it asks for."""
    scopes = {"scopes": ["repository:team/**:pull"]}
    async with (
        site.client(headers=basic("alice")) as client,
        client.post("/zot/auth/apikey", json=scopes) as response,
    ):
        key = basic("alice", (await response.json())["apiKey"])
    assert await put(site, "team/app", "v1", basic("alice")) == 201
    token = await bearer(site, "repository:team/app:* repository:public/app:* registry:catalog:*", key)
    assert await site.status("/v2/team/app/manifests/v1", headers=token) == 200
    assert await put(site, "team/app", "v1", token) == 403
    assert await site.status("/v2/public/app/manifests/v1", headers=token) == 403
    async with site.client(headers=token) as client, client.get("/v2/_catalog") as response:
        assert (await response.json())["repositories"] == ["team/app"]


# --- for how long ---


@pytest.mark.parametrize("end", ["removed", "changed", "unusable"])
async def test_a_token_ends_with_the_user_and_with_the_password(site: Site, users: Path, end: str) -> None:
    """At once, as does a session; a change of another user's line ends nothing."""
    token = await bearer(site, "repository:team/app:pull", basic("alice"))
    async with site.client(headers=UI) as browser:
        async with browser.get("/v2/", headers=basic("alice")) as response:
            assert response.status == 200
        lines = dict(line.split(":", 1) for line in users.read_text().splitlines())
        lines["bob"] = hashed("another")
        users.write_text("".join(f"{name}:{value}\n" for name, value in lines.items()))
        assert await site.status("/v2/team/app/manifests/v1", headers=token) == 404
        async with browser.get("/v2/team/app/manifests/v1") as response:
            assert response.status == 404
        lines["alice"] = {"removed": "", "changed": hashed("another"), "unusable": "!"}[end]
        users.write_text("".join(f"{name}:{value}\n" for name, value in lines.items() if value))
        status, offered = await challenges(site, "/v2/team/app/manifests/v1", headers=token)
        assert status == 401
        assert offered[0].endswith(',error="invalid_token"')
        assert await site.status("/v2/public/app/manifests/v1", headers=token) == 401
        async with browser.get("/v2/team/app/manifests/v1") as response:
            assert response.status == 401


async def test_who_is_taken_out_of_htpasswd_keeps_no_api_keys(site: Site, users: Path) -> None:
    """Nor tokens by them; they count again if the user comes back, and another password leaves them alone."""
    async with site.client(headers=basic("alice")) as client, client.post("/zot/auth/apikey") as response:
        key = basic("alice", (await response.json())["apiKey"])
    token = await bearer(site, "repository:team/app:pull", key)
    paths = "/v2/team/app/manifests/v1"
    everybody = users.read_text()
    assert await site.status(paths, headers=key) == await site.status(paths, headers=token) == 404
    users.write_text(f"bob:{hashed('x')}\n")
    assert await site.status(paths, headers=key) == await site.status(paths, headers=token) == 401
    users.write_text(f"alice:{hashed('another')}\n")
    assert await site.status(paths, headers=key) == await site.status(paths, headers=token) == 404
    users.write_text(everybody)
    assert site.auth.accounts is not None
    assert await site.auth.accounts.create_service("robot", ["ci"])
    assert await site.status(paths, headers=key) == 404


async def test_a_token_ends_with_its_api_key(site: Site) -> None:
    """When it is revoked, and when it expires."""
    async with site.client(headers=basic("alice")) as client:
        async with client.post("/zot/auth/apikey") as response:
            made = await response.json()
        token = await bearer(site, "repository:team/app:pull", basic("alice", made["apiKey"]))
        assert await site.status("/v2/team/app/tags/list", headers=token) == 404
        async with client.delete(f"/zot/auth/apikey?id={made['uuid']}") as response:
            assert response.status == 200
    assert await site.status("/v2/team/app/tags/list", headers=token) == 401


async def test_a_token_expires(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within minutes, and anonymous ones, too."""
    found = await issued(site, "repository:team/app:pull", basic("alice"))
    assert found["expires_in"] == LIFETIME_S
    tokens = [{"Authorization": f"Bearer {found['token']}"}, await bearer(site, "repository:public/app:pull")]
    statuses = [await site.status("/v2/public/app/tags/list", headers=each) for each in tokens]
    assert statuses == [401, 200]
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s + LIFETIME_S + 1)
    for each in tokens:
        status, offered = await challenges(site, "/v2/public/app/tags/list", headers=each)
        assert (status, offered[0].endswith(',error="invalid_token"')) == (401, True)


async def test_a_token_that_was_changed_or_is_of_another_registry_is_refused(
    site: Site, tmp_path: Path, http: dict[str, Any]
) -> None:
    """Only what was signed with this registry's key counts, and nothing of it falls back to an anonymous client."""
    token = (await issued(site, "repository:public/app:pull", basic("alice")))["token"]
    body, _, mac = token.partition(".")
    async with serving(tmp_path / "other", http) as other:
        foreign = (await issued(other, "repository:public/app:pull", basic("alice")))["token"]
    changed = [
        token[:-2] + ("AA" if token[-2:] != "AA" else "BB"),
        f"{body}A.{mac}",
        body,
        f"{body}.",
        f"{PREFIX}.{mac}",
    ]
    for wrong in (
        *changed,
        foreign,
        PREFIX,
        f"{PREFIX}.",
        f"{PREFIX}é.x",
        f"{PREFIX}{'A' * LENGTH_LIMIT}.A",
        f"{token}.x",
    ):
        with_wrong = {"Authorization": f"Bearer {wrong}"}
        assert await site.status("/v2/public/app/manifests/v1", headers=with_wrong) == 401
    assert await site.status("/v2/public/app/manifests/v1", headers={"Authorization": f"bearer {token}"}) == 200


async def test_a_token_outlives_a_restart_and_counts_in_every_process(tmp_path: Path, http: dict[str, Any]) -> None:
    """The key is kept beside the sessions, and no other user of the machine reads it."""
    async with serving(tmp_path / "data", http) as site:
        token = await bearer(site, "repository:team/app:pull", basic("alice"))
    async with serving(tmp_path / "data", http) as site:
        assert await site.status("/v2/team/app/tags/list", headers=token) == 404
    key = tmp_path / "data" / "_sessions" / "key"
    assert key.stat().st_mode & 0o777 == 0o600


@pytest.mark.needs("redis-server")
async def test_replicas_with_sessions_in_redis_share_the_key(
    tmp_path: Path, http: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token of one counts at the other, also while Redis is away, and after Redis lost the key."""
    for name in ("_KEY_REFRESH_INTERVAL_S", "_KEY_RETRY_INTERVAL_S"):
        monkeypatch.setattr(registry_tokens, name, 0.0)
    (tmp_path / "redis").mkdir()
    scope, path = "repository:team/app:pull", "/v2/team/app/tags/list"
    with RedisServer(tmp_path / "redis") as redis:
        http["auth"]["sessionDriver"] = {"name": "redis", "url": f"{redis.url}?max_retries=0&read_timeout=1s"}
        async with serving(tmp_path / "a", http) as one, serving(tmp_path / "b", http) as two:
            token = await bearer(one, scope, basic("alice"))
            assert await two.status(path, headers=token) == 404
            redis.kill()
            assert await two.status(path, headers=token) == 404
            token = await bearer(one, scope, basic("alice"))
            assert await two.status(path, headers=token) == 404
            assert await two.status(path, headers={"Authorization": f"Bearer {PREFIX}AAAA.AAAA"}) == 503
            # It comes back without what it knew.
            redis.start()
            while (status := await two.status(path, headers={"Authorization": f"Bearer {PREFIX}AAAA.AAAA"})) == 503:
                pass
            assert status == 401
            token = await bearer(two, scope, basic("alice"))
            while (status := await one.status(path, headers=token)) == 503:
                pass
            assert status == 404
            assert await two.status(path, headers=await bearer(one, scope, basic("alice"))) == 404


async def test_rules_that_close_a_repository_end_anonymous_tokens(tmp_path: Path, http: dict[str, Any]) -> None:
    """A token grants nothing by itself: other rules count for it at once."""
    async with serving(tmp_path / "data", http) as site:
        token = await bearer(site, "repository:public/app:pull")
    closed = {"repositories": {"**": {"defaultPolicy": ["read"]}}}
    async with serving(tmp_path / "data", {**http, "accessControl": closed}) as site:
        assert await site.status("/v2/public/app/tags/list", headers=token) == 401
        assert await site.status("/v2/", headers=token) == 401
        assert await site.status("/zot/auth/token") == 401


# --- the endpoint ---


async def test_a_form_asks_for_a_token_as_well(site: Site) -> None:
    """As containerd sends it (RFC 6749, section 4.3); no other kind of grant is given."""
    form = {"grant_type": "password", "service": "zot", "scope": "repository:team/app:pull", "client_id": "containerd"}
    async with site.client() as client:
        login = {"username": "alice", "password": PEOPLE["alice"]}
        async with client.post("/zot/auth/token", data={**form, **login}) as response:
            assert response.status == 200
            token = {"Authorization": f"Bearer {(await response.json())['access_token']}"}
    assert await site.status("/v2/team/app/tags/list", headers=token) == 404
    wrong = {"username": "alice", "password": "wrong"}
    for data in ({**form, **wrong}, {**form, "grant_type": "refresh_token", "refresh_token": "x"}):
        assert await challenges(site, "/zot/auth/token", "POST", data=data) == (401, ['Basic realm="zot"'])
    assert await site.status("/zot/auth/token", "POST", data=form) == 200


async def test_wrong_credentials_get_no_token(site: Site) -> None:
    """Not even an anonymous one; empty ones are none."""
    for header in (basic("alice", "wrong"), {"Authorization": "Bearer x"}, {"Authorization": "Basic !!"}):
        assert (await challenges(site, "/zot/auth/token", headers=header))[0] == 401
    assert await site.status("/zot/auth/token", headers={"Authorization": "Basic Og=="}) == 200
    assert await site.status("/zot/auth/token", "DELETE") == 405


async def test_a_token_is_bounded(site: Site) -> None:
    """In scopes and in size."""
    scopes = " ".join(f"repository:team/{number}:pull" for number in range(SCOPES_LIMIT + 1))
    async with site.client() as client:
        async with client.get("/zot/auth/token", params={"scope": scopes}) as response:
            assert response.status == 400
        long = " ".join(f"repository:{number:03d}{'x' * 250}:pull,push,delete" for number in range(SCOPES_LIMIT))
        async with client.post("/zot/auth/token", data={"scope": long}) as response:
            assert response.status == 200
            assert len((await response.json())["token"]) <= LENGTH_LIMIT


async def test_a_service_account_gets_tokens_by_its_keys(site: Site) -> None:
    """As everywhere, its key goes where a password goes."""

    assert site.auth.accounts is not None
    assert await site.auth.accounts.create_service("robot", [])
    secret, key = new_key("robot")
    await site.auth.accounts.add_key(key)
    token = await bearer(site, "repository:public/app:pull", basic("robot", secret))
    assert await site.status("/v2/public/app/manifests/v1", headers=token) == 200
    await site.auth.accounts.delete_user("robot")
    assert await site.status("/v2/public/app/manifests/v1", headers=token) == 401


async def test_nothing_of_a_login_can_be_read_from_a_token(site: Site) -> None:
    """Neither the password nor its hash is in it."""
    token = (await issued(site, "", basic("alice")))["token"]
    body = base64.urlsafe_b64decode(token.removeprefix(PREFIX).partition(".")[0] + "==")

    content = zlib.decompress(body)
    assert PEOPLE["alice"].encode() not in content
    assert b"$2b$" not in content
