"""The declaration of the file lists of layers: what makes them. Pages show them (`extensions.ui`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from zot.extensions.declaration import Extension

if TYPE_CHECKING:
    from zot.config.model import Config
    from zot.maintenance.build import MaintenanceParts


def _consumers(config: Config, parts: MaintenanceParts) -> Sequence[Callable[[], Awaitable[None]]]:
    layers = config.extensions.layer_files
    if layers is None:
        return ()
    from zot.config.state_directory import StateDirectory  # noqa: PLC0415
    from zot.extensions.layers.lister import LayerLister  # noqa: PLC0415

    path = StateDirectory.of(config.storage).layers_database
    return (LayerLister(path, parts.registry, layers.max_bytes).run,)


EXTENSION = Extension("layers", frozenset(), consumers=_consumers)
