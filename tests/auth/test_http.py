"""Who is let in by HTTP, walked through as clients do."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from auth.harness import EMPTY_INDEX, INDEX_TYPE, PEOPLE, UI, Site, basic, serving
from servers.redis import RedisServer
from zot.accounts.sessions.session import LIFETIME_S, Session
from zot.auth.authenticators.apikey import new_key


@pytest.fixture(scope="module")
def htpasswd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a file with all PEOPLE."""
    path = tmp_path_factory.mktemp("people") / "htpasswd"
    hashes = {name: bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode() for name, password in PEOPLE.items()}
    path.write_text("".join(f"{name}:{hashed}\n" for name, hashed in hashes.items()))
    return path


RULES: dict[str, Any] = {
    "repositories": {
        "team/**": {"policies": [{"users": ["alice"], "actions": ["read", "create", "update"]}]},
        "public/**": {"anonymousPolicy": ["read"], "defaultPolicy": ["read"]},
    },
    "adminPolicy": {"users": ["root"], "actions": ["read", "create", "update", "delete"]},
}


@pytest.fixture
async def site(tmp_path: Path, htpasswd: Path) -> AsyncIterator[Site]:
    """Serve with htpasswd and API keys, and without access control."""
    async with serving(tmp_path, {"auth": {"htpasswd": {"path": str(htpasswd)}, "apikey": True}}) as site:
        yield site


@pytest.fixture
async def ruled(tmp_path: Path, htpasswd: Path) -> AsyncIterator[Site]:
    """Serve with htpasswd, API keys, and RULES."""
    http = {"auth": {"htpasswd": {"path": str(htpasswd)}, "apikey": True}, "accessControl": RULES, "realm": "zot"}
    async with serving(tmp_path, http) as site:
        yield site


async def push(site: Site, repository: str, tag: str, headers: dict[str, str]) -> int:
    """Push an empty index, and give the status."""
    path = f"/v2/{repository}/manifests/{tag}"
    return await site.status(path, "PUT", data=EMPTY_INDEX, headers={"Content-Type": INDEX_TYPE, **headers})


async def test_without_ways_in_everybody_is_anonymous(tmp_path: Path) -> None:
    """Also with a header that nobody asked for, as in zot."""
    async with serving(tmp_path, {}) as site:
        assert await site.status("/v2/") == 200
        assert await site.status("/v2/", headers=basic("alice")) == 200


async def test_a_password_is_needed_and_has_to_be_right(site: Site) -> None:
    """401 with a challenge without one, and with a wrong one; never a fall back to nobody."""
    async with site.client() as client:
        async with client.get("/v2/") as response:
            assert response.status == 401
            assert response.headers["WWW-Authenticate"] == 'Basic realm="Authorization Required"'
            assert (await response.json())["errors"][0]["code"] == "UNAUTHORIZED"
        async with client.get("/v2/", headers=basic("alice", "wrong")) as response:
            assert response.status == 401
            assert "WWW-Authenticate" in response.headers
    for name in PEOPLE:
        assert await site.status("/v2/", headers=basic(name)) == 200
    assert await site.status("/v2/_catalog", headers=basic("alice")) == 200


GARBLED = [
    "Basic",
    "Basic ",
    "Basic !!!",
    "Bearer x",
    "alice:alice-secret",
    "Basic YWxpY2U=",
    "Digest a=b",
    "Basic\tYTpi",
]


@pytest.mark.parametrize(
    "header", [*GARBLED, "Basic " + "A" * 20000, "basic YWxpY2U6", "Basic /zr+", "Basic \udcff\udcfe", "Basic é"]
)
async def test_garbled_headers_are_refused(site: Site, header: str) -> None:
    """Whatever is no right password is 401, or 400 where it is no header."""
    assert await site.status("/v2/", headers={"Authorization": header}) in {400, 401}


