"""Reads from catalog and storage what the index has to know of some manifests and tags.

What is read is the present state, not that of an entry of the change log: reading is idempotent, and may be late, since
each later change has an entry of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from zot.catalog import paging
from zot.catalog.change_log import Change, ChangeKind
from zot.catalog.interface import Catalog
from zot.catalog.rows import ManifestDetails, TagRow
from zot.extensions.search.index.facts import (
    CONFIG_LIMIT_BYTES,
    MANIFEST_LIMIT_BYTES,
    UNKNOWN,
    ConfigFacts,
    ManifestFacts,
    config_facts,
    manifest_facts,
)
from zot.foundation.threads import ThreadPool
from zot.oci.digest import Digest, has_digest
from zot.oci.names import Repository, Tag
from zot.storage.interface import ContentMissingError, Storage

_TOGETHER = 16
"""Repositories whose rows are read at one moment of the catalog, before other tasks run."""
_PARALLEL = 8
"""Manifests, with their configs, that are held and read at once."""
BATCH = 200
"""Manifests, and tags, that are read before they are written."""

T = TypeVar("T")


class ContentState(NamedTuple):
    """What a digest stands for."""

    details: ManifestDetails
    manifest: ManifestFacts
    config: ConfigFacts
    is_whole: bool
    """Whether all that it says could be read; if not it is read again later."""


@dataclass(slots=True)
class RepositoryState:
    """What the catalog has of some manifests and tags of a repository; None: it has not, or no more."""

    exists: bool = True
    manifests: dict[Digest, ManifestDetails | None] = field(default_factory=dict)
    tags: dict[Tag, TagRow | None] = field(default_factory=dict)


@dataclass(slots=True)
class Update:
    """What to write in one transaction."""

    repositories: dict[Repository, RepositoryState] = field(default_factory=dict)
    contents: dict[Digest, ContentState] = field(default_factory=dict)
    """Of those manifests that the index does not know yet."""

    def add(self, other: Update) -> None:
        """Add what was read later."""
        self.contents.update(other.contents)
        for repository, state in other.repositories.items():
            mine = self.repositories.setdefault(repository, RepositoryState())
            mine.exists = state.exists
            mine.manifests.update(state.manifests)
            mine.tags.update(state.tags)

    @property
    def weight(self) -> int:
        """How many rows it has, about."""
        return len(self.repositories) + sum(len(each.manifests) + len(each.tags) for each in self.repositories.values())


class CatalogSource:
    """Reads the state of manifests and tags."""

    def __init__(
        self, catalog: Catalog, storage: Storage, threads: ThreadPool, unknown: Callable[[list[Digest]], set[Digest]]
    ) -> None:
        """`unknown`, called in one of the threads, returns which digests the index has to read."""
        self._catalog = catalog
        self._storage = storage
        self._threads = threads
        self._unknown = unknown

    async def changed(self, changes: Sequence[Change]) -> Update:
        """Return the present state of all that some changes are about. Raises CatalogError, StorageError."""
        update = Update()
        for change in changes:
            state = update.repositories.setdefault(change.repository, RepositoryState())
            if change.tag is not None:
                state.tags[change.tag] = None
            if change.digest is not None and change.kind is not ChangeKind.BLOB_LOST:
                # A manifest that is tagged counts as pushed then: it is read again, wherever the tag points now.
                state.manifests[change.digest] = None
        states = list(update.repositories.items())
        for start in range(0, len(states), _TOGETHER):
            with self._catalog.one_moment():
                for repository, state in states[start : start + _TOGETHER]:
                    await self._read(repository, state)
            await asyncio.sleep(0)
        await self._read_contents(update)
        return update

    async def state_of(self, repository: Repository, digests: Iterable[Digest], tags: Iterable[Tag]) -> Update:
        """Return the present state of manifests and tags that the index has. Raises CatalogError, StorageError."""
        state = RepositoryState(manifests=dict.fromkeys(digests), tags=dict.fromkeys(tags))
        with self._catalog.one_moment():
            await self._read(repository, state)
        update = Update({repository: state})
        await self._read_contents(update)
        return update

    async def all_of(self, repository: Repository) -> AsyncIterator[Update]:
        """Iterate over all manifests of a repository, then all tags, in steps. Raises CatalogError, StorageError."""
        async for manifests in _batches(paging.manifests(self._catalog, repository)):
            update = Update({repository: RepositoryState(manifests={each.digest: each for each in manifests})})
            await self._read_contents(update)
            yield update
        async for tags in _batches(paging.tags(self._catalog, repository)):
            yield Update({repository: RepositoryState(tags={each.name: each for each in tags})})

    async def _read(self, repository: Repository, state: RepositoryState) -> None:
        if await self._catalog.repository(repository) is None:
            state.exists = False
            return
        for tag in state.tags:
            row = state.tags[tag] = await self._catalog.tag(repository, tag)
            if row is not None:  # it may be newer than the entries that are read
                state.manifests.setdefault(row.digest)
        for digest in state.manifests:
            state.manifests[digest] = await self._catalog.manifest(repository, digest)

    async def _read_contents(self, update: Update) -> None:
        known_in: dict[Digest, tuple[Repository, ManifestDetails]] = {}
        for repository, state in update.repositories.items():
            known_in.update({digest: (repository, each) for digest, each in state.manifests.items() if each})
        if not known_in:
            return
        sources = [known_in[digest] for digest in await self._threads.run(self._unknown, list(known_in))]
        for start in range(0, len(sources), _PARALLEL):
            for each in await self._states(sources[start : start + _PARALLEL]):
                update.contents[each.details.digest] = each

    async def _states(self, sources: Sequence[tuple[Repository, ManifestDetails]]) -> list[ContentState]:
        """Read manifests and their configs: few at once, since each may have some MiB."""
        with self._catalog.one_moment():
            contents = [(await self._manifest(*each), each[1]) for each in sources]
        facts = await self._threads.run(_parsed, contents)
        configs = await self._configs([repository for repository, _ in sources], facts)
        return await self._threads.run(_content_states, contents, facts, configs)

    async def _manifest(self, repository: Repository, details: ManifestDetails) -> bytes | None:
        """Return the bytes of a manifest: empty if it is too large, None if they are lost. Raises CatalogError."""
        if details.size > MANIFEST_LIMIT_BYTES:
            return b""
        return await self._catalog.manifest_content(repository, details.digest)

    async def _configs(
        self, repositories: Sequence[Repository], manifests: Sequence[ManifestFacts]
    ) -> dict[Digest, bytes | None]:
        """Return the bytes of the configs that are to be read, each read once: empty if too large, None if missing.

        Raises CatalogError, StorageError.
        """
        configs: dict[Digest, bytes | None] = {}
        places: dict[Digest, set[Repository]] = {}
        # Before any file is looked for: the catalog releases what it holds once the file is there.
        with self._catalog.one_moment():
            for repository, manifest in zip(repositories, manifests, strict=True):
                if manifest.config is not None and manifest.config_is_read:
                    digest = manifest.config.digest
                    places.setdefault(digest, set()).add(repository)
                    if configs.get(digest) is None:
                        configs[digest] = await self._catalog.held_content(repository, digest)
        missing = [digest for digest, content in configs.items() if content is None]
        files = await asyncio.gather(*(self._config_file(places[digest], digest) for digest in missing))
        configs.update(zip(missing, files, strict=True))
        return configs

    async def _config_file(self, repositories: Iterable[Repository], digest: Digest) -> bytes | None:
        """Return the bytes of a config from the first of some repositories that has it."""
        for repository in repositories:
            try:
                file = await self._storage.open(repository, digest)
            except ContentMissingError:
                continue
            try:
                return await file.read(0, file.size) if file.size <= CONFIG_LIMIT_BYTES else b""
            finally:
                file.close()
        return None


def _parsed(contents: Sequence[tuple[bytes | None, ManifestDetails]]) -> list[ManifestFacts]:
    return [manifest_facts(content or b"", details.media_type) for content, details in contents]


def _content_states(
    contents: Sequence[tuple[bytes | None, ManifestDetails]],
    facts: Sequence[ManifestFacts],
    configs: Mapping[Digest, bytes | None],
) -> list[ContentState]:
    """Put together what was read; content that has not its digest counts as missing."""
    found = []
    for (content, details), manifest in zip(contents, facts, strict=True):
        read = manifest.config if manifest.config_is_read else None
        config = configs[read.digest] if read is not None else b""
        if content is None or (content and not has_digest(content, details.digest)):
            nothing = manifest_facts(b"", details.media_type)
            found.append(ContentState(details, nothing, UNKNOWN, is_whole=False))
        elif not config:
            found.append(ContentState(details, manifest, UNKNOWN, is_whole=config is not None))
        else:
            assert manifest.config is not None, "its config was read"
            is_whole = has_digest(config, manifest.config.digest)
            found.append(ContentState(details, manifest, config_facts(config) if is_whole else UNKNOWN, is_whole))
    return found


async def _batches(rows: AsyncIterator[T]) -> AsyncIterator[list[T]]:
    batch: list[T] = []
    async for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
