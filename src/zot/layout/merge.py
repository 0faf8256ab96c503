"""What another program wrote into the `index.json` of a repository that the catalog knows: merged, never believed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Sequence
from enum import Enum, auto

from zot.catalog.interface import PAGE_LIMIT, Catalog
from zot.catalog.layout_commands import LayoutTag, MarkDirty
from zot.catalog.manifest_commands import Edge
from zot.catalog.rows import TagChange
from zot.layout.index_json import Entry, Index
from zot.layout.interface import LayoutFiles
from zot.layout.manifest_files import MediaType, read_manifests
from zot.layout.mark import Mark
from zot.layout.parts import Item, parts
from zot.layout.removed import forget_removed
from zot.oci import media_types
from zot.oci.digest import Digest
from zot.oci.names import Repository, Tag
from zot.registry.found_files import take_in
from zot.storage.interface import Storage

_log = logging.getLogger(__name__)

_BREATH = 256
_NAMED_TAGS = 10

BY = ":index.json"
"""Who moved a tag, in the tag log: nobody else, since a login has no colon (RFC 7617)."""


class Verdict(Enum):
    """What is made of a tag that the file has elsewhere than the catalog."""

    TAKE = auto()
    """The other program put it there, and nobody here touched it since the file that it started from."""
    STALE = auto()
    """It was there once: the file was made from an older state."""
    CONFLICT = auto()
    """Both moved it: what was acknowledged here stays."""


def judge(digest: Digest, history: Sequence[TagChange], started_ns: int | None, exported_ns: int) -> Verdict:
    """Judge a tag that the file has at `digest`, by its changes in the catalog, newest first.

    `started_ns` is the time of the last change in the export that the file was made from, None if the file does not
    say; `exported_ns` that of the last export. A file of unknown origin may repeat any state that ever was.
    """
    # What another program removed with its blobs, and was forgotten here, comes back if its files do.
    history = [change for change in history if change.by != BY or change.after is not None]
    seen_ns = exported_ns if started_ns is None else min(started_ns, exported_ns)
    unseen = [change for change in history if change.at_ns > seen_ns]
    if any(digest in (change.before, change.after) for change in (history if started_ns is None else unseen)):
        return Verdict.STALE
    # What another program moved is for another program to move again.
    if any(change.by != BY for change in unseen):
        return Verdict.CONFLICT
    return Verdict.TAKE


class Merger:
    """Takes in what a foreign `index.json` adds. What it lacks is put back by the export that is due afterwards."""

    def __init__(
        self, catalog: Catalog, storage: Storage, files: LayoutFiles, *, boot: str, catalog_is_older_than_ns: int = 0
    ) -> None:
        """Take part in one store, in the start of the server that `boot` is the id of.

        A catalog that was restored from a backup knows less than the layouts: what it logged before
        `catalog_is_older_than_ns` does not stand against them.
        """
        self._catalog = catalog
        self._storage = storage
        self._files = files
        self._boot = boot
        self._older_than_ns = catalog_is_older_than_ns

    async def merge(self, repository: Repository, index: Index, last: Mark | None) -> None:
        """Take in what `index` adds, `last` being the last file of ours. Again does no harm.

        Tags that it adds or moves are taken unless they changed here, too. A manifest that the catalog lacks is taken
        with its blobs, if its file is there. Raises StorageError, CatalogError.
        """
        for flaw in index.flaws:
            _log.warning("%s: index.json: %s", repository, flaw)
        tags, manifests = await self._additions(repository, index, last.shown_ns if last else 0)
        async for part in parts(repository, self._items(repository, manifests, tags), BY):
            for tag in await self._catalog.do(part):
                _log.warning("%s: tag %s of index.json is not taken: it changed meanwhile", repository, tag)
        shown_ns = index.head.shown_ns
        # A file that was made from an older export lacks what came later without anybody removing it.
        is_older = shown_ns is not None and last is not None and shown_ns < last.shown_ns
        await self.forget_removed(
            repository, {entry.digest for entry in index.entries}, pushed_until_ns=shown_ns if is_older else None
        )
        await self._catalog.do(MarkDirty(repository=repository))
        _log.info("%s: index.json was written by another program: %d tags taken from it", repository, len(tags))

    async def forget_removed(
        self, repository: Repository, listed: Collection[Digest], *, pushed_until_ns: int | None = None
    ) -> None:
        """Delete what another program removed with its blobs: neither `listed` nor whole. Idempotent.

        What was pushed later than `pushed_until_ns` is not among it.
        Raises StorageError, CatalogError.
        """
        removed = await forget_removed(
            self._catalog,
            self._storage,
            repository,
            listed,
            pushed_until_ns=pushed_until_ns,
            boot=self._boot,
            by=BY,
        )
        if removed:
            tags = [tag for manifest in removed for tag in manifest.tags]
            _log.warning(
                "%s: another program removed %d manifests with their blobs: they are not put back; tags: %s",
                repository,
                len(removed),
                ", ".join(tags[:_NAMED_TAGS]) + (", ..." if len(tags) > _NAMED_TAGS else "") or "none",
            )

    async def has_content(self, repository: Repository) -> bool:
        """Tell whether a content file is there, or none is needed. Raises StorageError, CatalogError."""
        async for _ in self._storage.walk(repository):
            return True
        return not await self._catalog.blobs(repository, "", 1)

    async def _additions(
        self, repository: Repository, index: Index, exported_ns: int
    ) -> tuple[list[LayoutTag], dict[Digest, MediaType]]:
        """Return the tags to take and the manifests to take if they are not known."""
        tags: list[LayoutTag] = []
        manifests: dict[Digest, MediaType] = {}
        for number, entry in enumerate(index.entries):
            if number % _BREATH == 0:
                await asyncio.sleep(0)  # reads need not wait for anything; others shall not wait for all entries
            if entry.tag is not None:
                there = await self._catalog.resolve(repository, entry.tag)
                at = there.digest if there else None
                if at == entry.digest:
                    continue
                match await self._judge(repository, entry.tag, entry, index.head.shown_ns, exported_ns):
                    case Verdict.STALE:
                        continue
                    case Verdict.TAKE:
                        tags.append(LayoutTag(entry.tag, entry.digest, at))
                    case Verdict.CONFLICT:
                        _log.warning(
                            "%s: tag %s stays at %s: index.json has it at %s, but it changed here as well",
                            repository,
                            entry.tag,
                            at or "nothing",
                            entry.digest,
                        )
            manifests[entry.digest] = entry.media_type
        return tags, manifests

    async def _judge(
        self, repository: Repository, tag: Tag, entry: Entry, started_ns: int | None, exported_ns: int
    ) -> Verdict:
        history = await self._catalog.tag_log(repository, tag, None, PAGE_LIMIT)
        believed = [change for change in history if change.at_ns > self._older_than_ns]
        return judge(entry.digest, believed, started_ns, exported_ns)

    async def _take_in(self, repository: Repository, edge: Edge) -> None:
        taken = await take_in(self._catalog, self._storage, repository, edge.digest)
        if not taken and await self._storage.stat(repository, edge.digest) is not None:
            _log.warning("%s: %s is not served: its bytes have another digest", repository, edge.digest)

    async def _items(
        self, repository: Repository, listed: dict[Digest, MediaType], tags: list[LayoutTag]
    ) -> AsyncIterator[Item]:
        async def is_known(digest: Digest) -> bool:
            return await self._catalog.resolve(repository, digest) is not None

        async for manifest in read_manifests(self._files, repository, listed, is_known):
            for edge in manifest.edges:
                # An index may list layers directly, as a build cache does.
                if not (edge.child and edge.media_type in media_types.MANIFESTS):
                    row = await self._catalog.blob(repository, edge.digest)
                    # Collection goes on meanwhile: it must not take what this manifest is about to name.
                    if row is None or row.stamped:
                        await self._take_in(repository, edge)
            yield manifest
        for tag in tags:
            yield tag
