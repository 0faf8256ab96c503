"""The embedded catalog as its users see it: reads of their own, changes through the one writer."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

from zot.catalog.clock import Source
from zot.catalog.command import Command
from zot.catalog.interface import Outcome
from zot.catalog.layout_snapshot import read_layout_snapshot
from zot.catalog.rows import LayoutSnapshot
from zot.catalog.sqlite.client import WriterClient
from zot.catalog.sqlite.directory import DATABASE
from zot.catalog.sqlite.reader import Reader
from zot.catalog.sqlite.thread import WriterThread
from zot.catalog.sqlite.writer import Writer
from zot.oci.names import Repository


class Submitter(Protocol):
    """The way to the writer."""

    async def do(self, command: Command[Outcome]) -> Outcome:
        """Carry out a change, as `Catalog.do`."""

    async def close(self) -> None:
        """Close it."""


class SqliteCatalog(Reader):
    """A `Catalog` on SQLite."""

    def __init__(
        self, path: Path, submitter: Submitter, owner: str, source: Source = time.time_ns, boot: str | None = None
    ) -> None:
        """Read the database at `path` (with `boot`: if it holds that one), and give changes to `submitter`."""
        super().__init__(path, source, boot)
        self._submitter = submitter
        self.owner = owner

    async def do(self, command: Command[Outcome]) -> Outcome:
        """Carry out a change and return its outcome."""
        return await self._submitter.do(command)

    async def layout_snapshot(self, repository: Repository, limit: int, limit_bytes: int) -> LayoutSnapshot | None:
        """Return all that a repository's layout has to show, in one transaction."""
        with self.one_moment():
            return await read_layout_snapshot(self, repository, limit, limit_bytes)

    async def close(self) -> None:
        """Finish what was begun and close everything."""
        self.stop_reading()
        await self._submitter.close()


def open_in_thread(directory: Path, owner: str, source: Source = time.time_ns, *, syncs: bool = True) -> SqliteCatalog:
    """Open the catalog in `directory` with its writer as a thread of this process.

    `owner` is a new id of this start of the server. The caller holds the locks of the roots, so the leases of all other
    owners end. Without `syncs` no commit waits for the disk. Raises CatalogUnusableError.
    """
    writer = Writer(directory, owner, source, syncs=syncs)
    return SqliteCatalog(directory / DATABASE, WriterThread(writer), owner, source, writer.boot)


def connect(directory: Path, socket_path: Path, owner: str, boot: str | None = None) -> SqliteCatalog:
    """Use the catalog in `directory` whose writer (`server.serve`) listens at `socket_path`, or will.

    Until it does, commands wait for it up to their deadline. Reads raise CatalogUnavailableError while the database is
    not there, or holds another boot than `boot`.
    """
    return SqliteCatalog(directory / DATABASE, WriterClient(socket_path), owner, boot=boot)
