"""Workloads by the ID tokens of an issuer that the test runs itself."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import pytest
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import RSAKey

from auth.harness import Site, serving
from zot.auth import issuer as issuer_module
from zot.config.errors import ConfigurationError


class Platform:
    """An issuer: its metadata, its keys, and tokens for its workloads."""

    def __init__(self) -> None:
        """Start with one key, and working."""
        self.key = RSAKey.generate_key(2048, {"kid": "1"})
        self.url = ""
        self.status = 200
        self.metadata: dict[str, Any] = {}
        self.asked = 0
        self.hangs: asyncio.Event | None = None

    async def answer(self, http: web.BaseRequest) -> web.StreamResponse:
        """Answer what OpenID Connect Discovery asks for."""
        self.asked += 1
        if self.hangs is not None:
            await self.hangs.wait()
        if self.status != 200:
            return web.Response(status=self.status, headers={"Location": f"{self.url}/elsewhere"})
        if http.path == "/keys":
            return web.json_response({"keys": [self.key.as_dict(private=False)]})
        return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/keys", **self.metadata})

    def token(self, key: RSAKey | None = None, **claims: Any) -> str:
        """Make the token of a workload."""
        now_s = int(time.time())
        full = {"iss": self.url, "aud": "zot", "sub": "repo:team/app", "iat": now_s, "exp": now_s + 60, **claims}
        signer = key or self.key
        full = {name: value for name, value in full.items() if value is not None}
        return jwt.encode({"alg": "RS256", "kid": signer.kid}, full, signer)


@asynccontextmanager
async def running(platform: Platform) -> AsyncIterator[None]:
    """Serve the issuer."""
    runner = web.ServerRunner(web.Server(platform.answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    platform.url = platform.url or f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield
    finally:
        await runner.cleanup()


@pytest.fixture
async def platform(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Platform]:
    """Give an issuer that may be asked as often as a test likes."""
    monkeypatch.setattr(issuer_module, "RETRY_INTERVAL_S", 0.0)
    platform = Platform()
    async with running(platform):
        yield platform


RULES: dict[str, Any] = {
    "repositories": {
        "team/**": {
            "policies": [
                {"groups": ["team"], "actions": ["read"], "conditions": [{"expression": "req.claims.ref == 'main'"}]}
            ]
        }
    }
}


def configuration(platform: Platform, mapping: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Trust the issuer, for the audience zot."""
    entry = {"issuer": platform.url, "audiences": ["zot", "other"], **more}
    if mapping is not None:
        entry["claimMapping"] = mapping
    return {"auth": {"bearer": {"realm": "https://zot.example/zot/auth/token", "service": "zot", "oidc": [entry]}}}


async def status(site: Site, token: str, path: str = "/v2/") -> int:
    """Ask with a token."""
    return await site.status(path, headers={"Authorization": f"Bearer {token}"})


async def test_a_token_of_the_issuer_is_a_login(tmp_path: Path, platform: Platform) -> None:
    """And none, or one of anybody else, is not; the challenge says where tokens are to be had."""
    async with serving(tmp_path, configuration(platform)) as site:
        assert await status(site, platform.token()) == 200
        assert await status(site, platform.token(aud=["x", "other"])) == 200
        for wrong in (
            platform.token(aud="x"),
            platform.token(aud=None),
            platform.token(iss="https://other.example"),
            platform.token(exp=1),
            platform.token(exp=None),
            platform.token(RSAKey.generate_key(2048, {"kid": "1"})),
            platform.token(sub=None),
            "garbled",
        ):
            assert await status(site, wrong) == 401
        async with site.client() as client, client.get("/v2/") as response:
            assert response.status == 401
            realm = 'Bearer realm="https://zot.example/zot/auth/token",service="zot",scope=""'
            assert response.headers["WWW-Authenticate"] == realm
        assert await site.status("/v2/", headers={"Authorization": "Basic YTpi"}) == 401


