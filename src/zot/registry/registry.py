"""The registry: the stores and rules that all use cases share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from zot.catalog.blob_commands import TouchBlob
from zot.catalog.command import ChangeSource
from zot.catalog.interface import Catalog
from zot.catalog.manifest_commands import TouchManifest
from zot.config import default_limits
from zot.oci.names import Repository, creation_refused
from zot.registry.content_cache import ContentCache
from zot.registry.damage import DamageReports
from zot.registry.errors import NameInvalid, NameUnknown, Unsupported
from zot.registry.fetches import Fetches
from zot.registry.large_manifests import LargeManifests
from zot.registry.quota import Quotas
from zot.registry.small_bodies import SmallBodies
from zot.registry.sources import Source, Upstream
from zot.registry.unimported import NothingUnimported, UnimportedRepositories
from zot.storage.interface import Storage

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RegistryLimits:
    """Limits on what one client can ask for; nothing larger is ever held."""

    manifest_bytes: int = default_limits.MANIFEST_BYTES
    page: int = default_limits.PAGE_ENTRIES
    """Entries of one page of a list."""
    tags_per_push: int = 46
    uploads_per_repository: int = default_limits.UPLOADS_PER_REPOSITORY


@dataclass(frozen=True, slots=True)
class Registry:
    """What exists (catalog), where its bytes are (storage), and the rules that hold for all."""

    catalog: Catalog
    storage: Storage
    layouts: UnimportedRepositories = field(default_factory=NothingUnimported)
    upstreams: tuple[Upstream, ...] = ()
    """Registries that this one mirrors, in the order in which they are asked."""
    limits: RegistryLimits = field(default_factory=RegistryLimits)
    quotas: Quotas = field(default_factory=Quotas)
    listing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by the whole list that takes a step."""
    large_manifests: LargeManifests = field(default_factory=LargeManifests)
    """The queue of large manifests that are pushed."""
    small_bodies: SmallBodies = field(default_factory=SmallBodies)
    """The memory of small blobs that are pushed."""
    cache: ContentCache = field(default_factory=ContentCache)
    shares: Callable[[Repository, Repository], bool] = lambda _one, _other: True
    """Whether two repositories may have the same bytes: in one store, where content is deduplicated."""
    redirects: Callable[[Repository], bool] = lambda _: True
    """Whether clients are redirected to where a repository's content is, if the storage knows a location."""
    docker_types: bool = True
    """Accept Docker's schema 2 manifests beside OCI's."""
    sparse: bool = False
    """Accept images some of whose blobs are not here."""
    read_only: bool = False
    damage: DamageReports = field(default_factory=DamageReports)
    fetches: Fetches = field(default_factory=Fetches)
    """What is on its way from upstreams, for all requests of this process."""

    @property
    def sources(self) -> tuple[Source, ...]:
        """What may have more than the catalog, in the order in which it is asked."""
        return (self.layouts, *self.upstreams)

    async def exists(self, repository: Repository) -> bool:
        """Tell whether there is such a repository, known to the catalog or yet to be imported."""
        return await self.catalog.repository(repository) is not None or await self.layouts.exists(repository)

    async def known(self, repository: Repository) -> None:
        """Return if the repository exists and the catalog has all of it. Raises NameUnknown, Unavailable."""
        if not await self.is_known(repository):
            raise NameUnknown(name=repository)

    async def is_known(self, repository: Repository) -> bool:
        """Tell whether the repository exists, once the catalog has all of it. Raises Unavailable."""
        row = await self.catalog.repository(repository)
        if row is not None and row.imported:
            await self.level(repository)
            return True
        if row is None and not await self.layouts.exists(repository):
            return False
        await self.layouts.ensure_imported(repository)
        return True

    async def writable(self, repository: Repository, by: str = "", source: ChangeSource = ChangeSource.CLIENT) -> None:
        """Return once the repository may be written to; create it if it does not exist, as a change of `by`.

        Raises Unsupported, Unavailable, NameInvalid if it is not there and no repository of its name can be created.
        """
        self.refuse_if_read_only()
        row = await self.catalog.repository(repository)
        if row is not None and row.imported:
            await self.level(repository)
            return
        if row is None:
            refused = creation_refused(repository)
            if refused is None:
                refused = await self.layouts.obstacle(repository)
            elif await self.layouts.exists(repository):
                refused = None
            if refused is not None:
                raise NameInvalid(refused, name=repository)
        await self.layouts.ensure_imported(repository, by, source)

    async def level(self, repository: Repository) -> bool:
        """Return once the catalog has what another program wrote before the start; tell whether it was compared.

        It costs a look at a file for the first request to a repository, and none for all others. Raises Unavailable.
        """
        if self.read_only or not self.layouts.comparison_due(repository):
            return False
        await self.layouts.compare(repository)
        return True

    async def touch(self, touch: TouchBlob | TouchManifest) -> bool:
        """Keep marked content from being collected for another delay; return whether it is still there."""
        # A read-only registry collects nothing.
        return self.read_only or await self.catalog.do(touch)

    def refuse_if_read_only(self) -> None:
        """Raise Unsupported if nothing may be changed."""
        if self.read_only:
            raise Unsupported("the registry is read-only")