async def test_two_authorization_headers_are_refused(site: Site) -> None:
    """Which of them counts must not depend on who reads them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(site.url.rpartition(":")[2]))
    header = f"Authorization: {basic('alice')['Authorization']}\r\n"
    writer.write(f"GET /v2/ HTTP/1.1\r\nHost: x\r\n{header}{header}Connection: close\r\n\r\n".encode())
    assert (await reader.readline()).split()[1] in {b"401", b"400"}
    writer.close()
    await writer.wait_closed()


async def test_empty_credentials_are_none(ruled: Site) -> None:
    """`Basic Og==`, which Docker's clients send for nobody, is nobody."""
    assert await ruled.status("/v2/_catalog", headers={"Authorization": "Basic Og=="}) == 200
    assert await ruled.status("/v2/_catalog", headers={"Authorization": "Basic Oko="}) == 401


async def test_rules_hold_for_each_user(ruled: Site) -> None:
    """Who is known and may not is told 403, who is not known 401, and lists show what may be read."""
    assert await push(ruled, "team/app", "v1", basic("alice")) == 201
    assert await push(ruled, "public/app", "v1", basic("root")) == 201
    assert await push(ruled, "team/app", "v2", basic("bob")) == 403
    assert await push(ruled, "public/app", "v2", {}) == 401
    for path, expected in (("team/app", [200, 403, 401, 200]), ("public/app", [200, 200, 200, 200])):
        for headers, status in zip((basic("alice"), basic("bob"), {}, basic("root")), expected, strict=True):
            assert await ruled.status(f"/v2/{path}/manifests/v1", headers=headers) == status
    for headers, names in (({}, ["public/app"]), (basic("alice"), ["public/app", "team/app"])):
        async with ruled.client() as client, client.get("/v2/_catalog", headers=headers) as response:
            assert (await response.json())["repositories"] == names
    assert await ruled.status("/v2/team/app/manifests/v1", "DELETE", headers=basic("alice")) == 403
    assert await ruled.status("/v2/team/app/manifests/v1", "DELETE", headers=basic("root")) == 202


async def test_a_refusal_tells_the_client_no_rules(ruled: Site) -> None:
    """The places in the configuration are for administrators."""
    async with ruled.client() as client, client.get("/v2/team/app/tags/list", headers=basic("bob")) as response:
        assert response.status == 403
        assert "accessControl" not in await response.text()


async def test_docker_is_asked_for_its_credentials_where_they_may_give_more(ruled: Site) -> None:
    """Its clients send them only if `/v2/` answers 401; others go on as nobody."""
    assert await ruled.status("/v2/", headers={"User-Agent": "docker/27.0 go/go1.22"}) == 401
    assert await ruled.status("/v2/", headers={"User-Agent": "x Docker-Client/27.0"}) == 401
    assert await ruled.status("/v2/", headers={"User-Agent": "skopeo/1.15"}) == 200
    docker = {"User-Agent": "docker/27.0", **basic("alice")}
    assert await ruled.status("/v2/", headers=docker) == 200


async def test_a_browser_logs_in_is_known_by_its_cookie_and_logs_out(site: Site) -> None:
    """The cookie counts with the UI's header alone; after the logout it is worth nothing."""
    async with site.client() as client:
        async with client.get("/v2/", headers={**UI, **basic("alice")}) as response:
            assert response.status == 200
            session, user = response.headers.getall("Set-Cookie")
        assert session.startswith("session=")
        assert f"Path=/; Max-Age={LIFETIME_S}; HttpOnly; SameSite=Lax" in session
        assert "Secure" not in session
        assert user.startswith("user=alice; Path=/; Max-Age=7200")
        assert "HttpOnly" not in user
        for headers, status in ((UI, 200), ({}, 401), ({"X-ZOT-API-CLIENT": "other"}, 401)):
            async with client.get("/v2/_catalog", headers=headers) as response:
                assert response.status == status
                assert "session=" not in str(response.headers.getall("Set-Cookie", []))
                assert ("WWW-Authenticate" in response.headers) == (status == 401)
        kept = session.partition(";")[0]
        async with client.post("/zot/auth/logout") as response:
            assert (response.status, await response.json()) == (200, {})
            assert response.headers["Set-Cookie"].startswith("session=; Path=/; Max-Age=0")
    async with site.client() as client, client.get("/v2/_catalog", headers={**UI, "Cookie": kept}) as response:
        assert response.status == 401
        assert "WWW-Authenticate" not in response.headers
        assert response.headers["Set-Cookie"].startswith("session=; ")


