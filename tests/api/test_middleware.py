"""Each request has a name of its own."""

from ipaddress import ip_network

import pytest
from aiohttp import web

from loopback import serve_handler
from zot.api.client_address import ClientAddresses
from zot.api.http_request import HttpRequest
from zot.api.middleware import RequestIds
from zot.logs.fields import REQUEST_ID

NOBODY = ClientAddresses()
LOOPBACK = ClientAddresses([ip_network("127.0.0.0/8")])


async def named(ids: RequestIds, headers: dict[str, str]) -> str:
    """The name that a request got."""

    async def handler(http: HttpRequest) -> web.StreamResponse:
        name = ids.begin(http)
        assert http.request_id == REQUEST_ID.get() == name
        return web.Response(text=name)

    async with serve_handler(handler) as server:
        return (await server.ask("GET", "/", headers)).body.decode()


async def test_names_differ() -> None:
    """No two requests have the same name, in whatever process."""
    ids, others = RequestIds(NOBODY), RequestIds(NOBODY)
    assert len({await named(ids, {}), await named(ids, {}), await named(others, {})}) == 3


async def test_a_trusted_proxys_name_is_kept() -> None:
    """What a trusted proxy called the request, it is called here."""
    assert await named(RequestIds(LOOPBACK), {"X-Request-Id": "abc-123"}) == "abc-123"


@pytest.mark.parametrize("given", ["", "a b", 'a"b', "x" * 129, "a\tb", "ä"])
async def test_a_name_that_is_none_is_replaced(given: str) -> None:
    """What could confuse a log is no name, even from a trusted proxy."""
    assert await named(RequestIds(LOOPBACK), {"X-Request-Id": given}) != given


async def test_a_strangers_name_is_not_taken() -> None:
    """A client cannot make its requests look like another's."""
    assert await named(RequestIds(NOBODY), {"X-Request-Id": "abc-123"}) != "abc-123"
