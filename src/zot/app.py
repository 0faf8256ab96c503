"""What every process of a server that touches content has: each package builds its part, in order."""

from __future__ import annotations

from dataclasses import dataclass, field

from zot.accounts.statistics import StatisticsStore
from zot.accounts.statistics_sqlite import SqliteStatistics
from zot.catalog.interface import Catalog
from zot.config.model import Config
from zot.layout.build import build as build_layouts
from zot.layout.layouts import StoreLayouts
from zot.logs.setup import Logs
from zot.registry import build as registry_of
from zot.registry.content_cache import ContentCache
from zot.registry.damage import DamageReports
from zot.registry.registry import Registry
from zot.server.plan import ServerPlan
from zot.storage.build import build as build_storage
from zot.storage.interface import Storage
from zot.storage.threads import ThreadPools


@dataclass(frozen=True, slots=True)
class Core:
    """The stores, opened."""

    config: Config
    plan: ServerPlan
    logs: Logs
    pools: ThreadPools
    catalog: Catalog
    storage: Storage
    layouts: StoreLayouts
    statistics: StatisticsStore
    cache: ContentCache = field(default_factory=ContentCache)
    damage: DamageReports = field(default_factory=DamageReports)

    @property
    def read_only(self) -> bool:
        """Whether nothing may be changed."""
        return self.plan.read_only or self.config.storage.read_only

    def registry(self, config: Config) -> Registry:
        """Return the registry that a configuration describes, on the same parts."""
        parts = registry_of.RegistryParts(
            catalog=self.catalog,
            storage=self.storage,
            layouts=self.layouts,
            boot=self.plan.boot,
            cache=self.cache,
            damage=self.damage,
            read_only=self.plan.read_only,
        )
        return registry_of.build(config, parts)

    async def close(self) -> None:
        """Let go of everything, in the opposite order."""
        await self.statistics.close()
        await self.layouts.close()
        await self.storage.close()
        await self.catalog.close()
        self.pools.close()
        self.logs.close()


def open_core(config: Config, plan: ServerPlan, logs: Logs, catalog: Catalog) -> Core:
    """Open the stores. Raises StatisticsUnavailableError."""
    pools = ThreadPools()
    storage = build_storage(config.storage, pools, dict(plan.stores))
    damage = DamageReports()
    layouts = build_layouts(
        config.storage,
        catalog,
        storage,
        pools,
        damage,
        boot=plan.boot,
        catalog_is_older_than_ns=plan.catalog_is_older_than_ns,
        manifest_limit_bytes=config.http.limits.max_manifest_bytes,
    )
    statistics = SqliteStatistics(plan.state.statistics_database, pools.durable)
    return Core(config, plan, logs, pools, catalog, storage, layouts, statistics, damage=damage)