async def test_a_login_renews_the_session(site: Site) -> None:
    """The id from before is dead, so that nobody can plant one; other logins make no session at all."""
    assert site.auth.sessions is not None
    async with site.client() as client:
        ids = []
        for _ in range(2):
            async with client.get("/v2/", headers={**UI, **basic("alice")}) as response:
                ids.append(response.cookies["session"].value)
        assert ids[0] != ids[1]
        assert await site.auth.sessions.find(ids[0]) is None
        assert await site.auth.sessions.find(ids[1]) is not None
    await site.status("/v2/", headers=basic("alice"))
    assert len([listed async for listed in site.auth.sessions.all()]) == 1


@pytest.mark.parametrize("value", ["x", "A" * 52, "../../etc/passwd", "A" * 5000, "%00", '"quoted"', "a=b=c"])
async def test_an_unknown_session_is_nobody_and_no_error(ruled: Site, value: str) -> None:
    """The cookie is dropped, and what everybody may do goes on."""
    assert await ruled.status("/v2/_catalog", headers={**UI, "Cookie": f"session={value}"}) == 200


async def test_changes_by_cookie_come_from_the_own_pages_alone(tmp_path: Path, htpasswd: Path) -> None:
    """A browser that another site made to send its cookie is refused; the configured origins are the own ones."""
    http = {"auth": {"htpasswd": {"path": str(htpasswd)}, "apikey": True}, "externalUrl": "https://zot.example.com"}
    async with serving(tmp_path, http) as site, site.client() as client:
        async with client.get("/v2/", headers={**UI, **basic("alice")}) as response:
            assert response.status == 200
        for headers, status in (
            ({"Origin": "https://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Origin": "https://zot.example.com.evil.example"}, 403),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Sec-Fetch-Site": "same-site"}, 403),
            ({"Origin": "https://zot.example.com"}, 201),
            ({"Origin": site.url}, 201),
            ({"Sec-Fetch-Site": "same-origin"}, 201),
            ({}, 201),
        ):
            async with client.post("/zot/auth/apikey", headers={**UI, **headers}) as response:
                assert response.status == status, headers
        async with client.get("/v2/_catalog", headers={**UI, "Origin": "https://evil.example"}) as response:
            assert response.status == 200
        async with client.post("/zot/auth/logout", headers={"Origin": "https://evil.example"}) as response:
            assert response.status == 403


async def test_secure_cookies_by_the_configuration(tmp_path: Path, htpasswd: Path) -> None:
    """Behind a proxy that ends TLS, `secureSession` says so."""
    http = {"auth": {"htpasswd": {"path": str(htpasswd)}, "secureSession": True}}
    async with (
        serving(tmp_path, http) as site,
        site.client() as client,
        client.get("/v2/", headers={**UI, **basic("alice")}) as response,
    ):
        assert all("; Secure" in header for header in response.headers.getall("Set-Cookie"))


@pytest.mark.parametrize("body", [b'{"label": "\xff"}', b'{"x": ' + b"[" * 5_000, b'{"label": 1}', b"[]", b"{"])
async def test_what_is_no_request_for_a_key_is_told_so(site: Site, body: bytes) -> None:
    """Whatever the body is: a bad request, and no key."""
    async with site.client(headers=basic("alice")) as client:
        async with client.post("/zot/auth/apikey", data=body) as response:
            assert response.status == 400
        async with client.get("/zot/auth/apikey") as response:
            assert (await response.json())["apiKeys"] == []


