"""Pages of other origins may do what zot's web interface does, and never with credentials from everywhere."""

import pytest
from aiohttp import web

from loopback import LoopbackResponse, serve_handler
from zot.api.cors import Cors
from zot.api.http_request import HttpRequest

ORIGIN = "https://ui.example"


async def asked(cors: Cors, method: str, target: str) -> LoopbackResponse:
    """The answer of a server that has no other resource."""

    async def handler(http: HttpRequest) -> web.StreamResponse:
        if http.method == "OPTIONS":
            return cors.preflight(http) or web.Response(status=405)
        return web.Response()

    async with serve_handler(handler, add_headers=cors.add_headers) as server:
        return await server.ask(method, target, {"Origin": ORIGIN})


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v2/", "GET,OPTIONS"),
        ("/v2/_catalog?n=1", "GET,OPTIONS"),
        ("/v2/_oci/ext/discover", "GET,OPTIONS"),
        ("/v2/team/app/tags/list", "GET,OPTIONS"),
        ("/v2/team/app/manifests/1.0", "HEAD,GET,DELETE,OPTIONS"),
        ("/v2/manifests/manifests/manifests", "HEAD,GET,DELETE,OPTIONS"),
        ("/v2/a/referrers/sha256:0", "GET,OPTIONS"),
        ("/v2/_zot/ext/search", "GET,POST,OPTIONS"),
        ("/v2/_zot/ext/userprefs", "PUT,OPTIONS"),
        ("/zot/auth/apikey", "POST,GET,DELETE,OPTIONS"),
    ],
)
async def test_preflight_names_the_methods(path: str, methods: str) -> None:
    """OPTIONS is answered 204 with zot's headers, whoever asks."""
    answer = await asked(Cors("", credentials=True), "OPTIONS", path)
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Methods"] == methods
    assert answer.headers["Access-Control-Allow-Headers"] == "Authorization,content-type,X-ZOT-API-CLIENT"


async def test_preflight_of_logout_is_200() -> None:
    """Logout alone answers 200, as zot does."""
    assert (await asked(Cors("", credentials=False), "OPTIONS", "/zot/auth/logout")).status == 200


@pytest.mark.parametrize("path", ["/v2/a/blobs/sha256:0", "/v2/a/blobs/uploads/", "/metrics", "/livez", "/v2", "/v2/x"])
async def test_other_resources_are_not_for_pages(path: str) -> None:
    """Blobs, uploads and what is for operators are not offered to other origins."""
    cors = Cors("", credentials=False)
    assert (await asked(cors, "OPTIONS", path)).status == 405
    assert "Access-Control-Allow-Origin" not in (await asked(cors, "GET", path)).headers


@pytest.mark.parametrize("origin", ["", " ", "*", " * "])
async def test_every_origin_never_has_credentials(origin: str) -> None:
    """Any page may read what anybody may read, and cannot act as the user who looks at it."""
    headers = (await asked(Cors(origin, credentials=True), "GET", "/v2/")).headers
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in headers


async def test_one_origin_may_have_credentials() -> None:
    """The configured origin is named in each answer, with credentials if there is a way to log in."""
    headers = (await asked(Cors(ORIGIN, credentials=True), "GET", "/v2/a/tags/list")).headers
    assert headers["Access-Control-Allow-Origin"] == ORIGIN
    assert headers["Access-Control-Allow-Credentials"] == "true"
    headers = (await asked(Cors(ORIGIN, credentials=False), "GET", "/v2/a/tags/list")).headers
    assert "Access-Control-Allow-Credentials" not in headers
