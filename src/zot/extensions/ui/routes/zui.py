"""Serves a build of zui: its files, and its `index.html` for the addresses that its script knows."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from aiohttp import web

from zot.api.conditional import entity_tag, is_current
from zot.api.errors import method_not_allowed
from zot.api.http_request import Handler, HttpRequest
from zot.extensions.ui.page import SECURITY_HEADERS, USE_PAGES
from zot.extensions.ui.zui_build import INDEX, ZuiBuildError, ZuiFile
from zot.foundation.first_use import FirstUse
from zot.foundation.threads import ThreadPoolBusyError
from zot.registry.errors import Unavailable

# Its library of components writes style elements; all else comes from this server.
_SECURITY = {
    **SECURITY_HEADERS,
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "font-src 'self'; img-src 'self' data:; connect-src 'self'; manifest-src 'self'; form-action 'self'; "
    "base-uri 'self'; frame-ancestors 'none'",
}
_ROUTES = frozenset({"", "home", "explore", "image", "login", "user"})
"""The first segments of the addresses that zui's script knows."""


def handler(build: FirstUse[Mapping[str, ZuiFile]]) -> Handler:
    """Return the handler of all paths that are no API; it needs no login, as its files tell nothing of the registry."""

    async def handle(http: HttpRequest) -> web.StreamResponse:
        http.request = USE_PAGES
        if http.method not in {"GET", "HEAD"}:
            raise method_not_allowed(http.method, "GET", "HEAD")
        try:
            files = await build.get()
        except (ZuiBuildError, ThreadPoolBusyError) as error:
            raise Unavailable(f"zui cannot be served: {error}") from error
        path = unquote(http.raw_path.partition("?")[0])
        found = files.get(path) or (files[INDEX] if path.split("/")[1] in _ROUTES else None)
        if found is None:
            return web.Response(status=404, text="404: not found", headers=_SECURITY)
        return _response(http, found)

    return handle


def _response(http: HttpRequest, file: ZuiFile) -> web.Response:
    headers = {
        **_SECURITY,
        "ETag": entity_tag(file.digest),
        "Cache-Control": "public, max-age=31536000, immutable" if file.immutable else "no-cache",
        "Vary": "Accept-Encoding",
    }
    if is_current(http, file.digest):
        return web.Response(status=304, headers=headers)
    headers["Content-Type"] = file.content_type
    if file.compressed is not None and "gzip" in http.headers.get("Accept-Encoding", ""):
        return web.Response(body=file.compressed, headers={**headers, "Content-Encoding": "gzip"})
    return web.Response(body=file.content, headers=headers)