async def test_an_api_key_is_made_used_listed_and_revoked(site: Site) -> None:
    """It is a password of its owner, shown once, and only its hash is kept."""
    async with site.client(headers=basic("alice")) as client:
        async with client.post("/zot/auth/apikey", json={"label": "ci", "scopes": []}) as response:
            assert response.status == 201
            made = await response.json()
        key = made.pop("apiKey")
        assert key.startswith("zak_")
        assert len(key) == 36
        assert made["isExpired"] is False
        assert made["expirationDate"] == "0001-01-01T00:00:00Z"
        assert made["generatedBy"] == "manual"
        async with client.post("/zot/auth/apikey") as response:
            second = (await response.json())["apiKey"]
        for each in (key, second):
            assert await site.status("/v2/", headers=basic("alice", each)) == 200
            assert await site.status("/v2/", headers=basic("bob", each)) == 401
        async with client.get("/zot/auth/apikey") as response:
            text = await response.text()
            listed = (await response.json())["apiKeys"]
        assert key not in text
        assert {each["label"] for each in listed} == {"ci", ""}
        assert all(each["lastUsed"] != "0001-01-01T00:00:00Z" for each in listed)
        async with client.delete(f"/zot/auth/apikey?id={made['uuid']}") as response:
            assert response.status == 200
        async with client.delete("/zot/auth/apikey?id=unknown") as response:
            assert response.status == 200
        assert await site.status("/v2/", headers=basic("alice", key)) == 401
        assert await site.status("/v2/", headers=basic("alice", second)) == 200
    assert site.stores is not None
    assert all(key not in path.read_bytes().decode("latin-1") for path in _files(site))


def _files(site: Site) -> list[Path]:
    """Give the files in which accounts are kept."""
    import zot.accounts.sqlite

    accounts = site.auth.accounts
    assert isinstance(accounts, zot.accounts.sqlite.SqliteAccounts)
    folder = accounts._file._path.parent
    return [path for path in folder.iterdir() if path.name.startswith("identity.db") and "shm" not in path.name]


async def test_a_limited_key_does_what_its_scopes_say_and_makes_no_other(ruled: Site) -> None:
    """zot keeps scopes and never looks at them; here they hold."""
    assert await push(ruled, "team/app", "v1", basic("alice")) == 201
    body = {"scopes": ["repository:team/app:pull"]}
    async with (
        ruled.client(headers=basic("alice")) as client,
        client.post("/zot/auth/apikey", json=body) as response,
    ):
        key = (await response.json())["apiKey"]
    by_key = basic("alice", key)
    assert await ruled.status("/v2/team/app/manifests/v1", headers=by_key) == 200
    assert await push(ruled, "team/app", "v2", by_key) == 403
    assert await ruled.status("/v2/public/app/tags/list", headers=by_key) == 403
    assert await ruled.status("/zot/auth/apikey", "POST", headers=by_key) == 403
    assert await ruled.status("/zot/auth/apikey", headers=by_key) == 403


async def test_a_key_with_plain_names_is_for_these_repositories(ruled: Site) -> None:
    """The form of scopes in zot's documentation: all that its owner may do, there and nowhere else."""
    scopes = {"scopes": ["team/app", "public/**"]}
    async with ruled.client(headers=basic("root")) as client, client.post("/zot/auth/apikey", json=scopes) as response:
        assert response.status == 201
        key = basic("root", (await response.json())["apiKey"])
    for repository, status in (("team/app", 201), ("public/x", 201), ("team/other", 403), ("other", 403)):
        assert await push(ruled, repository, "v1", key) == status
        assert await push(ruled, repository, "v1", basic("root")) == 201
    assert await ruled.status("/v2/team/app/manifests/v1", "DELETE", headers=key) == 202
    assert await ruled.status("/v2/team/other/manifests/v1", "DELETE", headers=key) == 403
    assert await ruled.status("/zot/auth/apikey", "POST", headers=key) == 403
    async with ruled.client(headers=key) as client, client.get("/v2/_catalog") as response:
        assert (await response.json())["repositories"] == ["public/x", "team/app"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("{", 400),
        ('{"expirationDate": "yesterday"}', 400),
        ('{"expirationDate": "2001-01-01T00:00:00Z"}', 400),
        ('{"expirationDate": "2101-01-01T00:00:00"}', 400),
        ('{"scopes": ["Everything"]}', 400),
        ('{"scopes": ["team/app", "repository"]}', 201),
        ('{"label": 5}', 400),
        ('{"expirationDate": "9999-12-31T23:59:59-12:00"}', 400),
        ('{"expirationDate": "0001-01-01T00:00:00+12:00"}', 400),
        ('{"label": null, "scopes": null, "expirationDate": null}', 201),
        ('{"label": "' + "x" * 9000 + '"}', 413),
        ('{"expirationDate": "2101-01-01T00:00:00Z"}', 201),
        ("", 201),
    ],
)
async def test_a_request_for_a_key_has_to_make_sense(site: Site, body: str, status: int) -> None:
    """What is not understood makes no key: it might allow more than was meant, for longer."""
    async with (
        site.client(headers=basic("alice")) as client,
        client.post("/zot/auth/apikey", data=body) as response,
    ):
        assert response.status == status
        if status == 413:
            # It concerns no manifest, and is not called one.
            assert (await response.json())["errors"][0]["code"] == "SIZE_INVALID"
    async with site.client(headers=basic("alice")) as client, client.get("/zot/auth/apikey") as response:
        assert len((await response.json())["apiKeys"]) == (status == 201)


