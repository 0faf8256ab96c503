"""The declaration of `extensions.events`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from zot.extensions.declaration import Extension

if TYPE_CHECKING:
    from zot.config.model import Config
    from zot.maintenance.build import MaintenanceParts


def _consumers(config: Config, parts: MaintenanceParts) -> Sequence[Callable[[], Awaitable[None]]]:
    if not config.extensions.events_enabled:
        return ()
    from zot.extensions.events.build import consumers  # noqa: PLC0415 (brings the sinks)

    return consumers(config, parts)


EXTENSION = Extension("events", frozenset({"extensions.events"}), exclusive_consumers=_consumers)