async def test_claims_are_mapped_and_conditions_see_them(tmp_path: Path, platform: Platform) -> None:
    """Variables, validations, name and groups by expressions; then the rules hold as for everybody."""
    mapping = {
        "variables": [{"name": "team", "expression": "claims.sub.split(':')[1].split('/')[0]"}],
        "validations": [{"expression": "claims.env == 'production'", "message": "only production"}],
        "username": "'ci-' + vars.team",
        "groups": "[vars.team]",
    }
    http = {**configuration(platform, mapping), "accessControl": RULES}
    async with serving(tmp_path, http) as site:
        path = "/v2/team/app/tags/list"
        assert await status(site, platform.token(env="production", ref="main"), path) == 404
        assert await status(site, platform.token(env="production", ref="dev"), path) == 403
        assert await status(site, platform.token(env="production"), path) == 403
        assert await status(site, platform.token(env="production", ref="main", sub="repo:other/app"), path) == 403
        assert await status(site, platform.token(env="test", ref="main"), path) == 401
        assert await status(site, platform.token(ref="main"), path) == 401
        assert await status(site, platform.token(env="production", sub="odd"), path) == 401


@pytest.mark.parametrize("mapping", [{"username": "claims.groups"}, {"groups": "claims.sub"}, {"username": "''"}])
async def test_a_mapping_that_gives_no_identity_lets_nobody_in(
    tmp_path: Path, platform: Platform, mapping: dict[str, str]
) -> None:
    """A name is a text that is not empty, and groups are a list of texts."""
    async with serving(tmp_path, configuration(platform, mapping)) as site:
        assert await status(site, platform.token(groups=["a"])) == 401


async def test_a_mapping_that_does_not_compile_is_refused_at_the_start(tmp_path: Path, platform: Platform) -> None:
    """The error names the expression."""
    with pytest.raises(ConfigurationError, match=r"oidc\[0\]\.claimMapping\.username"):
        async with serving(tmp_path, configuration(platform, {"username": "nothing.at.all"})):
            pass


async def test_a_new_key_is_fetched_when_a_token_names_it(tmp_path: Path, platform: Platform) -> None:
    """And the issuer is not asked for each token."""
    async with serving(tmp_path, configuration(platform)) as site:
        assert await status(site, platform.token()) == 200
        asked = platform.asked
        assert await status(site, platform.token(sub="another")) == 200
        assert platform.asked == asked
        platform.key = RSAKey.generate_key(2048, {"kid": "2"})
        assert await status(site, platform.token()) == 200


