"""The drivers of the catalog, accounts and statistics that a plan has; they are chosen here alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zot.accounts.engine import AccountsEngine
from zot.catalog.engine import CatalogEngine
from zot.config.errors import ConfigProblem, ConfigurationError
from zot.config.postgres_address import driver_address
from zot.config.redis_options import redis_options
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
        if name == "postgres":
            return _postgres_catalog(plan, plan.catalog_driver)
        if name == "redis":
            return _redis_catalog(plan, plan.catalog_driver)
        raise ConfigurationError(ConfigProblem(f"there is no catalog in {name}", "storage.cacheDriver.name"))
    from zot.catalog.sqlite.engine import SqliteCatalogEngine

    return SqliteCatalogEngine(plan.state, syncs=plan.syncs)


def _redis_catalog(plan: ServerPlan, driver: Mapping[str, Any]) -> CatalogEngine:
    from zot.catalog.redis.engine import RedisCatalogEngine
    from zot.catalog.redis.server import DEFAULT_PREFIX, RedisPlace

    options, _ = redis_options(driver, DEFAULT_PREFIX, "storage.cacheDriver")
    store = dict(plan.stores).get(plan.main_root, "")
    return RedisCatalogEngine(RedisPlace(options), store, is_alone=not plan.shares_content)


def _postgres_catalog(plan: ServerPlan, driver: Mapping[str, Any]) -> CatalogEngine:
    from zot.catalog.postgres.engine import PostgresCatalogEngine

    store = dict(plan.stores).get(plan.main_root, "")
    address = driver_address(driver, "storage.cacheDriver")
    return PostgresCatalogEngine(address, store, is_alone=not plan.shares_content)


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
