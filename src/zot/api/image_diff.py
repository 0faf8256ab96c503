"""`/v2/_zot/ext/diff`: in what two images differ."""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import web

from zot.api.application import Routes
from zot.api.authorization import Authorizer
from zot.api.http_request import HttpRequest
from zot.api.query import QueryFields
from zot.oci.image_diff import image_diff
from zot.registry.image_content import read_image
from zot.registry.registry import Registry
from zot.registry.request import DiffImages, Request

PATH = "/v2/_zot/ext/diff"

AT_ONCE = 4
"""Comparisons made concurrently: each may hold two manifests and two configs of some MiB."""


def routes(registry: Registry, authorizer: Authorizer) -> Routes:
    """Return the route `?before=IMAGE&after=IMAGE[&platform=OS/ARCH]`, images being `NAME:TAG` or `NAME@DIGEST`."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def respond(http: HttpRequest) -> web.Response:
        query = QueryFields(http)
        request = DiffImages(query.image("before"), query.image("after"), query.one("platform"))
        http.request = request
        call = await authorizer.authorize(http, request)

        def may(other: Request) -> bool:
            return authorizer.policy.decide(call.principal, other, call.context).allowed

        async with turns:
            before = await read_image(registry, request.before, request.platform, may)
            after = await read_image(registry, request.after, request.platform, may)
        body = msgspec.json.encode(image_diff(before, after))
        headers = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}
        return web.Response(body=body, headers=headers)

    return {PATH: {"GET": respond}}
