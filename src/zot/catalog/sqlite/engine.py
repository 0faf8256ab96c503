"""The embedded catalog: a database in a directory, changed by one writer (a `CatalogEngine`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from zot.catalog.interface import Catalog
from zot.catalog.sqlite import recovery
from zot.catalog.sqlite.directory import DATABASE
from zot.catalog.sqlite.disk_reserve import DiskReserve
from zot.catalog.sqlite.driver import connect, open_in_thread
from zot.catalog.sqlite.server import open_begun, serve
from zot.catalog.sqlite.snapshot import make_exports_due, open_snapshot, snapshot
from zot.config.state_directory import StateDirectory, socket_address


class SqliteCatalogEngine:
    """`CatalogEngine` on SQLite; its laws are stated there."""

    needs_writer = True

    def __init__(self, state: StateDirectory, *, syncs: bool = True) -> None:
        """Without `syncs` no commit waits for the disk."""
        self._directory = state.catalog
        self._database = state.catalog_database
        self._socket = state.writer_socket
        self._syncs = syncs
        self.log_file: Path | None = self._database.with_name(f"{DATABASE}-wal")

    def __str__(self) -> str:
        return str(self._database)

    def release_reserve(self) -> None:
        """See `CatalogEngine`."""
        DiskReserve(self._directory).release_at_start()

    def check(self) -> list[str]:
        """See `CatalogEngine`: there is no server."""
        return []

    def exists(self) -> bool:
        """See `CatalogEngine`."""
        return self._database.exists()

    def damage(self) -> str | None:
        """See `CatalogEngine`."""
        return recovery.damage_of(self._database)

    def begin(self, owner: str) -> str:
        """See `CatalogEngine`."""
        return recovery.begin(self._directory, owner, syncs=self._syncs)

    def open(self, owner: str) -> Catalog:
        """See `CatalogEngine`: the writer is a thread."""
        return open_in_thread(self._directory, owner, syncs=self._syncs)

    def connect(self, owner: str, boot: str) -> Catalog:
        """See `CatalogEngine`."""
        # A long path is shortened by a descriptor of its directory, which has to be there.
        return connect(self._directory, socket_address(self._socket), owner, boot)

    async def run_writer(self, boot: str, stop: asyncio.Event, ready: Callable[[], object]) -> None:
        """See `CatalogEngine`."""
        writer = await open_begun(self._directory, boot, stop, syncs=self._syncs)
        if writer is not None:
            await serve(writer, socket_address(self._socket), stop, ready)

    def require_saving(self) -> None:
        """See `CatalogEngine`: it always is."""

    def save(self, directory: Path) -> list[str]:
        """See `CatalogEngine`."""
        target = directory / DATABASE
        target.unlink(missing_ok=True)
        snapshot(self._database, target)
        return [DATABASE]

    def open_saved(self, directory: Path) -> Catalog:
        """See `CatalogEngine`."""
        return open_snapshot(directory / DATABASE)

    def mark_restored(self) -> None:
        """See `CatalogEngine`."""
        make_exports_due(self._database)
