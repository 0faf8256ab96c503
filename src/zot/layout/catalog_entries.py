"""What the catalog has of a repository, as the entries of its `index.json`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec

from zot.catalog import paging
from zot.catalog.interface import Catalog
from zot.catalog.rows import ManifestDetails, ManifestRow
from zot.layout.index_entry import IndexEntry, order
from zot.oci.digest import Digest
from zot.oci.names import Repository, Tag

_GONE_LIMIT = 16_384


class Previous:
    """The entries of the file that is about to be replaced, read in step with those that replace them."""

    def __init__(self, entries: AsyncIterator[IndexEntry], *, whole: bool) -> None:
        """Read `entries`, which are in the order of `order`; `whole`: the files of all of them are there for sure."""
        self._entries = entries
        self.whole = whole
        self._next: IndexEntry | None = None
        self._ended = False
        self.gone: list[Digest] = []
        """What it listed where the new one lists something else, or nothing: some of it, if that is much.

        Files that are left because of that are found by the walk for files that no row knows.
        """

    async def at(self, entry: IndexEntry) -> IndexEntry | None:
        """Return what the file had for the entry's tag, or for its digest. Entries are asked for in order."""
        key = order(entry)
        while (found := await self._peek()) is not None and order(found) <= key:
            self._next = None
            if order(found) == key and found.digest == entry.digest:
                return found
            self._note_gone(found)
        return None

    async def finish(self) -> None:
        """Read the rest: none of it is listed any more."""
        while (found := await self._peek()) is not None:
            self._next = None
            self._note_gone(found)

    def _note_gone(self, entry: IndexEntry) -> None:
        if len(self.gone) < _GONE_LIMIT:
            self.gone.append(entry.digest)

    async def _peek(self) -> IndexEntry | None:
        if self._next is None and not self._ended:
            self._next = await anext(self._entries, None)
            self._ended = self._next is None
        return self._next


async def catalog_entries(
    catalog: Catalog,
    repository: Repository,
    shown_ns: int,
    previous: Previous,
    put: Callable[[Digest], Awaitable[None]],
) -> AsyncIterator[IndexEntry | bytes]:
    """Iterate over the entries: each tag by name, then each manifest without a tag by digest, then carried lines.

    They are read page by page while changes go on: every tag that is there all the time is listed once, at a
    manifest that it had in that time. What `previous` says beside digest, type and size is kept. `put` is called with
    each manifest whose file may not be there yet.
    """

    async def listed(
        manifest: ManifestRow | ManifestDetails, tag: Tag | None, written: str | None = None
    ) -> IndexEntry:
        entry = IndexEntry(manifest.digest, manifest.media_type, manifest.size, tag, name=written)
        before = await previous.at(entry)
        if before is None or not previous.whole:
            await put(manifest.digest)
        if before is None:
            return entry
        return msgspec.structs.replace(entry, annotations=before.annotations, others=before.others)

    async for tag in paging.tags(catalog, repository):
        manifest = await catalog.resolve(repository, tag.digest)
        if manifest is not None:  # else deleted since the page was read, its tag with it
            yield await listed(manifest, tag.name, tag.written)
    async for details in paging.manifests(catalog, repository):
        if not details.tags and not details.carried:
            yield await listed(details, None)
    await previous.finish()
    # A manifest whose tag came or went while we read may be missing so far: once too often is better.
    for digest in await _moved(catalog, repository, shown_ns):
        manifest = await catalog.resolve(repository, digest)
        if manifest is not None:
            await put(digest)
            yield IndexEntry(digest, manifest.media_type, manifest.size)
    async for carried in paging.carried(catalog, repository):
        if carried.line:
            yield carried.line


async def _moved(catalog: Catalog, repository: Repository, since_ns: int) -> list[Digest]:
    """Return the manifests that tags pointed to before or after a change later than `since_ns`."""
    digests: dict[Digest, None] = {}
    async for change in paging.tag_log(catalog, repository, None):
        if change.at_ns <= since_ns:
            break
        digests.update((digest, None) for digest in (change.before, change.after) if digest is not None)
    return list(digests)
