"""Whose `index.json` it is: ours, or one that another program wrote since."""

from __future__ import annotations

import asyncio
import logging
from typing import NamedTuple

from zot.catalog.command import ChangeSource
from zot.catalog.interface import Catalog
from zot.catalog.layout_commands import FinishExport, QueueExport
from zot.catalog.manifest_commands import RemoveRepository
from zot.catalog.rows import ExportRow
from zot.layout.export_stamp import ExportStamp, parse_export_stamp
from zot.layout.index_json import Index, InvalidLayoutError
from zot.layout.interface import FileSignature, IndexFile, IndexVersion, LayoutFiles
from zot.layout.reconcile import Reconciler
from zot.oci.names import Repository
from zot.storage.interface import StorageError

_log = logging.getLogger(__name__)

# A program that writes in place is done within a second.
_TRIES = 4
_RETRY_S = 1.0


class SeenIndex(NamedTuple):
    """The `index.json` that was looked at; without a signature there was none."""

    signature: FileSignature | None
    whole: bool = False
    """Whether the files of all manifests that it lists are there for sure."""


class ForeignEdits:
    """Finds what others wrote to the layouts of adopted repositories, and has it merged."""

    def __init__(self, catalog: Catalog, files: LayoutFiles, merger: Reconciler, *, retry_s: float = _RETRY_S) -> None:
        """Read a torn file again after `retry_s`."""
        self._catalog = catalog
        self._files = files
        self._merger = merger
        self._retry_s = retry_s

    async def settle(self, repository: Repository) -> SeenIndex:
        """Merge what is not ours, and return what was looked at.

        That includes a file that an export replaced and nobody looked at, because the server died. A file that stays
        unreadable is given up: the next export replaces it. Raises StorageError, CatalogError.
        """
        await self._settle_replaced(repository)
        return await self._settle(repository, IndexVersion.CURRENT)

    async def check(self, repository: Repository) -> None:
        """Have an export put back an `index.json` that vanished, and one that is not ours be merged.

        Nothing is put back whose blobs are gone. Raises StorageError, CatalogError.
        """
        if (await self.settle(repository)).signature is None and await self._was_exported(repository):
            await self._put_back(repository)

    async def is_level(self, repository: Repository) -> bool:
        """Tell by its signature alone whether the `index.json` in place is the recorded export."""
        signature = await self._files.signature(repository)
        row = await self._catalog.export(repository)
        last = parse_export_stamp(row.signature) if row is not None else None
        return last is not None and last.signature == signature

    async def merge_now(self, repository: Repository) -> None:
        """Merge an `index.json` that is not ours, and forget a repository whose directory was removed.

        One read only: a file that is torn, or missing where the directory is left, is for `check`. Raises StorageError,
        CatalogError.
        """
        await self._files.ready(repository)
        await self._settle_replaced(repository)
        if (await self._settle(repository, IndexVersion.CURRENT, tries=1)).signature is not None:
            return
        if await self._was_exported(repository) and await self._files.is_removed(repository):
            await self._put_back(repository)

    async def _settle_replaced(self, repository: Repository) -> None:
        """Merge a file that an export replaced, unless it is our own.

        Before the current one: settling that records the new export, and by then the export before it would pass for
        another program's file, and bring back what was deleted since.
        """
        if (await self._settle(repository, IndexVersion.REPLACED)).signature is not None:
            await self._files.forget_replaced(repository)

    async def _was_exported(self, repository: Repository) -> bool:
        row = await self._catalog.export(repository)
        return row is not None and row.digest is not None

    async def _put_back(self, repository: Repository) -> None:
        removed = await self._files.is_removed(repository)
        if not removed and not await self._merger.has_content(repository):
            raise StorageError(f"{repository}: none of its content is in its directory: is its disk mounted?")
        await self._merger.forget_removed(repository, ())
        if removed:
            await self._merger.drop_removed(repository, Index())
        if removed and await self._catalog.do(RemoveRepository(repository=repository, source=ChangeSource.MERGE)):
            _log.warning("%s: another program removed the repository", repository)
            return
        _log.warning("%s: index.json is gone, and is put back", repository)
        await self._catalog.do(QueueExport(repository=repository))

    async def _settle(self, repository: Repository, place: IndexVersion, *, tries: int = _TRIES) -> SeenIndex:
        signature = await self._files.signature(repository, place)
        row = await self._catalog.export(repository)
        if row is None or signature is None:
            return SeenIndex(signature)
        last = parse_export_stamp(row.signature)
        if last is not None and last.signature == signature:
            return SeenIndex(signature, last.whole)
        file = await self._load(repository, place, tries)
        if file is None and tries < _TRIES:
            return SeenIndex(signature)
        if file is None:
            await self._catalog.do(QueueExport(repository=repository))
            return SeenIndex(signature)
        if file.digest not in (row.digest, row.intent):
            await self._merger.merge(repository, file.parsed, last)
            return SeenIndex(file.signature)
        mark = _mark(file, row, last)
        if place is IndexVersion.CURRENT:
            # It was copied, or a crash came before this was noted. Which revision it shows is not known: an export
            # that was due stays due.
            await self._catalog.do(
                FinishExport(repository=repository, revision=row.exported, digest=file.digest, signature=str(mark))
            )
        return SeenIndex(file.signature, mark.whole)

    async def _load(self, repository: Repository, place: IndexVersion, tries: int) -> IndexFile | None:
        """Read an index; None if it is gone, or cannot be read however often it is tried."""
        for tries_left in reversed(range(tries)):
            try:
                return await self._files.load(repository, place)
            except InvalidLayoutError as error:
                if tries_left:
                    await asyncio.sleep(self._retry_s)
                elif tries == _TRIES:
                    _log.warning("%s: %s: the next export replaces it", repository, error)
        return None


def _mark(file: IndexFile, row: ExportRow, last: ExportStamp | None) -> ExportStamp:
    """Return the mark of a file that is ours: the last one, or the one that was about to be put in place."""
    shown_ns = file.parsed.head.shown_ns
    if shown_ns is None:
        shown_ns = last.shown_ns if last else 0
    whole = file.digest == row.intent or (last is not None and last.whole)
    return ExportStamp(file.signature, shown_ns, whole)
