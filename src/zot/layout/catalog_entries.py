"""The catalog's manifests and tags of a repository, as entries of its `index.json`."""

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


class PreviousEntries:
    """The entries of the file that is about to be replaced, read in step with their replacements."""

    def __init__(self, entries: AsyncIterator[IndexEntry], *, whole: bool) -> None:
        """Read `entries`, sorted by `order`. `whole`: the manifests of all of them are known to have files."""
        self._entries = entries
        self.whole = whole
        self._next: IndexEntry | None = None
        self._ended = False
        self.gone: list[Digest] = []
        """Manifests that it listed where the new file lists another one or none, up to a limit.

        The walk for orphan files finds the files of the others.
        """

    async def at(self, entry: IndexEntry) -> IndexEntry | None:
        """Return the file's entry of the same digest and tag, or None. Call it with entries in order."""
        key = order(entry)
        while (found := await self._peek()) is not None and order(found) <= key:
            self._next = None
            if order(found) == key and found.digest == entry.digest:
                return found
            self._note_gone(found)
        return None

    async def finish(self) -> None:
        """Read the rest: the new file lists none of it."""
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
    previous: PreviousEntries,
    put: Callable[[Digest], Awaitable[None]],
) -> AsyncIterator[IndexEntry | bytes]:
    """Iterate over the entries: tags by name, then manifests without a tag by digest, then carried lines.

    They are read page by page while the catalog changes: a tag that exists all the time is listed once, at a manifest
    that it had in that time. Fields of `previous` other than digest, type and size are kept. `put` is called with each
    manifest whose file may be missing.
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
        if manifest is not None:  # else it was deleted with its tag since the page was read
            yield await listed(manifest, tag.name, tag.written)
    async for details in paging.manifests(catalog, repository):
        if not details.tags and not details.carried:
            yield await listed(details, None)
    await previous.finish()
    # A manifest whose tag moved during the reads may be missing so far: an entry too many is better.
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
