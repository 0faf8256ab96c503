"""Logins in the browser: at a real OpenID provider, and at a stand-in of GitHub."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from auth.harness import UI, Site, serving
from servers.oidc import CLIENT_ID, CLIENT_SECRET, OidcProvider
from servers.process import free_port
from servers.redis import RedisServer
from zot.auth.oauth.callbacks import origin_of, safe_callback

RULES: dict[str, Any] = {
    "repositories": {"**": {"policies": [{"groups": ["admins"], "actions": ["read"]}]}},
    "adminPolicy": {"users": ["root"], "actions": ["read"]},
}


def configuration(issuer: str, origin: str, **more: Any) -> dict[str, Any]:
    """Log in at the provider."""
    provider = {
        "clientid": CLIENT_ID,
        "clientsecret": CLIENT_SECRET,
        "issuer": issuer,
        "scopes": ["email", "profile", "groups"],
        **more,
    }
    return {"externalUrl": origin, "auth": {"openid": {"providers": {"oidc": provider}}}}


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Run one provider for all tests of this file."""
    port = free_port()
    redirect = f"http://127.0.0.1:{port}/zot/auth/callback/oidc"
    with OidcProvider(tmp_path_factory.mktemp("oidc"), [redirect]) as provider:
        yield provider, port


@asynccontextmanager
async def site_of(
    provider: tuple[OidcProvider, int],
    root: Path,
    change: Callable[[dict[str, Any]], None] = lambda _: None,
    **more: Any,
) -> AsyncIterator[Site]:
    """Serve a registry that logs in at the provider."""
    server, port = provider
    http = configuration(server.issuer, f"http://127.0.0.1:{port}", **more)
    change(http)
    async with serving(root, http, port=port) as site:
        yield site


async def log_in(
    client: aiohttp.ClientSession, url: str, name: str = "alice", stop_at: str = "/zot/auth/callback/"
) -> str:
    """Go from the login to the provider and through its forms, as a browser does; give where it sends back to."""
    form: dict[str, str] | None = None
    for _ in range(20):
        if form is None:
            request = client.get(url, allow_redirects=False)
        else:
            request = client.post(url, data=form, allow_redirects=False)
        async with request as response:
            text = await response.text()
            location = response.headers.get("Location")
        if location is not None:
            url, form = str(response.url.join(URL(location))), None
            if URL(url).path.startswith(stop_at):
                return url
            continue
        assert response.status == 200, text
        action = re.search(r'action="([^"]+)"', text)
        assert action is not None, text
        url = str(response.url.join(URL(action[1])))
        asks_consent = re.search(r'name="prompt" value="consent"', text) is not None
        form = {"prompt": "consent"} if asks_consent else {"prompt": "login", "login": name, "password": "any"}
    raise AssertionError("the provider goes round in circles")


LOGIN = "/zot/auth/login?provider=oidc"


@pytest.mark.needs("oidc-provider")
async def test_a_browser_logs_in_at_the_provider_and_out_of_both(
    provider: tuple[OidcProvider, int], tmp_path: Path
) -> None:
    """Code flow with PKCE, state and nonce; the groups count; after the logout the cookie is worth nothing."""
    async with site_of(provider, tmp_path, lambda http: http.update(accessControl=RULES)) as site:
        async with site.client() as client:
            async with client.get(LOGIN, allow_redirects=False) as response:
                assert response.status == 302
                query = parse_qs(urlsplit(response.headers["Location"]).query)
                state = response.headers["Set-Cookie"]
            assert query["response_type"] == ["code"]
            assert query["code_challenge_method"] == ["S256"]
            assert query["scope"] == ["openid email profile groups"]
            assert {"state", "nonce", "code_challenge"} <= query.keys()
            assert "Path=/zot/auth/callback; Max-Age=7200; HttpOnly; SameSite=Lax" in state
            back = await log_in(client, f"{site.url}{LOGIN}")
            async with client.get(back, allow_redirects=False) as response:
                assert response.status == 201
                cookies = [header.partition("=")[0] for header in response.headers.getall("Set-Cookie")]
            assert cookies == ["statecookie", "session", "user"]
            async with client.get("/v2/team/app/tags/list", headers=UI) as response:
                assert response.status == 404
            async with client.get(back, allow_redirects=False) as response:
                assert response.status == 401  # a code that was used, and no login under way
            async with client.post("/zot/auth/logout") as response:
                url = (await response.json())["endSessionUrl"]
            ending = parse_qs(urlsplit(url).query)
            assert url.startswith(f"{provider[0].issuer}/session/end?")
            assert ending == {"client_id": [CLIENT_ID], "post_logout_redirect_uri": [f"{site.url}/login"]}
            async with client.get("/v2/team/app/tags/list", headers=UI) as response:
                assert response.status == 401
        async with site.client() as client:
            async with client.get(await log_in(client, f"{site.url}{LOGIN}", "bob"), allow_redirects=False) as response:
                assert response.status == 201
            async with client.get("/v2/team/app/tags/list", headers=UI) as response:
                assert response.status == 403
        assert site.auth.accounts is not None
        alice = await site.auth.accounts.user("alice@example.org")
        assert alice is not None
        assert alice.groups == ("admins", "developers")


