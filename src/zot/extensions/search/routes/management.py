"""`/v2/_zot/ext/mgmt`: the version of the server and its ways to log in, for login pages and `zli status`."""

from __future__ import annotations

import msgspec
from aiohttp import web

from zot.api.http_request import Handler, HttpRequest
from zot.config.auth import AuthConfig
from zot.config.model import Config

PATH = "/v2/_zot/ext/mgmt"


def management(config: Config, release: str) -> Handler:
    """Return the handler. It answers without credentials, and tells no path, secret or group."""
    document = {
        "distSpecVersion": config.dist_spec_version,
        "commit": "",
        "releaseTag": release,
        "binaryType": "python",
        "http": {"auth": _methods(config.http.auth)},
    }
    body = msgspec.json.encode(document)

    async def get(_: HttpRequest) -> web.Response:
        headers = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}
        return web.Response(body=body, headers=headers)

    return get


def _methods(auth: AuthConfig) -> dict[str, object]:
    """Return the configured methods as zot describes them: those that it has no word for are left out."""
    methods: dict[str, object] = {}
    if auth.has_htpasswd or auth.ldap is not None:
        methods["htpasswd"] = {}  # a name and a password, wherever they are verified
    if auth.bearer is not None and auth.has_token_bearer:
        methods["bearer"] = {"realm": auth.bearer.realm, "service": auth.bearer.service}
    if auth.openid is not None and auth.has_openid:
        methods["openid"] = {"providers": {key: {"name": each.name} for key, each in auth.openid.providers.items()}}
    if auth.apikey or auth.has_openid:
        methods["apikey"] = True
    return methods
