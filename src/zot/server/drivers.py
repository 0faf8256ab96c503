"""The drivers of catalog, accounts, statistics and storage that a plan has; they are chosen here alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zot.accounts.engine import AccountsEngine
from zot.catalog.engine import CatalogEngine
from zot.config.model import Config
from zot.server.plan import ServerPlan

if TYPE_CHECKING:
    from zot.catalog.interface import Catalog
    from zot.layout.layouts import StoreLayouts
    from zot.registry.damage import DamageReports
    from zot.storage.disk import Disk
    from zot.storage.interface import Storage
    from zot.storage.threads import ThreadPools

# The drivers are imported where they are chosen: a check that fails before needs none of their libraries.
# ruff: noqa: PLC0415


def catalog_engine(plan: ServerPlan) -> CatalogEngine:
    """Return the engine of the plan's catalog."""
    if plan.memory:
        from zot.catalog.memory.engine import MemoryCatalogEngine

        return MemoryCatalogEngine()
    from zot.catalog.sqlite.engine import SqliteCatalogEngine

    return SqliteCatalogEngine(plan.state, syncs=plan.syncs)


def accounts_engine(plan: ServerPlan) -> AccountsEngine:
    """Return the engine of the plan's accounts and statistics."""
    if plan.memory:
        from zot.accounts.memory_engine import MemoryAccountsEngine

        return MemoryAccountsEngine()
    from zot.accounts.sqlite_engine import SqliteAccountsEngine
    from zot.catalog.sqlite.snapshot import snapshot

    return SqliteAccountsEngine(plan.state, snapshot)


@dataclass(frozen=True, slots=True)
class Drivers:
    """How the parts of a store are opened. Tests of crashes put engines and a disk of theirs in the place of these."""

    catalog: Callable[[ServerPlan], CatalogEngine] = catalog_engine
    accounts: Callable[[ServerPlan], AccountsEngine] = accounts_engine
    disk: Disk | None = None
    """Carries out the operations on files; None: the disk itself."""

    def open_storage(self, config: Config, plan: ServerPlan, pools: ThreadPools) -> Storage:
        """Return the storage of the plan's stores."""
        if plan.memory:
            from zot.storage.memory import MemoryStorage

            return MemoryStorage()
        from zot.storage.build import build

        return build(config.storage, pools, dict(plan.stores), plan.synced_directories, disk=self.disk)

    def open_layouts(
        self,
        config: Config,
        plan: ServerPlan,
        catalog: Catalog,
        storage: Storage,
        pools: ThreadPools,
        damage: DamageReports,
    ) -> StoreLayouts | None:
        """Return the layouts in which the storage keeps its content, None if it keeps none."""
        if plan.memory:
            return None
        from zot.layout.build import build

        return build(
            config.storage,
            catalog,
            storage,
            pools,
            damage,
            synced=plan.synced_directories,
            compared=plan.compared,
            catalog_is_older_than_ns=plan.catalog_is_older_than_ns,
            manifest_limit_bytes=config.http.limits.max_manifest_bytes,
            disk=self.disk,
        )


DRIVERS = Drivers()
