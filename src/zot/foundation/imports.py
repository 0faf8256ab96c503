"""How a quick start imports: rare libraries when they are used, the rest without looking for garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any


class LazyModule:
    """Stands for a module until one of its names is used, which imports it.

    For libraries of some tens of milliseconds that few configurations need. Write the plain import below
    `TYPE_CHECKING`, and this in the `else`.
    """

    def __init__(self, name: str) -> None:
        """Stand for the module of this full name."""
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._name), name)


@contextmanager
def uncollected() -> Iterator[None]:
    """Suspend garbage collection during a block that imports: what it makes lives as long as the process.

    So it is never looked at by a later collection either, of which the first would look at all of it. For starts alone.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.freeze()
            gc.enable()
