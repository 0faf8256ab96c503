"""The catalog that ends with the process (a `CatalogEngine`): for tests of registry clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from zot.catalog.interface import Catalog, CatalogError
from zot.catalog.memory.driver import MemoryCatalog


class MemoryCatalogEngine:
    """`CatalogEngine` in memory: each `open` is another catalog, which one process has."""

    needs_writer = False
    log_file: Path | None = None

    def __str__(self) -> str:
        return "memory"

    def release_reserve(self) -> None:
        """Nothing is held."""

    def check(self) -> list[str]:
        """See `CatalogEngine`: there is no server."""
        return []

    def exists(self) -> bool:
        """See `CatalogEngine`: none outlives its process."""
        return False

    def damage(self) -> str | None:
        """See `CatalogEngine`: memory is not damaged."""
        return None

    def begin(self, owner: str) -> str:
        """See `CatalogEngine`."""
        return owner

    def open(self, owner: str) -> Catalog:
        """See `CatalogEngine`."""
        return MemoryCatalog(owner=owner)

    def connect(self, owner: str, boot: str) -> Catalog:
        """Raise CatalogError: another process does not see it."""
        del owner
        _refuse(f"connect to it in boot {boot}")

    async def run_writer(self, boot: str, stop: asyncio.Event, ready: Callable[[], object]) -> None:
        """Raise CatalogError: another process does not see it."""
        del stop, ready
        _refuse(f"write to it in boot {boot}")

    def require_saving(self) -> None:
        """Raise CatalogError."""
        _refuse("save it")

    def save(self, directory: Path) -> list[str]:
        """Raise CatalogError."""
        _refuse(f"save it to {directory}")

    def open_saved(self, directory: Path) -> Catalog:
        """Raise CatalogError."""
        _refuse(f"open a copy in {directory}")

    def mark_restored(self) -> None:
        """Raise CatalogError."""
        _refuse("restore it")


def _refuse(what: str) -> NoReturn:
    raise CatalogError(f"the catalog is in the memory of one process: no other can {what}")
