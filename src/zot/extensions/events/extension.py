"""The declaration of `extensions.events`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from zot.extensions.declaration import Extension, ExtensionRoute, HttpContext

if TYPE_CHECKING:
    from zot.config.model import Config
    from zot.maintenance.build import MaintenanceParts


def _consumers(config: Config, parts: MaintenanceParts) -> Sequence[Callable[[], Awaitable[None]]]:
    if not config.extensions.events_enabled:
        return ()
    from zot.extensions.events.build import consumers  # noqa: PLC0415 (brings the sinks)

    return consumers(config, parts)


def _routes(context: HttpContext) -> Sequence[ExtensionRoute]:
    if not context.config.extensions.events_enabled:
        return ()
    from zot.auth.credentials import ResourceClass  # noqa: PLC0415
    from zot.extensions.events.routes import watch  # noqa: PLC0415 (brings the HTTP server)

    # Any client that may be anonymous may watch; the handler decides on what it sees.
    return (ExtensionRoute(watch.PATH, "GET", ResourceClass.REGISTRY, watch.watch(context), lambda _: True),)


EXTENSION = Extension("events", frozenset({"extensions.events"}), routes=_routes, exclusive_consumers=_consumers)
