"""The HTTP routes of search: GraphQL, the data of a login page, and the preferences of users."""

from __future__ import annotations

from collections.abc import Sequence

from zot import __version__
from zot.api.build import transfer_limits
from zot.auth.credentials import ResourceClass
from zot.auth.principal import Principal
from zot.extensions.declaration import ExtensionRoute, HttpContext
from zot.extensions.search.graphql.objects import Sources
from zot.extensions.search.interface import Search, Visibility
from zot.extensions.search.routes import graphql, management, preferences


def routes(context: HttpContext, search: Search, visibility: Visibility) -> Sequence[ExtensionRoute]:
    """Return the routes; any client that may be anonymous may use them, and each handler decides on what it shows."""
    config, accounts = context.config, context.auth.accounts
    sources = Sources(search, context.policy, accounts, read_only=context.registry.read_only)
    queries = graphql.GraphQLRoute(sources, visibility, context.pool, transfer_limits(config.http))
    login_page = management.management(config, __version__)
    toggle = preferences.preferences(accounts, context.registry, context.policy)
    return [
        ExtensionRoute(graphql.PATH, "GET", ResourceClass.REGISTRY, queries.get, _everyone),
        ExtensionRoute(graphql.PATH, "POST", ResourceClass.REGISTRY, queries.post, _everyone),
        ExtensionRoute(management.PATH, "GET", ResourceClass.MANAGEMENT, login_page, _everyone),
        ExtensionRoute(f"{management.PATH}/", "GET", ResourceClass.MANAGEMENT, login_page, _everyone),
        ExtensionRoute(preferences.PATH, "PUT", ResourceClass.REGISTRY, toggle, _everyone),
    ]


def _everyone(_: Principal) -> bool:
    return True
