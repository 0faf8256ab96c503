"""How a start of the store opens its catalog, whichever driver it has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from zot.catalog.interface import Catalog


class CatalogEngine(Protocol):
    """One kind of catalog at one place: how it is opened, which process it needs, how it is probed and saved.

    An engine holds nothing open by itself. `str` of it names the place, for messages.
    """

    needs_writer: bool
    """Whether several processes on one catalog need `run_writer` in a process of its own."""
    log_file: Path | None
    """The file that grows with changes not yet merged into the catalog, for metrics; None if there is none."""

    def release_reserve(self) -> None:
        """Return the disk space that is held for deletes, if a start would not find the space that it needs."""

    def check(self) -> list[str]:
        """Return in sentences what a fault of the catalog's server may cost. Nothing is changed.

        It waits for the server, up to some seconds. Raises CatalogError if a start could not use it.
        """

    def exists(self) -> bool:
        """Tell whether a start has made the catalog."""

    def damage(self) -> str | None:
        """Return why the catalog is not whole, None if it is. Nothing is changed. Raises CatalogError."""

    def begin(self, owner: str) -> str:
        """Prepare the catalog for the processes of a start: made, migrated, or rebuilt of what can be read.

        `owner` is a new id, of this start. Returns the boot by which its processes tell the catalog from any other one.
        Where locks prove that the processes of all earlier owners are gone, their leases end. Raises
        CatalogUnusableError.
        """

    def open(self, owner: str) -> Catalog:
        """Begin the catalog, and open it for this process alone. Raises CatalogUnusableError."""

    def connect(self, owner: str, boot: str) -> Catalog:
        """Open the catalog that `begin` returned `boot` for, as one of several processes.

        It may be unavailable at first: `Catalog.ready` tells. Raises CatalogUnavailableError, OSError.
        """

    async def run_writer(self, boot: str, stop: asyncio.Event, ready: Callable[[], object]) -> None:
        """Carry out the changes of all processes until `stop` is set; call `ready` once they can connect.

        While the catalog of `boot` is not there, it waits.
        """

    def require_saving(self) -> None:
        """Raise CatalogError if `save` is not possible: the message names what to use."""

    def save(self, directory: Path) -> list[str]:
        """Copy the catalog as it is at one moment into a directory, durably; return the names of the files made.

        Files of these names are replaced. Readers and the writer go on. It blocks. Raises CatalogError.
        """

    def open_saved(self, directory: Path) -> Catalog:
        """Open what `save` copied into a directory, for reading. Raises CatalogError."""

    def mark_restored(self) -> None:
        """Record that no layout is in sync with the catalog, which was just put in its place from a backup.

        Durable. Raises CatalogError.
        """