@pytest.mark.needs("oidc-provider")
@pytest.mark.parametrize(
    ("mapping", "name"),
    [
        ({}, "alice@example.org"),
        ({"username": "preferred_username"}, "alice"),
        ({"username": "sub"}, "alice"),
        ({"username": "name"}, "Alice"),
        ({"username": "absent"}, "alice@example.org"),
        ({"groups": "absent"}, "alice@example.org"),
    ],
)
async def test_claims_name_the_user(
    provider: tuple[OidcProvider, int], tmp_path: Path, mapping: dict[str, str], name: str
) -> None:
    """By the mapped claim, by the e-mail address if it is not there; then the browser is sent where it came from."""
    async with site_of(provider, tmp_path, claimMapping=mapping) as site, site.client() as client:
        back = await log_in(client, f"{site.url}{LOGIN}&callback_ui=/home%3Fq%3D1")
        async with client.get(back, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (302, "/home?q=1")
        assert site.auth.accounts is not None
        user = await site.auth.accounts.user(name)
        assert user is not None
        assert user.groups == (() if "groups" in mapping else ("admins", "developers"))


@pytest.mark.needs("oidc-provider")
async def test_an_answer_that_nobody_asked_for_logs_nobody_in(
    provider: tuple[OidcProvider, int], tmp_path: Path
) -> None:
    """Another browser's answer, a changed state, none at all, an error, and a provider that is not configured."""
    async with site_of(provider, tmp_path) as site, site.client() as client, site.client() as other:
        back = await log_in(client, f"{site.url}{LOGIN}")
        path = "/zot/auth/callback/oidc"
        for url in (path, f"{path}?state=x&code=y", back.replace("state=", "state=x"), f"{path}?error=access_denied"):
            async with other.get(LOGIN, allow_redirects=False):
                pass
            async with other.get(url, allow_redirects=False) as response:
                assert response.status == 401, url
                assert "session=" not in str(response.headers.getall("Set-Cookie"))
        async with other.get(LOGIN, allow_redirects=False):
            pass
        async with other.get(back, allow_redirects=False) as response:
            assert response.status == 401
        async with client.get(back, allow_redirects=False) as response:
            assert response.status == 201
        assert await site.status("/zot/auth/login?provider=unknown") == 400
        assert await site.status("/zot/auth/login") == 400
        assert await site.status("/zot/auth/callback/unknown") == 404


@pytest.mark.needs("oidc-provider", "redis-server")
async def test_a_login_may_end_at_another_replica(
    provider: tuple[OidcProvider, int], tmp_path: Path, redis_server: RedisServer
) -> None:
    """What is under way is in the session store, and leaves one session behind."""
    driver = {"name": "redis", "url": redis_server.url, "keyprefix": "replicas"}

    def shared(http: dict[str, Any]) -> None:
        http["auth"]["sessionDriver"] = driver

    async with site_of(provider, tmp_path / "a", shared) as site, site.client() as client:
        back = await log_in(client, f"{site.url}{LOGIN}")
        kept = "; ".join(f"{each.key}={each.value}" for each in client.cookie_jar)
    async with site_of(provider, tmp_path / "b", shared) as other, other.client() as client:
        async with client.get(back, headers={"Cookie": kept}, allow_redirects=False) as response:
            assert response.status == 201
        async with client.get("/v2/_catalog", headers=UI) as response:
            assert response.status == 200
        assert other.auth.sessions is not None
        assert len([listed async for listed in other.auth.sessions.all()]) == 1
        async with client.post("/zot/auth/logout") as response:
            assert response.status == 200
        assert [listed async for listed in other.auth.sessions.all()] == []


@pytest.mark.needs("oidc-provider")
async def test_a_provider_that_is_down_is_503_and_basic_goes_on(tmp_path: Path) -> None:
    """The start does not depend on it either."""
    http = configuration(f"http://127.0.0.1:{free_port()}", "http://127.0.0.1:1")
    async with serving(tmp_path, http) as site:
        assert await site.status(LOGIN) == 503
        assert await site.status("/v2/") == 401


@pytest.mark.needs("oidc-provider")
async def test_a_key_stands_in_for_the_clients_secret(provider: tuple[OidcProvider, int], tmp_path: Path) -> None:
    """A provider that knows no such key refuses, and nobody is logged in; a broken file is refused at the start."""
    from joserfc.jwk import ECKey

    key = tmp_path / "key.pem"
    write(key, ECKey.generate_key("P-256").as_pem(private=True))
    async with site_of(provider, tmp_path, keypath=str(key)) as site, site.client() as client:
        back = await log_in(client, f"{site.url}{LOGIN}")
        async with client.get(back, allow_redirects=False) as response:
            assert response.status == 401
    broken = tmp_path / "broken.pem"
    write(broken, b"broken")
    with pytest.raises(ValueError, match="keypath"):
        async with site_of(provider, tmp_path, keypath=str(broken)):
            pass


def write(path: Path, content: bytes) -> None:
    """Write a file."""
    path.write_bytes(content)


# --- where a browser may be sent ---

OWN = "https://zot.example.com"


@pytest.mark.parametrize(
    ("callback", "expected"),
    [
        ("", ""),
        ("/", "/"),
        ("/home?q=1#x", "/home?q=1#x"),
        (f"{OWN}/home", f"{OWN}/home"),
        ("https://ZOT.example.com:443/home", "https://ZOT.example.com:443/home"),
        ("https://ui.example.com:8443/x", "https://ui.example.com:8443/x"),
        ("//evil.example", "/"),
        ("///evil.example", "/"),
        ("/\\evil.example", "/"),
        ("\\\\evil.example", "/"),
        ("/ok\r\nSet-Cookie: x", "/"),
        ("/\tx", "/"),
        ("https://evil.example", "/"),
        ("http://zot.example.com/", "/"),
        ("https://zot.example.com.evil.example/", "/"),
        ("https://zot.example.com@evil.example/", "/"),
        ("https://evil.example\\@zot.example.com/", "/"),
        ("https:evil.example", "/"),
        ("https:/evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("data:text/html,x", "/"),
        ("home", "/"),
        ("https://ui.example.com:8444/x", "/"),
        ("https://[::1", "/"),
    ],
)
def test_a_callback_stays_here_or_at_an_allowed_origin(callback: str, expected: str) -> None:
    """A browser is never sent where an attacker wants it, whatever the attacker calls it."""
    assert safe_callback(callback, [OWN, "https://ui.example.com:8443"]) == expected


@given(st.text(max_size=60), st.sampled_from(["", "/", "//", "\\", "https://", "https:", OWN, OWN + "@", "/\\"]))
def test_no_text_leads_elsewhere(text: str, start: str) -> None:
    """What is let through is a path of this origin, or a URL of it, as browsers understand them."""
    result = safe_callback(start + text, [OWN])
    assert result == "" or result.startswith(("/", OWN))
    assert not result.startswith("//")
    assert "\\" not in result
    if result and not result.startswith("/"):
        assert origin_of(result) == OWN


# --- GitHub ---


class Github:
    """A stand-in of GitHub's OAuth endpoints and REST API."""

    def __init__(self) -> None:
        """Start with a member of an organization and 150 teams."""
        self.url = ""
        self.emails: list[dict[str, Any]] = [
            {"email": "other@example.org", "primary": False, "verified": True},
            {"email": "alice@example.org", "primary": True, "verified": True},
        ]
        self.teams = [{"slug": f"team-{n}", "organization": {"login": "example"}} for n in range(150)]
        self.teams_status = 200
        self.codes: dict[str, str] = {}

    async def answer(self, http: web.BaseRequest) -> web.StreamResponse:
        """Answer what a login asks for."""
        match http.path:
            case "/login/oauth/authorize":
                self.codes["the-code"] = http.query["code_challenge"]
                back = f"{http.query['redirect_uri']}?code=the-code&state={http.query['state']}"
                return web.Response(status=302, headers={"Location": back})
            case "/login/oauth/access_token":
                form = dict(parse_qs((await http.read()).decode()))
                if form["code"] != ["the-code"] or "code_verifier" not in form:
                    return web.json_response({"error": "bad_verification_code"})
                return web.json_response({"access_token": "the-token", "token_type": "bearer"})
        if http.headers.get("Authorization") != "Bearer the-token":
            return web.json_response({"message": "Bad credentials"}, status=401)
        page, size = int(http.query["page"]), int(http.query["per_page"])
        match http.path:
            case "/api/v3/user/emails":
                entries = self.emails
            case "/api/v3/user/orgs":
                entries = [{"login": "example"}]
            case "/api/v3/user/teams":
                entries = self.teams
                if self.teams_status != 200:
                    return web.json_response({"message": "no"}, status=self.teams_status)
            case _:
                return web.Response(status=404)
        return web.json_response(entries[(page - 1) * size : page * size])


@pytest.fixture
async def github() -> AsyncIterator[Github]:
    """Run the stand-in."""
    github = Github()
    runner = web.ServerRunner(web.Server(github.answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    github.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield github
    await runner.cleanup()


@asynccontextmanager
async def at_github(github: Github, root: Path) -> AsyncIterator[tuple[Site, aiohttp.ClientSession]]:
    """Serve a registry that logs in there."""
    provider = {
        "clientid": "zot",
        "clientsecret": "secret",
        "authurl": f"{github.url}/login/oauth/authorize",
        "tokenurl": f"{github.url}/login/oauth/access_token",
        "scopes": ["read:org", "user:email"],
    }
    async with (
        serving(root, {"auth": {"openid": {"providers": {"github": provider}}}}) as site,
        site.client() as client,
    ):
        yield site, client


async def test_github_says_who_that_is(github: Github, tmp_path: Path) -> None:
    """The primary e-mail address, with organizations and teams of all pages as groups."""
    async with at_github(github, tmp_path) as (site, client):
        async with client.get("/zot/auth/login?provider=github&callback_ui=//evil") as response:
            assert response.url.path == "/"
        assert site.auth.accounts is not None
        user = await site.auth.accounts.user("alice@example.org")
        assert user is not None
        assert set(user.groups) == {"example", *(f"example/team-{n}" for n in range(150))}
        async with client.post("/zot/auth/logout") as response:
            assert await response.json() == {}


async def test_groups_that_github_does_not_show_are_none(github: Github, tmp_path: Path) -> None:
    """Without the scope for teams the login works, without them."""
    github.teams_status = 403
    async with at_github(github, tmp_path) as (site, client):
        async with client.get("/zot/auth/login?provider=github") as response:
            assert response.status == 201
        assert site.auth.accounts is not None
        user = await site.auth.accounts.user("alice@example.org")
        assert user is not None
        assert user.groups == ("example",)


@pytest.mark.parametrize("entry", [{"primary": False, "verified": True}, {"primary": True, "verified": False}])
async def test_an_address_that_is_not_verified_is_nobody(
    github: Github, tmp_path: Path, entry: dict[str, bool]
) -> None:
    """Anybody can claim the address of somebody else."""
    github.emails = [{"email": "root@example.org", **entry}]
    async with at_github(github, tmp_path) as (_, client), client.get("/zot/auth/login?provider=github") as response:
        assert response.status == 401


async def test_nobody_fills_the_store_with_logins(
    github: Github, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beginning a login needs no credentials, so an address may do it so often and no more."""
    monkeypatch.setattr("zot.api.auth.login.LOGINS_PER_S", 3.0)
    async with at_github(github, tmp_path) as (site, client):
        statuses = []
        for _ in range(10):
            async with client.get("/zot/auth/login?provider=github", allow_redirects=False) as response:
                statuses.append(response.status)
        assert statuses[:3] == [302] * 3
        assert 429 in statuses
        assert site.stores is not None
        assert len([each async for each in site.stores.sessions.ids()]) == statuses.count(302)


async def test_github_that_is_down_is_503(github: Github, tmp_path: Path) -> None:
    """It is not known who that is, which is no refusal."""
    github.teams_status = 500
    async with at_github(github, tmp_path) as (_, client), client.get("/zot/auth/login?provider=github") as response:
        assert response.status == 503
