"""The registry, from the configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from zot.catalog.interface import Catalog
from zot.config.http import DOCKER2S2
from zot.config.model import Config
from zot.config.storage import StorageConfig
from zot.config.store_table import StoreTable
from zot.oci.names import Repository
from zot.registry.content_cache import ContentCache
from zot.registry.damage import DamageReports
from zot.registry.fetches import Fetches
from zot.registry.quota import ByteQuota, Quotas
from zot.registry.registry import Registry, RegistryLimits
from zot.registry.sources import Upstream
from zot.registry.unimported import UnimportedRepositories
from zot.storage.interface import Storage as ContentStorage


@dataclass(frozen=True, slots=True)
class RegistryParts:
    """The stores that the registry works on."""

    catalog: Catalog
    storage: ContentStorage
    layouts: UnimportedRepositories
    cache: ContentCache
    upstreams: tuple[Upstream, ...] = ()
    read_only: bool = False
    damage: DamageReports = field(default_factory=DamageReports)
    fetches: Fetches = field(default_factory=Fetches)


def build(config: Config, parts: RegistryParts) -> Registry:
    """Return the registry that the configuration describes."""
    limits = config.http.limits
    return Registry(
        catalog=parts.catalog,
        storage=parts.storage,
        layouts=parts.layouts,
        upstreams=parts.upstreams,
        limits=RegistryLimits(
            manifest_bytes=limits.max_manifest_bytes,
            page=limits.max_page_size,
            uploads_per_repository=limits.max_uploads_per_repository,
        ),
        quotas=_quotas(config),
        cache=parts.cache,
        shares=_sharing(config.storage),
        redirects=_redirecting(config.storage),
        docker_types=DOCKER2S2 in config.http.compat,
        sparse=config.http.accept_sparse,
        read_only=parts.read_only or config.storage.read_only,
        damage=parts.damage,
        fetches=parts.fetches,
    )


def _sharing(storage: StorageConfig) -> Callable[[Repository, Repository], bool]:
    """Return a function that tells whether two repositories are in one store that deduplicates."""
    stores = StoreTable(storage)

    def shares(one: Repository, other: Repository) -> bool:
        mine, its = stores.of(one), stores.of(other)
        return mine.config.dedupe and its.config.dedupe and mine.root == its.root

    return shares


def _redirecting(storage: StorageConfig) -> Callable[[Repository], bool]:
    """Return a function that tells whether pulls from a repository may be redirected (`redirectBlobURL`)."""
    stores = StoreTable(storage)
    return lambda repository: stores.of(repository).config.redirect_blob_url


def _quotas(config: Config) -> Quotas:
    storage = config.storage
    quotas = [ByteQuota(tuple(quota.repositories), quota.limit_bytes, each=quota.each) for quota in storage.quotas]
    return Quotas(quotas, storage.max_repos or None)
