"""The drivers of the catalog, accounts and statistics that a plan has; they are chosen here alone."""

from __future__ import annotations

from zot.accounts.engine import AccountsEngine
from zot.catalog.engine import CatalogEngine
from zot.config.errors import ConfigProblem, ConfigurationError
from zot.server.plan import ServerPlan

# The drivers are imported where they are chosen: a check that fails before needs none of their libraries.
# ruff: noqa: PLC0415


def catalog_engine(plan: ServerPlan) -> CatalogEngine:
    """Return the engine of the plan's catalog. Raises ConfigurationError if its driver's options are not valid."""
    if plan.memory:
        from zot.catalog.memory.engine import MemoryCatalogEngine

        return MemoryCatalogEngine()
    if plan.catalog_driver is not None:
        name = plan.catalog_driver.get("name")
        raise ConfigurationError(ConfigProblem(f"there is no catalog in {name}", "storage.cacheDriver.name"))
    from zot.catalog.sqlite.engine import SqliteCatalogEngine

    return SqliteCatalogEngine(plan.state, syncs=plan.syncs)


def accounts_engine(plan: ServerPlan) -> AccountsEngine:
    """Return the engine of the plan's accounts and statistics: where the catalog is, as in zot.

    Raises ConfigurationError as `catalog_engine` does.
    """
    if plan.memory:
        from zot.accounts.memory_engine import MemoryAccountsEngine

        return MemoryAccountsEngine()
    if plan.catalog_driver is not None:
        name = plan.catalog_driver.get("name")
        if name == "redis":
            from zot.accounts.redis_engine import RedisAccountsEngine

            return RedisAccountsEngine(plan.catalog_driver)
        if name == "postgres":
            from zot.accounts.postgres_engine import PostgresAccountsEngine

            return PostgresAccountsEngine(plan.catalog_driver)
        raise ConfigurationError(ConfigProblem(f"there are no accounts in {name}", "storage.cacheDriver.name"))
    from zot.accounts.sqlite_engine import SqliteAccountsEngine
    from zot.catalog.sqlite.snapshot import snapshot

    return SqliteAccountsEngine(plan.state, snapshot)
