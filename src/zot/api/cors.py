"""Cross-Origin Resource Sharing: headers for pages of another origin (`http.allowOrigin`)."""

from __future__ import annotations

from aiohttp import web
from aiohttp.hdrs import ACCESS_CONTROL_ALLOW_CREDENTIALS as ALLOW_CREDENTIALS
from aiohttp.hdrs import ACCESS_CONTROL_ALLOW_HEADERS as ALLOW_HEADERS
from aiohttp.hdrs import ACCESS_CONTROL_ALLOW_METHODS as ALLOW_METHODS
from aiohttp.hdrs import ACCESS_CONTROL_ALLOW_ORIGIN as ALLOW_ORIGIN

from zot.api.http_request import HttpRequest

_ALLOWED_HEADERS = "Authorization,content-type,X-ZOT-API-CLIENT"

_EXTENSIONS = "/v2/_zot/ext"
_LOGOUT = "/zot/auth/logout"

# The resources that zot's web interface uses, and no others.
_METHODS = {
    "/v2/": "GET",
    "/v2/_catalog": "GET",
    "/v2/_oci/ext/discover": "GET",
    "/zot/auth/apikey": "POST,GET,DELETE",
    _LOGOUT: "POST",
    f"{_EXTENSIONS}/cosign": "POST",
    f"{_EXTENSIONS}/mgmt": "GET",
    f"{_EXTENSIONS}/notation": "POST",
    f"{_EXTENSIONS}/search": "GET,POST",
    f"{_EXTENSIONS}/userprefs": "PUT",
}
_METHODS_OF_REPOSITORY = {"manifests": "HEAD,GET,DELETE", "referrers": "GET"}


class Cors:
    """The headers that let pages of another origin use the API."""

    def __init__(self, allow_origin: str, *, credentials: bool) -> None:
        """Allow an origin (empty: `*`), with `credentials` if browsers may log in; never for every origin."""
        origin = allow_origin.strip() or "*"
        common: dict[str, str] = {ALLOW_ORIGIN: origin, ALLOW_HEADERS: _ALLOWED_HEADERS}
        if credentials and origin != "*":
            common[ALLOW_CREDENTIALS] = "true"
        self._headers: dict[str, dict[str, str]] = {
            methods: {**common, ALLOW_METHODS: f"{methods},OPTIONS"}
            for methods in {*_METHODS.values(), *_METHODS_OF_REPOSITORY.values()}
        }

    def preflight(self, http: HttpRequest) -> web.Response | None:
        """Return the response to an OPTIONS request of any client; None: the path is not for other origins.

        Its headers are those of `add_headers`.
        """
        path = http.raw_path.partition("?")[0]
        return None if _methods(path) is None else web.Response(status=200 if path == _LOGOUT else 204)

    def add_headers(self, http: HttpRequest, response: web.StreamResponse) -> None:
        """Add the headers to a response if the path is for other origins."""
        methods = _methods(http.raw_path.partition("?")[0])
        if methods is not None:
            response.headers.update(self._headers[methods])


def _methods(path: str) -> str | None:
    known = _METHODS.get(path)
    if known is not None or not path.startswith("/v2/"):
        return known
    if path.endswith("/tags/list"):
        return "GET"
    kind = path.rsplit("/", 2)[-2]
    return _METHODS_OF_REPOSITORY.get(kind)
