"""The declaration of `extensions.search`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from zot.extensions.declaration import Extension, ExtensionRoute, HttpContext

if TYPE_CHECKING:
    from zot.config.model import Config
    from zot.maintenance.build import MaintenanceParts


def _consumers(config: Config, parts: MaintenanceParts) -> Sequence[Callable[[], Awaitable[None]]]:
    if not config.extensions.search_enabled:
        return ()
    from zot.extensions.search.index.build import consumers  # noqa: PLC0415 (brings the index)

    return consumers(config, parts)


def _routes(context: HttpContext) -> Sequence[ExtensionRoute]:
    search, visibility = context.search, context.visibility
    if search is None or visibility is None or not context.config.extensions.search_enabled:
        return ()
    from zot.extensions.search.routes import routes  # noqa: PLC0415 (brings the index)

    return routes(context, search, visibility)


EXTENSION = Extension("search", frozenset({"extensions.search"}), routes=_routes, consumers=_consumers)
