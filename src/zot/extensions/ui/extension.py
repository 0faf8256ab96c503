"""The declaration of `extensions.ui`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zot.extensions.declaration import Extension, HttpContext

if TYPE_CHECKING:
    from zot.api.http_request import Handler
    from zot.extensions.search.interface import Search, Visibility
    from zot.extensions.ui.administration.pages import Administration
    from zot.extensions.ui.routes.site import Site, Visitors


def _pages(context: HttpContext) -> Handler | None:
    search, visibility = context.search, context.visibility
    if search is None or visibility is None or not context.config.extensions.ui_enabled:
        return None
    from zot.extensions.ui.routes import handler  # noqa: PLC0415
    from zot.foundation.first_use import FirstUse  # noqa: PLC0415

    ui = context.config.extensions.ui
    if ui is not None and ui.path:
        from zot.extensions.ui.routes import zui  # noqa: PLC0415
        from zot.extensions.ui.zui_build import read_build  # noqa: PLC0415

        folder = Path(ui.path)
        return zui.handler(FirstUse(lambda: read_build(folder), context.pool))
    # The first visitor waits some 0.1 s for templates and their library; the start of a process does not.
    site = FirstUse(lambda: _site(context, search, visibility), context.pool)

    return handler(site)


def _site(context: HttpContext, search: Search, visibility: Visibility) -> Site:
    from zot.api.build import transfer_limits  # noqa: PLC0415
    from zot.api.preferences import Preferences  # noqa: PLC0415
    from zot.extensions.ui.account import AccountPage  # noqa: PLC0415
    from zot.extensions.ui.changes import PageActions  # noqa: PLC0415
    from zot.extensions.ui.documents import DocumentReader  # noqa: PLC0415
    from zot.extensions.ui.login import LoginWays  # noqa: PLC0415
    from zot.extensions.ui.page import PageParts  # noqa: PLC0415
    from zot.extensions.ui.rendering import Renderer  # noqa: PLC0415
    from zot.extensions.ui.routes.site import Site, Visitors  # noqa: PLC0415
    from zot.foundation.first_use import FirstUse  # noqa: PLC0415

    settings = context.config.http.auth
    providers = settings.openid.providers if settings.openid is not None and context.auth.logins is not None else {}
    ways = LoginWays(
        passwords=settings.has_htpasswd or settings.ldap is not None,
        providers={name: each.name or name for name, each in providers.items()},
        guests=context.policy.allows_anonymous,
    )
    visitors = Visitors(context.authorizer, context.auth, context.authenticator, ways, visibility)
    documents = DocumentReader(context.registry, context.policy, context.pool)
    parts = PageParts(
        search=search,
        catalog=context.registry.catalog,
        registry=context.registry,
        accounts=context.auth.accounts,
        policy=context.policy,
        documents=documents,
        rules=context.config.http.access_control,
        pool=context.pool,
        ask=context.ask,
        layer_files=context.layer_files,
    )
    preferences = Preferences(context.auth.accounts, context.registry, context.policy)
    changes = PageActions(context.registry, context.authorizer, search, preferences)
    account = AccountPage(context.authorizer, context.auth, context.registry, api_keys=settings.apikey)
    # What operators ask brings maintenance with it, which few visitors need.
    administration = FirstUse(lambda: _administration(context, search, visitors), context.pool)
    limits = transfer_limits(context.config.http)
    return Site(parts, visitors, changes, account, administration, Renderer(), limits)


def _administration(context: HttpContext, search: Search, visitors: Visitors) -> Administration:
    from zot.extensions.ui.administration.pages import Administration  # noqa: PLC0415
    from zot.extensions.ui.administration.parts import AdministrationParts  # noqa: PLC0415

    return Administration(
        AdministrationParts(
            config=context.config,
            ask=context.ask,
            search=search,
            authorizer=context.authorizer,
            auth=context.auth,
            is_administrator=visitors.is_administrator,
            pool=context.pool,
        )
    )


EXTENSION = Extension("ui", frozenset({"extensions.ui"}), pages=_pages)
