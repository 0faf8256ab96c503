"""The HTTP routes of search: GraphQL, the data of a login page, and the preferences of users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zot import __version__
from zot.api.build import transfer_limits
from zot.api.preferences import Preferences
from zot.auth.credentials import ResourceClass
from zot.auth.principal import Principal
from zot.extensions.declaration import ExtensionRoute, HttpContext
from zot.extensions.search.interface import Search, Visibility
from zot.extensions.search.routes import management, preferences, usage
from zot.foundation.first_use import FirstUse

if TYPE_CHECKING:
    from aiohttp import web

    from zot.api.http_request import HttpRequest
    from zot.extensions.search.routes.graphql import GraphQLRoute

GRAPHQL_PATH = "/v2/_zot/ext/search"


def routes(context: HttpContext, search: Search, visibility: Visibility) -> Sequence[ExtensionRoute]:
    """Return the routes; any client that may be anonymous may use them, and each handler decides on what it shows."""
    config, accounts = context.config, context.auth.accounts
    # graphql-core takes some 0.1 s to import: the first query waits for it, the start of a process does not.
    queries = FirstUse(lambda: _queries(context, search, visibility), context.pool)

    async def get(http: HttpRequest) -> web.StreamResponse:
        return await (await queries.get()).get(http)

    async def post(http: HttpRequest) -> web.StreamResponse:
        return await (await queries.get()).post(http)

    login_page = management.management(config, __version__)
    toggle = preferences.handler(Preferences(accounts, context.registry, context.policy))
    return [
        ExtensionRoute(GRAPHQL_PATH, "GET", ResourceClass.REGISTRY, get, _everyone),
        ExtensionRoute(GRAPHQL_PATH, "POST", ResourceClass.REGISTRY, post, _everyone),
        ExtensionRoute(management.PATH, "GET", ResourceClass.MANAGEMENT, login_page, _everyone),
        ExtensionRoute(f"{management.PATH}/", "GET", ResourceClass.MANAGEMENT, login_page, _everyone),
        ExtensionRoute(usage.PATH, "GET", ResourceClass.REGISTRY, usage.usage(context, search, visibility), _everyone),
        ExtensionRoute(preferences.PATH, "PUT", ResourceClass.REGISTRY, toggle, _everyone),
    ]


def _queries(context: HttpContext, search: Search, visibility: Visibility) -> GraphQLRoute:
    from zot.extensions.search.graphql.objects import Sources  # noqa: PLC0415
    from zot.extensions.search.routes.graphql import GraphQLRoute  # noqa: PLC0415

    sources = Sources(search, context.policy, context.auth.accounts, read_only=context.registry.read_only)
    return GraphQLRoute(sources, visibility, context.pool, transfer_limits(context.config.http))


def _everyone(_: Principal) -> bool:
    return True