async def test_keys_are_for_who_is_logged_in(ruled: Site) -> None:
    """Nobody has none, and an id is needed to revoke."""
    assert await ruled.status("/zot/auth/apikey") == 401
    assert await ruled.status("/zot/auth/apikey", "DELETE", headers=basic("alice")) == 400
    assert await ruled.status("/zot/auth/apikey?id=a&id=b", "DELETE", headers=basic("alice")) == 400


async def test_a_service_account_has_no_other_way_in(site: Site) -> None:
    """Who comes by its name from outside gets nothing of it, with a password that is right elsewhere."""
    assert site.auth.accounts is not None
    assert await site.auth.accounts.create_service("alice", ["admins"])
    assert await site.status("/v2/", headers={**UI, **basic("alice")}) == 401
    for _ in range(2):
        assert await site.status("/v2/", headers=basic("alice")) == 401
    assert await site.status("/zot/auth/apikey", "POST", headers=basic("alice")) == 401
    secret, key = new_key("alice")
    await site.auth.accounts.add_key(key)
    assert await site.status("/zot/auth/apikey", "POST", headers=basic("alice", secret)) == 201


async def test_an_expired_key_is_refused(site: Site) -> None:
    """From the second on that was said when it was made."""
    async with site.client(headers=basic("alice")) as client:
        async with client.post("/zot/auth/apikey", json={"expirationDate": "2101-01-01T00:00:00Z"}) as response:
            made = await response.json()
        assert await site.status("/v2/", headers=basic("alice", made["apiKey"])) == 200
        assert site.auth.accounts is not None
        await site.auth.accounts._write("UPDATE api_key SET expires_s = 1", ())  # type: ignore[attr-defined]
        assert await site.status("/v2/", headers=basic("alice", made["apiKey"])) == 401
        async with client.get("/zot/auth/apikey") as response:
            assert (await response.json())["apiKeys"][0]["isExpired"] is True


async def test_administrators_ask_why(ruled: Site) -> None:
    """The answer names the rule; others may not ask."""
    question = "/v2/_zot/ext/explain?user=bob&group=dev&repo=team/app&action=read&reference=v1"
    assert await ruled.status(question) == 401
    assert await ruled.status(question, headers=basic("bob")) == 403
    assert await ruled.status("/v2/_zot/ext/explain?repo=UPPER", headers=basic("root")) == 400
    assert await ruled.status(question + "&group=a" * 100, headers=basic("root")) == 400
    async with ruled.client(headers=basic("root")) as client, client.get(question) as response:
        said = await response.json()
    assert said["allowed"] is False
    assert said["pattern"] == "team/**"
    assert "policies[0] grants it to user alice" in said["would_allow"][0]


