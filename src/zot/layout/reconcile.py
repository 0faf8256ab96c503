"""Merge an `index.json` that another program wrote into the catalog's state of the repository."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from zot.catalog import paging
from zot.catalog.change_log import TagChange
from zot.catalog.command import ChangeSource
from zot.catalog.interface import PAGE_LIMIT, Catalog
from zot.catalog.layout_commands import LayoutManifest, LayoutTag, QueueExport
from zot.catalog.rows import Unread
from zot.layout.export_stamp import BY, ExportStamp
from zot.layout.external_deletes import forget_removed
from zot.layout.import_batches import Dropped, Item, import_batches
from zot.layout.index_entry import IndexEntry, carried, carried_line
from zot.layout.index_json import Index
from zot.layout.interface import LayoutFiles
from zot.layout.manifest_files import MANIFEST_LIMIT_BYTES, NotRead, read_manifests
from zot.oci.digest import Digest
from zot.oci.names import Repository, Tag
from zot.registry.existing_files import register_named
from zot.storage.interface import Storage

_log = logging.getLogger(__name__)

_BREATH = 256
_NAMED_TAGS = 10


class MergeDecision(Enum):
    """The decision on a tag that the file has at another manifest than the catalog."""

    TAKE = auto()
    """The other program moved it, and the catalog has not moved it since the export that the file is based on."""
    STALE = auto()
    """The catalog had it there before: the file is based on an older state."""
    CONFLICT = auto()
    """Both moved it: the acknowledged state stays."""


def decide(digest: Digest, history: Sequence[TagChange], started_ns: int | None, exported_ns: int) -> MergeDecision:
    """Decide on a tag that the file has at `digest`, by its changes in the catalog, newest first.

    `started_ns` is the time of the last change in the export that the file is based on, or None if the file does not
    say; `exported_ns` is that of the last export. A file of unknown origin may repeat any earlier state.
    """
    # A tag that was deleted because another program removed its blobs is taken again if its files are restored.
    history = [change for change in history if change.by != BY or change.after is not None]
    seen_ns = exported_ns if started_ns is None else min(started_ns, exported_ns)
    unseen = [change for change in history if change.at_ns > seen_ns]
    if any(digest in (change.before, change.after) for change in (history if started_ns is None else unseen)):
        return MergeDecision.STALE
    # A change by another program may be changed again by another program.
    if any(change.by != BY for change in unseen):
        return MergeDecision.CONFLICT
    return MergeDecision.TAKE


@dataclass(slots=True)
class _Added:
    """The entries of a file that the catalog lacks."""

    tags: list[LayoutTag] = field(default_factory=list)
    manifests: dict[Digest, str] = field(default_factory=dict)
    """Manifests to import unless they are known, with their media types."""
    named: list[IndexEntry] = field(default_factory=list)
    """Entries with a name that is not a tag, or that stands for a tag that exists."""


class Reconciler:
    """Imports what an external `index.json` adds; the export that is due afterwards restores what it lacks."""

    def __init__(
        self,
        catalog: Catalog,
        storage: Storage,
        files: LayoutFiles,
        *,
        catalog_is_older_than_ns: int = 0,
        manifest_limit_bytes: int = MANIFEST_LIMIT_BYTES,
    ) -> None:
        """Reconcile the layouts of one store.

        Manifests of at most `manifest_limit_bytes` are read.

        A catalog that was restored from a backup knows less than the layouts: what it logged before
        `catalog_is_older_than_ns` does not stand against them.
        """
        self._catalog = catalog
        self._storage = storage
        self._files = files
        self._older_than_ns = catalog_is_older_than_ns
        self._manifest_limit_bytes = manifest_limit_bytes

    async def merge(self, repository: Repository, index: Index, last: ExportStamp | None) -> None:
        """Import what `index` adds; `last` is the stamp of our last file. Idempotent.

        Tags that it adds or moves are taken unless they changed in the catalog, too. A manifest that the catalog lacks
        is imported with its blobs, if it has a file; an entry that cannot be read, or whose name is not a tag, is
        carried along. Raises StorageError, CatalogError.
        """
        await self._files.restore_content(repository)
        added = await self._additions(repository, index, last.shown_ns if last else 0)
        async for part in import_batches(repository, self._items(repository, index, added), ChangeSource.MERGE, BY):
            for tag in await self._catalog.do(part):
                _log.warning("%s: tag %s of index.json is not taken: it changed concurrently", repository, tag)
        shown_ns = index.head.shown_ns
        # A file that is based on an older export lacks later manifests without having removed them.
        is_older = shown_ns is not None and last is not None and shown_ns < last.shown_ns
        await self.forget_removed(
            repository, {entry.digest for entry in index.entries}, pushed_until_ns=shown_ns if is_older else None
        )
        if not is_older:
            await self.drop_removed(repository, index)
        await self._catalog.do(QueueExport(repository=repository))
        _log.info("%s: index.json was written by another program: %d tags taken from it", repository, len(added.tags))

    async def forget_removed(
        self, repository: Repository, listed: Collection[Digest], *, pushed_until_ns: int | None = None
    ) -> None:
        """Delete manifests that are not `listed` and whose blobs another program removed. Idempotent.

        A manifest that was pushed later than `pushed_until_ns` stays. Raises StorageError, CatalogError.
        """
        removed = await forget_removed(
            self._catalog,
            self._storage,
            repository,
            listed,
            pushed_until_ns=pushed_until_ns,
            by=BY,
        )
        if removed:
            tags = [tag for manifest in removed for tag in manifest.tags]
            _log.warning(
                "%s: another program removed %d manifests with their blobs: they are not restored; tags: %s",
                repository,
                len(removed),
                ", ".join(tags[:_NAMED_TAGS]) + (", ..." if len(tags) > _NAMED_TAGS else "") or "none",
            )

    async def drop_removed(self, repository: Repository, index: Index) -> None:
        """Stop carrying unread entries that `index` lacks and whose manifests have no file.

        Raises StorageError, CatalogError.
        """
        if await self._catalog.unread(repository):
            async for part in import_batches(repository, self._dropped(repository, index), ChangeSource.MERGE, BY):
                await self._catalog.do(part)

    async def _dropped(self, repository: Repository, index: Index) -> AsyncIterator[Item]:
        listed = {(entry.digest, entry.ref_name) for entry in index.entries}
        keys = {carried_line(descriptor).key for descriptor in index.unreadable}
        async for entry in paging.carried(self._catalog, repository):
            if entry.unread is None or not entry.line or entry.key in keys:
                continue
            if entry.digest is None:
                yield Dropped(entry.key)
            elif (entry.digest, entry.name) in listed:
                continue
            elif await self._storage.stat(repository, entry.digest) is None:
                yield Dropped(entry.key)

    async def has_content(self, repository: Repository) -> bool:
        """Return whether a content file exists, or none is needed. Raises StorageError, CatalogError."""
        async for _ in self._storage.walk(repository):
            return True
        held = {digest async for digest, _ in paging.held_blobs(self._catalog, repository)}
        async for page in paging.blob_pages(self._catalog, repository):
            if not held.issuperset(digest for digest, _ in page):
                return False
        return True

    async def _additions(self, repository: Repository, index: Index, exported_ns: int) -> _Added:
        added = _Added()
        for number, entry in enumerate(index.entries):
            if number % _BREATH == 0:
                await asyncio.sleep(0)  # cached reads never yield, and other tasks must not wait for all entries
            if entry.tag is not None:
                row = await self._catalog.tag(repository, entry.tag)
                at = row.digest if row is not None else None
                if entry.name is not None and row is not None and entry.name != row.written:
                    added.named.append(entry)  # another name that stands for the same tag
                elif at == entry.digest:
                    continue
                else:
                    match await self._decide(repository, entry.tag, entry, index.head.shown_ns, exported_ns):
                        case MergeDecision.STALE:
                            continue
                        case MergeDecision.TAKE:
                            added.tags.append(LayoutTag(entry.tag, entry.digest, at, entry.name))
                        case MergeDecision.CONFLICT:
                            _log.warning(
                                "%s: tag %s stays at %s: index.json has it at %s, but it changed here as well",
                                repository,
                                entry.tag,
                                at or "nothing",
                                entry.digest,
                            )
            elif entry.name is not None:
                added.named.append(entry)
            added.manifests[entry.digest] = entry.media_type
        return added

    async def _decide(
        self, repository: Repository, tag: Tag, entry: IndexEntry, started_ns: int | None, exported_ns: int
    ) -> MergeDecision:
        history = await self._catalog.tag_log(repository, tag, None, PAGE_LIMIT)
        believed = [change for change in history if change.at_ns > self._older_than_ns]
        return decide(entry.digest, believed, started_ns, exported_ns)

    async def _items(self, repository: Repository, index: Index, added: _Added) -> AsyncIterator[Item]:
        async def is_known(digest: Digest) -> bool:
            return await self._catalog.resolve(repository, digest) is not None

        for descriptor in index.unreadable:
            yield carried_line(descriptor)
        unread: dict[Digest, Unread] = {}
        async for found in read_manifests(
            self._files, repository, added.manifests, self._manifest_limit_bytes, is_known
        ):
            if isinstance(found, NotRead):
                unread[found.digest] = found.why
                continue
            if isinstance(found, LayoutManifest):
                await register_named(self._catalog, self._storage, repository, found.edges)
            yield found
        if unread or index.unreadable:
            count = len(unread) + len(index.unreadable)
            _log.warning(
                "%s: %d manifests of index.json cannot be read: what lists them is kept, and nothing is collected",
                repository,
                count,
            )
        for entry in index.entries if unread else ():
            if entry.digest in unread and not await self._is_carried(repository, entry):
                yield carried(entry, unread[entry.digest])
        for entry in added.named:
            if entry.digest not in unread and not await self._is_carried(repository, entry):
                yield carried(entry, None)
        for tag in added.tags:
            if tag.digest not in unread:
                yield tag

    async def _is_carried(self, repository: Repository, entry: IndexEntry) -> bool:
        known = await self._catalog.carried_as(repository, entry.digest)
        return any(each.name == entry.ref_name for each in known)
