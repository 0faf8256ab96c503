"""What responds to requests for pages; everything else of the pages knows no server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from zot.api.http_request import Handler, HttpRequest
from zot.foundation.first_use import FirstUse

if TYPE_CHECKING:
    from zot.extensions.ui.routes.site import Site


def handler(site: FirstUse[Site]) -> Handler:
    """Return the handler of all pages, which makes the site for the first visitor."""

    async def handle(http: HttpRequest) -> web.StreamResponse:
        return await (await site.get()).handle(http)

    return handle
