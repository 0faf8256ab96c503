"""Notice an `index.json` that another program wrote, and have it merged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import NamedTuple

from zot.catalog.command import ChangeSource
from zot.catalog.interface import Catalog
from zot.catalog.layout_commands import FinishExport, QueueExport
from zot.catalog.manifest_commands import RemoveRepository
from zot.catalog.rows import ExportRow
from zot.layout.export_stamp import ExportStamp, parse_export_stamp
from zot.layout.index_json import Index, InvalidLayoutError
from zot.layout.interface import FileSignature, IndexFile, IndexSignatures, IndexVersion, LayoutFiles
from zot.layout.reconcile import Reconciler
from zot.oci.names import Repository
from zot.storage.interface import StorageError

_log = logging.getLogger(__name__)

# A program that writes in place is done within a second.
_TRIES = 4
_RETRY_S = 1.0


class SeenIndex(NamedTuple):
    """The `index.json` that was examined; without a signature it was missing."""

    signature: FileSignature | None
    whole: bool = False
    """Whether all manifests that it lists are known to have files."""
    readable: bool = True
    """False: it is torn or no index, and stayed so."""


class ExternalEdits:
    """Finds the edits of other programs in the layouts of imported repositories, and has them merged."""

    def __init__(
        self, catalog: Catalog, files: LayoutFiles, reconciler: Reconciler, *, retry_s: float = _RETRY_S
    ) -> None:
        """Read a torn file again after `retry_s`."""
        self._catalog = catalog
        self._files = files
        self._reconciler = reconciler
        self._retry_s = retry_s

    async def settle(self, repository: Repository) -> SeenIndex:
        """Merge an `index.json` that another program wrote, and return the file that was examined.

        That includes a file that an export replaced and did not examine because the server died. A file that stays
        unreadable is given up: the next export replaces it. Raises StorageError, CatalogError.
        """
        signatures = await self._files.signatures(repository)
        if signatures.replaced is not None:
            await self._settle_replaced(repository)
            return await self._settle(repository, IndexVersion.CURRENT)
        return await self._settle_seen(repository, IndexVersion.CURRENT, signatures.current, _TRIES)

    async def check(self, repository: Repository) -> None:
        """Merge an `index.json` that another program wrote; have an export restore one that is missing.

        Manifests whose blobs are gone are not restored. Raises StorageError, CatalogError.
        """
        if (await self.settle(repository)).signature is None and await self._was_exported(repository):
            await self._restore(repository)

    async def not_recorded(self, repositories: Sequence[Repository]) -> set[Repository]:
        """Return those of some repositories whose `index.json`, or its absence, is not what the catalog has recorded.

        Only these need a `check`. Raises StorageError, CatalogError.
        """
        found = await self._files.all_signatures(repositories)
        changed: set[Repository] = set()
        for name in repositories:
            last = await self._last_export(name)
            if found.get(name) != IndexSignatures(last.signature if last else None, None):
                changed.add(name)
        return changed

    async def is_in_sync(self, repository: Repository) -> bool:
        """Return, by its signature alone, whether the current `index.json` is the recorded export."""
        signature = await self._files.signature(repository)
        last = await self._last_export(repository)
        return last is not None and last.signature == signature

    async def _last_export(self, repository: Repository) -> ExportStamp | None:
        row = await self._catalog.export(repository)
        return parse_export_stamp(row.signature) if row is not None else None

    async def merge_now(self, repository: Repository) -> None:
        """Merge an `index.json` that another program wrote; delete a repository whose directory was removed.

        Reads the file once: a torn file, or one that is missing in its directory, is left to `check`. Raises
        StorageError, CatalogError.
        """
        await self._files.ready(repository)
        await self._settle_replaced(repository)
        if (await self._settle(repository, IndexVersion.CURRENT, tries=1)).signature is not None:
            return
        if await self._was_exported(repository) and await self._files.is_removed(repository):
            await self._restore(repository)

    async def _settle_replaced(self, repository: Repository) -> None:
        """Merge a file that an export replaced, unless it is our own.

        Call it before settling the current file: that records the new export, and then the export before it would pass
        for another program's file and restore what was deleted since.
        """
        if (await self._settle(repository, IndexVersion.REPLACED)).signature is not None:
            await self._files.forget_replaced(repository)

    async def _was_exported(self, repository: Repository) -> bool:
        row = await self._catalog.export(repository)
        return row is not None and row.digest is not None

    async def _restore(self, repository: Repository) -> None:
        removed = await self._files.is_removed(repository)
        if not removed and not await self._reconciler.has_content(repository):
            raise StorageError(f"{repository}: none of its content is in its directory: is its disk mounted?")
        await self._reconciler.forget_removed(repository, ())
        if removed:
            await self._reconciler.drop_removed(repository, Index())
        if removed and await self._catalog.do(RemoveRepository(repository=repository, source=ChangeSource.MERGE)):
            _log.warning("%s: another program removed the repository", repository)
            return
        _log.warning("%s: index.json is missing, and is restored", repository)
        await self._catalog.do(QueueExport(repository=repository))

    async def _settle(self, repository: Repository, version: IndexVersion, *, tries: int = _TRIES) -> SeenIndex:
        return await self._settle_seen(repository, version, await self._files.signature(repository, version), tries)

    async def _settle_seen(
        self, repository: Repository, version: IndexVersion, signature: FileSignature | None, tries: int
    ) -> SeenIndex:
        row = await self._catalog.export(repository)
        if row is None or signature is None:
            return SeenIndex(signature)
        last = parse_export_stamp(row.signature)
        if last is not None and last.signature == signature:
            return SeenIndex(signature, last.whole)
        file = await self._load(repository, version, tries)
        if file is None and tries < _TRIES:
            return SeenIndex(signature)
        if file is None:
            await self._catalog.do(QueueExport(repository=repository))
            return SeenIndex(signature, readable=False)
        if file.digest not in (row.digest, row.intent):
            await self._reconciler.merge(repository, file.parsed, last)
            return SeenIndex(file.signature)
        mark = _mark(file, row, last)
        if version is IndexVersion.CURRENT:
            # It was copied, or a crash came before this was recorded. Its revision is unknown: a due export stays due.
            await self._catalog.do(
                FinishExport(repository=repository, revision=row.exported, digest=file.digest, signature=str(mark))
            )
        return SeenIndex(file.signature, mark.whole)

    async def _load(self, repository: Repository, version: IndexVersion, tries: int) -> IndexFile | None:
        """Read an index; None if it is missing, or unreadable in all tries."""
        for tries_left in reversed(range(tries)):
            try:
                return await self._files.load(repository, version)
            except InvalidLayoutError as error:
                if tries_left:
                    await asyncio.sleep(self._retry_s)
                elif tries == _TRIES:
                    _log.warning("%s: %s: the next export replaces it", repository, error)
        return None


def _mark(file: IndexFile, row: ExportRow, last: ExportStamp | None) -> ExportStamp:
    """Return the stamp of our own file: the last export, or the one that was about to be placed."""
    shown_ns = file.parsed.head.shown_ns
    if shown_ns is None:
        shown_ns = last.shown_ns if last else 0
    whole = file.digest == row.intent or (last is not None and last.whole)
    return ExportStamp(file.signature, shown_ns, whole)