@pytest.mark.needs("redis-server")
async def test_sessions_in_redis_are_shared_and_their_outage_is_no_logout(tmp_path: Path, htpasswd: Path) -> None:
    """A replica that never saw the user knows them; without Redis cookies are 5xx, Basic works, and it heals."""
    (tmp_path / "redis").mkdir()
    with RedisServer(tmp_path / "redis") as redis:
        driver = {"name": "redis", "url": f"{redis.url}?max_retries=0&read_timeout=1s"}
        http = {"auth": {"htpasswd": {"path": str(htpasswd)}, "sessionDriver": driver}}
        async with serving(tmp_path / "a", http) as first, serving(tmp_path / "b", http) as second:
            async with first.client() as client, client.get("/v2/", headers={**UI, **basic("alice")}) as response:
                cookies = {"Cookie": f"session={response.cookies['session'].value}"}
            assert await second.status("/v2/_catalog", headers={**UI, **cookies}) == 200
            redis.kill()
            assert await second.status("/v2/_catalog", headers={**UI, **cookies}) == 503
            assert await second.status("/v2/_catalog", headers=basic("alice")) == 200
            assert await second.status("/v2/", headers={**UI, **basic("alice")}) == 503
            assert await second.status("/zot/auth/logout", "POST", headers=cookies) == 503
            redis.start()
            assert await second.status("/v2/_catalog", headers={**UI, **cookies}) == 401
            assert await second.status("/v2/", headers={**UI, **basic("alice")}) == 200


@pytest.mark.needs("redis-server")
async def test_many_users_log_in_and_out_and_leave_nothing(
    tmp_path: Path, htpasswd: Path, redis_server: RedisServer
) -> None:
    """As many keys as logins, one less with each logout, none at the end."""
    driver = {"name": "redis", "url": redis_server.url, "keyprefix": "bulk"}
    http = {"auth": {"htpasswd": {"path": str(htpasswd)}, "sessionDriver": driver}}
    async with serving(tmp_path, http) as site:
        sessions = site.auth.sessions
        assert sessions is not None

        async def walk(name: str) -> None:
            async with site.client() as client:
                async with client.get("/v2/", headers={**UI, **basic(name)}) as response:
                    assert response.status == 200
                async with client.get("/v2/_catalog", headers=UI) as response:
                    assert response.status == 200
                await all_in.wait()
                async with client.post("/zot/auth/logout") as response:
                    assert response.status == 200
                async with client.get("/v2/_catalog", headers=UI) as response:
                    assert response.status == 401

        walks = [*PEOPLE] * 7
        all_in = asyncio.Barrier(len(walks) + 1)
        going = [asyncio.create_task(walk(name)) for name in walks]
        while all_in.n_waiting < len(walks):  # noqa: ASYNC110 - the last to come looks around first
            await asyncio.sleep(0.01)
        assert len([listed async for listed in sessions.all()]) == len(walks)
        await all_in.wait()
        await asyncio.gather(*going)
        assert [listed async for listed in sessions.all()] == []


async def test_administrators_list_and_revoke_sessions(site: Site) -> None:
    """By user or by what a list calls a session; what it calls it opens nothing."""
    sessions = site.auth.sessions
    assert sessions is not None
    ids = [await sessions.start(Session(name, "htpasswd", 1.0)) for name in ("alice", "alice", "bob")]
    listed = {each.fingerprint: each.session.user async for each in sessions.all()}
    assert sorted(listed.values()) == ["alice", "alice", "bob"]
    assert await sessions.find(next(iter(listed))) is None
    assert await sessions.revoke(user="alice") == 2
    assert await sessions.find(ids[2]) is not None
    of_bob = next(name for name, user in listed.items() if user == "bob")
    assert await sessions.revoke(user="alice", fingerprint=of_bob) == 0
    assert await sessions.revoke(fingerprint=of_bob) == 1
    assert await sessions.find(ids[2]) is None
    assert await sessions.revoke() == 0


async def test_a_refusal_is_held_back(tmp_path: Path, htpasswd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`failDelay` holds for wrong passwords and for what is denied, and not for who presents nothing."""
    waits: list[float] = []

    async def wait(delay_s: float) -> None:
        waits.append(delay_s)

    monkeypatch.setattr("zot.auth.chain.asyncio.sleep", wait)
    http = {"auth": {"htpasswd": {"path": str(htpasswd)}, "failDelay": 30}, "accessControl": RULES}
    async with serving(tmp_path, http) as site:
        for path, headers, held in (
            ("/v2/team/app/tags/list", {}, False),
            ("/v2/", basic("alice", "wrong"), True),
            ("/v2/team/app/tags/list", basic("bob"), True),
            ("/v2/", basic("alice"), False),
        ):
            waits.clear()
            await site.status(path, headers=headers)
            assert (30 in waits) == held, path
