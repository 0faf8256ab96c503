"""One registry of `extensions.sync.registries` as a source of what this registry lacks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

from zot.extensions.sync.download import BlobDownload, MirrorSettings, first_answer, name_at
from zot.extensions.sync.routing import Routes
from zot.foundation.bounded_map import BoundedMap
from zot.oci.digest import Digest
from zot.oci.names import Reference, Repository, Tag
from zot.registry.fetches import MOMENT_S
from zot.registry.sources import SourcedBlob, SourcedManifest
from zot.upstream.client import UpstreamClient

T = TypeVar("T")

_CHECKED_LIMIT = 65536


class MirroredRegistry:
    """A registry that this one mirrors on demand (`Upstream`), at one address or at several of the same content."""

    def __init__(self, clients: Sequence[UpstreamClient], routes: Routes, settings: MirrorSettings) -> None:
        """Ask the clients in their order: the next one if one cannot tell."""
        self._clients = clients
        self._routes = routes
        self._settings = settings
        self._next_referrers_s: BoundedMap[tuple[Repository, Digest], float] = BoundedMap(_CHECKED_LIMIT)
        self._next_check_s: BoundedMap[tuple[Repository, Tag], float] = BoundedMap(_CHECKED_LIMIT)

    async def manifest(self, repository: Repository, reference: Reference) -> SourcedManifest | None:
        """Return the upstream's manifest. Raises Unavailable."""
        remote = self._routes.remote(repository, reference)
        if remote is None:
            return None

        async def ask(client: UpstreamClient) -> SourcedManifest | None:
            found = await client.manifest(name_at(client, remote), reference)
            return None if found is None else SourcedManifest(found.digest, found.media_type, found.content)

        return await first_answer(self._clients, ask)

    def is_due(self, repository: Repository, tag: Tag) -> bool:
        """Return whether the tag is mirrored and was not checked within the interval."""
        if self._now_s() < self._next_check_s.get((repository, tag), 0.0):
            return False
        return self._routes.remote(repository, tag) is not None

    def checked(self, repository: Repository, tag: Tag, *, told: bool) -> None:
        """Record that a tag was checked: it is due after the interval or, if no upstream could tell, in a moment."""
        interval_s = self._settings.check_interval_s
        self._next_check_s[repository, tag] = self._now_s() + (interval_s if told else min(MOMENT_S, interval_s))

    async def resolve(self, repository: Repository, tag: Tag) -> Digest | None:
        """Return the digest that a tag stands for, by HEAD: it counts against no pull limit. Raises Unavailable."""
        remote = self._routes.remote(repository, tag)
        if remote is None:
            return None
        return await first_answer(self._clients, lambda client: client.resolve(name_at(client, remote), tag))

    async def referrers(self, repository: Repository, subject: Digest) -> Sequence[Digest]:
        """Return the upstream's referrers of a manifest; none within the interval after a call. Raises Unavailable."""
        remote = self._routes.remote(repository)
        if remote is None or self._now_s() < self._next_referrers_s.get((repository, subject), 0.0):
            return ()
        self._next_referrers_s[repository, subject] = self._now_s() + max(self._settings.check_interval_s, MOMENT_S)
        return await first_answer(self._clients, lambda client: client.referrers(name_at(client, remote), subject))

    async def blob_size(self, repository: Repository, digest: Digest) -> int | None:
        """Return the size of a blob; None: there is none. Raises Unavailable."""
        remote = self._routes.remote(repository)
        if remote is None:
            return None

        def ask(client: UpstreamClient) -> Awaitable[int | None]:
            return client.blob_size(name_at(client, remote), digest)

        return await first_answer(self._clients, ask)

    @asynccontextmanager
    async def blob(self, repository: Repository, digest: Digest, start: int = 0) -> AsyncIterator[SourcedBlob | None]:
        """Open a blob from an offset on, resumed where a connection breaks; None: there is none. Raises Unavailable."""
        remote = self._routes.remote(repository)
        if remote is None:
            yield None
            return
        async with AsyncExitStack() as stack:
            download = BlobDownload(self._clients, remote, digest, self._settings, stack)
            opened = await download.open(start)
            yield None if opened is None else SourcedBlob(opened.size, download.chunks(opened, start))

    async def names(self, after: str, limit: int) -> Sequence[Repository]:
        """Return none: a list has what was mirrored already, as in zot."""
        del after, limit
        return ()

    async def retire(self) -> None:
        """Close the connections once what is under way has ended."""
        for client in self._clients:
            await client.retire()

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()