async def test_an_issuer_that_is_asked_too_often_is_spared(
    tmp_path: Path, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forged tokens do not make requests to it, but one in a while."""
    monkeypatch.setattr(issuer_module, "RETRY_INTERVAL_S", 3600.0)
    forger = RSAKey.generate_key(2048, {"kid": "9"})
    async with serving(tmp_path, configuration(platform)) as site:
        assert await status(site, platform.token()) == 200
        asked = platform.asked
        for _ in range(10):
            assert await status(site, platform.token(forger)) == 401
        assert platform.asked == asked


async def test_a_hanging_issuer_delays_no_token_of_a_known_key(
    tmp_path: Path, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither when what is known has to be refreshed, nor while a stranger sends tokens of other keys."""
    # A request that waited for the issuer would wait until the test's timeout ends it.
    monkeypatch.setattr(issuer_module, "FETCH_TIMEOUT_S", 3600.0)
    async with serving(tmp_path, configuration(platform)) as site:
        assert await status(site, platform.token()) == 200
        monkeypatch.setattr(issuer_module, "FRESH_S", -1.0)
        platform.hangs = asyncio.Event()
        for _ in range(3):
            assert await status(site, platform.token()) == 200
        while platform.asked <= 2:  # noqa: ASYNC110 (the issuer has no event)
            await asyncio.sleep(0.01)
        # A wrong signature under a known name is refused at once, too.
        assert await status(site, platform.token(RSAKey.generate_key(2048, {"kid": "1"}))) == 401
        stranger = asyncio.create_task(status(site, platform.token(RSAKey.generate_key(2048, {"kid": "9"}))))
        asked = platform.asked
        for _ in range(3):
            assert await status(site, platform.token()) == 200
        assert platform.asked == asked
        platform.hangs.set()
        assert await stranger == 401


async def test_a_hanging_issuer_of_which_nothing_is_known_is_503(
    tmp_path: Path, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a bounded time, for all who wait together, and it heals."""
    monkeypatch.setattr(issuer_module, "FETCH_TIMEOUT_S", 2.0)
    platform.hangs = asyncio.Event()
    async with serving(tmp_path, configuration(platform)) as site:
        statuses = await asyncio.gather(*(status(site, platform.token()) for _ in range(5)))
        assert statuses == [503] * 5
        assert platform.asked == 1
        platform.hangs.set()
        platform.hangs = None
        assert await status(site, platform.token()) == 200


@pytest.mark.parametrize("iss", [["x"], {"a": 1}, 5, True, None, ""])
async def test_an_issuer_of_another_type_is_a_refusal(tmp_path: Path, platform: Platform, iss: object) -> None:
    """On requests and at the token endpoint, with logins in the browser beside it."""
    http = configuration(platform)
    http["auth"]["openid"] = {
        "providers": {"oidc": {"clientid": "zot", "issuer": "https://login.example", "scopes": ["openid"]}}
    }
    claims = {"iss": iss, "aud": "zot", "sub": "x", "exp": int(time.time()) + 60}
    token = jwt.encode({"alg": "RS256", "kid": "1"}, claims, platform.key)
    async with serving(tmp_path, http) as site:
        assert await status(site, token) == 401
        assert await site.status("/zot/auth/token", "POST", data={"password": token}) == 401


@pytest.mark.parametrize("aud", ["elsewhere", ["elsewhere", "there"], 5])
async def test_a_wrong_audience_is_said_so(tmp_path: Path, platform: Platform, aud: object) -> None:
    """The token of a CI system that is meant for another service is not called one of an unknown issuer."""
    async with serving(tmp_path, configuration(platform)) as site, site.client() as client:
        token = platform.token(aud=aud)
        expected = f"the token is for the audience {aud!r}, this registry accepts 'other' or 'zot'"
        async with client.get("/v2/", headers={"Authorization": f"Bearer {token}"}) as response:
            assert (response.status, await description(response)) == (401, expected)
        async with client.post("/zot/auth/token", data={"password": token}) as response:
            assert (response.status, await description(response)) == (401, expected)
        async with client.get("/v2/", headers={"Authorization": f"Bearer {platform.token(iss='x')}"}) as response:
            assert await description(response) == "the token is not of a known issuer"


async def description(response: aiohttp.ClientResponse) -> str:
    """Give what a refusal says about the case."""
    text: str = (await response.json())["errors"][0]["detail"]["description"]
    return text


@pytest.mark.parametrize("broken", [500, 302, 404])
async def test_an_issuer_that_is_down_is_no_wrong_token_and_heals(
    tmp_path: Path, platform: Platform, broken: int
) -> None:
    """503 and never a success; a redirect is not followed."""
    platform.status = broken
    async with serving(tmp_path, configuration(platform)) as site:
        assert await status(site, platform.token()) == 503
        platform.status = 200
        assert await status(site, platform.token()) == 200
        platform.status = broken
        assert await status(site, platform.token()) == 200


@pytest.mark.parametrize("metadata", [{"issuer": "https://evil.example"}, {"jwks_uri": 5}, {"jwks_uri": "nowhere"}])
async def test_metadata_that_do_not_fit_are_not_believed(
    tmp_path: Path, platform: Platform, metadata: dict[str, Any]
) -> None:
    """An issuer says who it is, and where its keys are."""
    platform.metadata = metadata
    async with serving(tmp_path, configuration(platform)) as site:
        assert await status(site, platform.token()) == 503


async def test_another_name_of_the_issuer_is_accepted_if_so_configured(tmp_path: Path, platform: Platform) -> None:
    """`skipIssuerVerification` is for issuers behind another address."""
    platform.metadata = {"issuer": "https://inside.example"}
    async with serving(tmp_path, configuration(platform, skipIssuerVerification=True)) as site:
        assert await status(site, platform.token(iss="https://inside.example")) == 200


async def test_people_and_workloads_use_the_same_registry(tmp_path: Path, platform: Platform) -> None:
    """Basic credentials go on working beside ID tokens."""
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    file = tmp_path / "htpasswd"
    write(file, f"alice:{hashed}\n")
    http = configuration(platform)
    http["auth"]["htpasswd"] = {"path": str(file)}
    async with serving(tmp_path, http) as site:
        basic = base64.b64encode(b"alice:secret").decode()
        assert await site.status("/v2/", headers={"Authorization": f"Basic {basic}"}) == 200
        assert await status(site, platform.token()) == 200
        async with site.client() as client, client.get("/v2/") as response:
            assert response.headers["WWW-Authenticate"].startswith("Basic")


def write(path: Path, text: str) -> None:
    """Write a file."""
    path.write_text(text)


# --- the token endpoint ---


async def test_a_token_is_exchanged_for_a_password(tmp_path: Path, platform: Platform) -> None:
    """A client that knows user and password only sends the ID token as the password, or in a form."""
    async with serving(tmp_path, configuration(platform)) as site, site.client() as client:
        token = platform.token()
        basic = base64.b64encode(f"any:{token}".encode()).decode()
        async with client.get(
            "/zot/auth/token?service=zot&scope=x", headers={"Authorization": f"Basic {basic}"}
        ) as response:
            assert response.status == 200
            assert response.headers["Cache-Control"] == "no-store"
            issued = await response.json()
        assert issued["token"] == issued["access_token"] == token
        assert 0 < issued["expires_in"] <= 60
        assert await status(site, issued["token"]) == 200
        for field in ("password", "id_token", "access_token", "refresh_token", "token"):
            async with client.post("/zot/auth/token", data={"grant_type": "password", field: token}) as response:
                assert response.status == 200


async def test_what_is_no_workloads_token_is_refused(tmp_path: Path, platform: Platform) -> None:
    """With a Basic challenge: ours but not valid, of a browser's login, or of nobody known."""
    http = configuration(platform)
    http["auth"]["openid"] = {
        "providers": {"oidc": {"clientid": "zot", "issuer": "https://login.example", "scopes": ["openid"]}}
    }
    async with serving(tmp_path, http) as site, site.client() as client:
        forged = platform.token(RSAKey.generate_key(2048, {"kid": "1"}))
        for secret in (forged, platform.token(exp=1), platform.token(iss="https://login.example"), "password", ""):
            async with client.post("/zot/auth/token", data={"password": secret}) as response:
                assert response.status == 401
                assert response.headers["WWW-Authenticate"] == 'Basic realm="https://zot.example/zot/auth/token"'
        assert await site.status("/zot/auth/token") == 401
        assert await site.status("/zot/auth/token", "POST", data=b"x" * 70_000) == 413
        assert await site.status("/zot/auth/token", "POST", data=b"\xff=\xfe") == 400


async def test_other_credentials_go_to_the_endpoint_upstream(tmp_path: Path, platform: Platform) -> None:
    """With its own service in place of the client's, without cookies, and its answer is passed on."""
    seen: list[dict[str, Any]] = []

    async def answer(http: web.BaseRequest) -> web.StreamResponse:
        body = (await http.read()).decode()
        seen.append({"query": http.query_string, "body": body, "headers": dict(http.headers)})
        headers = {"Location": "https://evil.example"} if "redirect" in body else {}
        return web.json_response({"token": "upstream"}, status=302 if headers else 200, headers=headers)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    http = configuration(platform)
    realm = f"http://127.0.0.1:{runner.addresses[0][1]}/token?fixed=1"
    http["auth"]["bearer"]["upstreamTokenEndpoint"] = {"realm": realm, "service": "up", "allowInsecureHttp": True}
    async with serving(tmp_path, http) as site, site.client() as client:
        basic = {"Authorization": "Basic YTpi", "Cookie": "session=secret"}
        async with client.get("/zot/auth/token?service=zot&scope=repository:a:pull", headers=basic) as response:
            assert (response.status, await response.json()) == (200, {"token": "upstream"})
        assert seen[0]["query"] == "fixed=1&scope=repository:a:pull&service=up"
        assert seen[0]["headers"]["Authorization"] == "Basic YTpi"
        assert "Cookie" not in seen[0]["headers"]
        async with client.post("/zot/auth/token", data={"service": "zot", "password": "redirect"}) as response:
            assert response.status == 302
            assert "Location" not in response.headers
        assert seen[1]["body"] == "password=redirect&service=up"
        assert await site.status("/zot/auth/token?" + "a=b&" * 101) == 400
        assert await site.status("/zot/auth/token", "POST", data=b"password=\xff") == 400
        await runner.cleanup()
        assert await site.status("/zot/auth/token", headers={"Authorization": "Basic YTpi"}) == 502
