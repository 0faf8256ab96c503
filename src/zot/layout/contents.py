"""Read the content of a layout for its import: manifests, blobs, tags, and entries to be carried along.

`index.json` is read piece by piece and only bounded notes of it are kept, so a list of a million entries takes time,
not memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, MutableMapping, Sequence
from typing import NamedTuple

from zot.catalog.interface import PAGE_LIMIT, Catalog
from zot.catalog.layout_commands import LayoutBlob, LayoutManifest, LayoutTag
from zot.catalog.rows import Unread
from zot.foundation.bounded_map import BoundedMap
from zot.layout.import_batches import PART_ROWS, Item
from zot.layout.index_entry import IndexEntry, carried, carried_line
from zot.layout.index_json import InvalidLayoutError, entry_of
from zot.layout.interface import IndexScan, LayoutFiles
from zot.layout.manifest_files import NotRead, read_manifests
from zot.layout.reconcile import MergeDecision, decide
from zot.oci.digest import Digest
from zot.oci.names import Repository, Tag
from zot.registry.damage import BAD_DIGEST, DamageReports, FoundBy, size_mismatch
from zot.storage.interface import FoundFile, Storage

# Manifests and tags: more than the batch of the import that the catalog does not have yet.
_REMEMBERED = 16 * PART_ROWS
# Blobs that manifests name: beyond that, only empty files are verified.
_SIZES = 1 << 18
_GARBLED = "its bytes are not JSON"
_EXAMPLE_LENGTH = 200


class ImportOptions(NamedTuple):
    """Options of an import."""

    manifest_limit_bytes: int
    damage: DamageReports
    begun: bool
    """An interrupted import may have left something of the repository in the catalog."""
    salvaged: bool
    """The catalog was damaged, and keeps what is left of the repository; the layout adds what is lost."""


class LayoutContents:
    """Reads one layout once."""

    def __init__(
        self,
        catalog: Catalog,
        storage: Storage,
        files: LayoutFiles,
        repository: Repository,
        reading: ImportOptions,
    ) -> None:
        """Read a repository's layout by these options."""
        self._catalog = catalog
        self._storage = storage
        self._files = files
        self._repository = repository
        self._limit_bytes = reading.manifest_limit_bytes
        self._damage = reading.damage
        self._begun = reading.begun
        self._salvaged = reading.salvaged
        self._sizes: dict[Digest, int] = {}
        self._manifests: BoundedMap[Digest, Unread | None] = BoundedMap(_REMEMBERED)
        # After an import that was broken off, the catalog's tags do not tell which ones this import has read.
        self._tags: MutableMapping[Tag, tuple[Digest, str | None]] = {} if self._begun else BoundedMap(_REMEMBERED)
        self._reasons: Counter[str] = Counter()
        self._example = ""
        self.index: IndexScan | None = None
        """The `index.json`, or None if it is missing; known once all items are read."""
        self.listed = 0
        """The number of descriptors in it."""

    @property
    def refused(self) -> str:
        """A sentence about the manifests that could not be read; empty if all could."""
        reasons = ", ".join(f"{count} because {why}" for why, count in sorted(self._reasons.items()))
        return (
            f"{self._reasons.total()} of its manifests cannot be read ({reasons}; the first is {self._example}): "
            "what lists them is kept, and nothing of the repository is collected"
            if reasons
            else ""
        )

    async def items(self) -> AsyncIterator[Item]:
        """Iterate over all items. Raises InvalidLayoutError, StorageError, CatalogError."""
        stand_for_tags = False
        if self._salvaged:
            # To learn which state the file shows.
            async for _ in self._descriptors():
                pass
        async for descriptors in self._descriptors():
            entries: list[IndexEntry] = []
            for descriptor in descriptors:
                entry = entry_of(descriptor)
                if entry is None:
                    yield carried_line(descriptor)
                    self._note(Unread.DESCRIPTOR, descriptor[:_EXAMPLE_LENGTH].decode(errors="replace"))
                else:
                    entries.append(entry)
            self.listed += len(descriptors)
            unread: dict[Digest, Unread] = {}
            async for item in self._read(entries, unread):
                yield item
            for entry in entries:
                if (why := unread.get(entry.digest)) is not None:
                    yield carried(entry, why)
                    self._note(why, entry.digest)
                elif entry.tag is not None and entry.name is not None:
                    stand_for_tags = True
                else:
                    async for item in self._named(entry):
                        yield item
        if stand_for_tags:
            async for item in self._longer_names():
                yield item
        async for file in self._storage.walk(self._repository):
            if await self._is_manifest(file.digest) or await self._is_damaged(file.digest):
                continue
            if await self._is_whole(file, self._sizes.get(file.digest)):
                yield LayoutBlob(file.digest, file.size)

    async def _longer_names(self) -> AsyncIterator[Item]:
        """Read the list again for names that stand for a tag: a name that is the tag itself has priority."""
        before = self.index
        async for descriptors in self._descriptors():
            for entry in filter(None, map(entry_of, descriptors)):
                if entry.tag is not None and entry.name is not None and await self._is_manifest(entry.digest):
                    async for item in self._named(entry):
                        yield item
        if before is None or self.index is None or before.digest != self.index.digest:
            raise InvalidLayoutError("index.json was written while it was read")

    async def _descriptors(self) -> AsyncIterator[list[bytes]]:
        async with self._files.scan(self._repository) as scan:
            if scan is not None:
                async for descriptors in scan.descriptors():
                    yield descriptors
            self.index = scan

    async def _read(self, entries: Sequence[IndexEntry], unread: dict[Digest, Unread]) -> AsyncIterator[Item]:
        """Iterate over the manifests of entries and those that they list; add unreadable ones to `unread`."""

        async def is_known(digest: Digest) -> bool:
            if digest not in self._manifests:
                return False
            if (why := self._manifests[digest]) is not None:
                unread[digest] = why
            return True

        listed = {entry.digest: entry.media_type for entry in entries}
        async for found in read_manifests(self._files, self._repository, listed, self._limit_bytes, is_known):
            if isinstance(found, NotRead):
                unread[found.digest] = found.why
                self._manifests[found.digest] = found.why
                continue
            if isinstance(found, LayoutManifest):
                self._manifests[found.digest] = None
                if len(self._sizes) < _SIZES:
                    self._sizes.update((edge.digest, edge.size) for edge in found.edges if edge.size)
                if not found.whole:
                    self._note(_GARBLED, found.digest)
            elif found.digest is not None and found.unread is not None:
                self._manifests[found.digest] = found.unread
                self._note(found.unread, found.digest)
            yield found

    async def _named(self, entry: IndexEntry) -> AsyncIterator[Item]:
        """Iterate over the items of an entry's name: a tag, or a carried entry if it stands for none."""
        if entry.tag is None:
            if entry.name is not None:
                yield carried(entry, None)
            return
        taken = self._tags.get(entry.tag)
        there = await self._catalog.resolve(self._repository, entry.tag) if taken is None else None
        if there is not None and not self._begun:
            taken = there.digest, None
        if taken is None:
            # The file overrides a tag that an interrupted import left.
            before = there.digest if there is not None else None
            self._tags[entry.tag] = entry.digest, entry.name
            if self._salvaged and not await self._is_lost(entry.tag, entry.digest):
                return
            yield LayoutTag(entry.tag, entry.digest, before, entry.name)
        elif taken != (entry.digest, entry.name):
            yield carried(entry, None)

    async def _is_manifest(self, digest: Digest) -> bool:
        if digest in self._manifests:
            return self._manifests[digest] is None
        return await self._catalog.resolve(self._repository, digest) is not None

    async def _is_damaged(self, digest: Digest) -> bool:
        """Return whether the file is a damaged manifest: as a blob its bytes would be wrong, too."""
        if not self._reasons[Unread.DAMAGED]:
            return False
        known = await self._catalog.carried_as(self._repository, digest)
        return Unread.DAMAGED in {self._manifests.get(digest), *(entry.unread for entry in known)}

    async def _is_whole(self, file: FoundFile, described: int | None) -> bool:
        """Return whether a content file may be served.

        Its bytes are verified only if a descriptor that names it has another size, or if it is empty. A damaged file
        stays where it is; the next push of it replaces it.
        """
        if file.size == described or (described is None and file.size > 0):
            return True
        if await self._storage.is_whole(self._repository, file.digest):
            return True
        error = BAD_DIGEST if described is None else size_mismatch(file.size, described)
        outcome = "it is not imported, and missing until it is pushed again"
        self._damage.report(self._repository, file.digest, error, FoundBy.IMPORT, outcome)
        return False

    async def _is_lost(self, tag: Tag, digest: Digest) -> bool:
        """Return whether a damaged catalog lost a tag of the layout, rather than deleted it since the export."""
        if await self._catalog.resolve(self._repository, tag) is not None:
            return False
        history = await self._catalog.tag_log(self._repository, tag, None, PAGE_LIMIT)
        shown_ns = (self.index.head.shown_ns if self.index is not None else None) or 0
        return decide(digest, history, shown_ns, shown_ns) is MergeDecision.TAKE

    def _note(self, why: str, example: str) -> None:
        self._example = self._example or example
        self._reasons[why] += 1
