"""Opening a store: by the same steps for a server, for a command without one, and for tests.

`claim_store` is the first step, in the process that starts all others: locks, checks, directories, identities, healing.
`open_claimed_store` is the second, in each process that touches content. `open_store` is both.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal, cast

from zot.accounts.engine import AccountsEngine
from zot.catalog.engine import CatalogEngine
from zot.catalog.interface import Catalog, CatalogUnavailableError
from zot.config.model import Config
from zot.layout.build import build as build_layouts
from zot.layout.layouts import StoreLayouts
from zot.logs.setup import Logs
from zot.registry import build as registry_build
from zot.registry.content_cache import ContentCache
from zot.registry.damage import DamageReports
from zot.registry.fetches import Fetches
from zot.registry.registry import Registry
from zot.registry.sources import Upstream
from zot.registry.unimported import NothingUnimported
from zot.replicas.interface import Replicas
from zot.server.drivers import accounts_engine, catalog_engine
from zot.server.plan import ServerPlan
from zot.server.store_registry import (
    catalog_is_older,
    known_stores,
    recorded_stores,
    refuse_root,
    require_store,
    require_whole_catalog,
    unusable_stores,
)
from zot.statistics.interface import StatisticsStore
from zot.storage.build import build as build_storage
from zot.storage.build import open_object_stores
from zot.storage.interface import Storage, StorageError
from zot.storage.lock import locked_roots
from zot.storage.memory import MemoryStorage
from zot.storage.probe import probe
from zot.storage.threads import ThreadPools

_OPENING_POLL_S = 0.2
_LOCK_WAIT_S = 30.0

_log = logging.getLogger("zot.server")

Notify = Callable[[str], object]
"""Shows a sentence to the operator."""


@dataclass(frozen=True, slots=True)
class Store:
    """An open store, and what every process that touches content needs beside it."""

    config: Config
    plan: ServerPlan
    logs: Logs
    pools: ThreadPools
    catalog_engine: CatalogEngine
    catalog: Catalog
    storage: Storage
    layouts: StoreLayouts | None
    """None: content is not kept in layouts, so none is imported or exported."""
    accounts_engine: AccountsEngine
    statistics: StatisticsStore
    replicas: Replicas
    cache: ContentCache = field(default_factory=ContentCache)
    damage: DamageReports = field(default_factory=DamageReports)
    fetches: Fetches = field(default_factory=Fetches)

    @property
    def read_only(self) -> bool:
        """Whether nothing may be changed."""
        return self.plan.read_only or self.config.storage.read_only

    def registry(self, config: Config, upstreams: Sequence[Upstream] = ()) -> Registry:
        """Return the registry that a configuration describes, on this store; it mirrors the upstreams."""
        parts = registry_build.RegistryParts(
            catalog=self.catalog,
            storage=self.storage,
            layouts=self.layouts or NothingUnimported(),
            cache=self.cache,
            damage=self.damage,
            fetches=self.fetches,
            upstreams=tuple(upstreams),
            read_only=self.plan.read_only,
        )
        return registry_build.build(config, parts)

    async def close(self) -> None:
        """Close everything, in the opposite order."""
        await self.fetches.close()
        await self.replicas.close()
        await self.statistics.close()
        if self.layouts is not None:
            await self.layouts.close()
        await self.storage.close()
        await self.catalog.close()
        self.pools.close()
        self.logs.close()


# --- the first step ---


@contextmanager
def claim_store(
    plan: ServerPlan,
    *,
    must_exist: bool = False,
    wait_s: float = _LOCK_WAIT_S,
    waiting: Notify = lambda _: None,
    notify: Notify = _log.warning,
) -> Iterator[ServerPlan]:
    """Hold a store for this process and those that it forks during the block; yield the plan to open it by.

    With `must_exist` no store is made: it was served before, its catalog is whole, and root makes no files in the store
    of another user. It blocks, up to `wait_s` for the process that has a root, which `waiting` is called with. Raises
    RootInUseError if it still has it, and as `prepare_store` does.
    """
    catalog = catalog_engine(plan)
    if must_exist:
        require_store(plan.state, catalog, plan.roots)
        refuse_root(plan.roots)
    with locked_roots(() if plan.memory else plan.roots, wait_s, waiting):
        if must_exist:
            require_whole_catalog(catalog)
        yield plan if plan.memory else prepare_store(plan, notify)


def prepare_store(plan: ServerPlan, notify: Notify) -> ServerPlan:
    """Make what all processes of a start share; return the plan with the identities of its stores.

    Its roots are locked. Makes directories and identities, and starts damaged statistics from scratch; `notify` is
    called with what is damaged or cannot be used. It blocks. Raises StorageError.
    """
    state, catalog = plan.state, catalog_engine(plan)
    try:
        for directory in dict.fromkeys((state.catalog, state.runtime)):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        catalog.release_reserve()
        now_ns = time.time_ns()
        probed = probe(plan.object_stores, recorded_stores(state), now_ns)
        stores = tuple(known_stores(state, plan.roots, probed).items())
        older = catalog_is_older(state, plan.roots, probed)
        # Other replicas record their starts in the object store, too: theirs say nothing about the catalog they share.
        older_ns = now_ns if older and not (plan.shares_content and plan.catalog_driver) else 0
    except OSError as error:
        raise StorageError(f"{error.filename}: {error.strerror}") from error
    for why in unusable_stores(stores, probed):
        notify(f"{why}. Until then what needs this store is answered with 503.")
    try:
        notices = accounts_engine(plan).heal()
    except OSError as error:
        raise StorageError(f"{error.filename} is damaged, and cannot be set aside: {error.strerror}") from error
    for notice in notices:
        notify(notice)
    return replace(plan, stores=stores, catalog_is_older_than_ns=older_ns)


def begin_catalog(plan: ServerPlan) -> ServerPlan:
    """Prepare the catalog for several processes; return the plan with the boot that it holds. Raises CatalogError."""
    with open_logs(plan):
        return replace(plan, catalog_boot=catalog_engine(plan).begin(plan.owner))


# --- the second step ---


@asynccontextmanager
async def open_claimed_store(config: Config, plan: ServerPlan, *, waits: bool = False) -> AsyncIterator[Store]:
    """Open a store that this process, or the one that started it, holds; it is closed at the end of the block.

    With `waits` this process replaces another one: it waits for a log file that cannot be opened. Raises CatalogError,
    StatisticsUnavailableError, OSError if a log cannot be opened.
    """
    async with AsyncExitStack() as opened:
        # What is open is closed if a later part cannot be opened.
        logs = open_logs(plan, waits=waits)
        opened.callback(logs.close)
        engine = catalog_engine(plan)
        catalog = await _connected(engine, plan) if plan.workers else engine.open(plan.owner)
        opened.push_async_callback(catalog.close)
        store = _assembled(config, plan, logs, engine, catalog)
        opened.pop_all()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def open_store(
    config: Config, plan: ServerPlan, *, must_exist: bool = False, wait_s: float = 0.0, notify: Notify = _log.warning
) -> AsyncIterator[Store]:
    """Claim a store and open it for this process alone. Raises as `claim_store` and `open_claimed_store` do."""
    with claim_store(plan, must_exist=must_exist, wait_s=wait_s, notify=notify) as claimed:
        async with open_claimed_store(config, claimed) as store:
            yield store


def open_logs(plan: ServerPlan, *, waits: bool = False) -> Logs:
    """Open the logs that the configuration names. Raises OSError if a file cannot be opened, unless `waits`.

    With `waits` lines are held until the file can be opened.
    """
    form = cast("Literal['text', 'json'] | None", plan.log_format)
    return Logs(plan.log_level, plan.log_output, plan.log_audit, form, waits=waits)


async def _connected(engine: CatalogEngine, plan: ServerPlan) -> Catalog:
    """Return the catalog that the start has begun, once it is available.

    A process that is replaced while its disk is away waits here until it is back, before it makes any file.
    """
    catalog: Catalog | None = None
    waiting = False
    while True:
        try:
            if catalog is None:
                catalog = engine.connect(plan.owner, plan.catalog_boot)
            await catalog.ready()
        except (CatalogUnavailableError, OSError) as error:
            if not waiting:
                _log.error("a replaced process waits for the catalog: %s", error)
            waiting = True
            await asyncio.sleep(_OPENING_POLL_S)
        else:
            return catalog


def _assembled(config: Config, plan: ServerPlan, logs: Logs, engine: CatalogEngine, catalog: Catalog) -> Store:
    """Build each part, in order. Raises StatisticsUnavailableError."""
    pools, damage = ThreadPools(), DamageReports()
    accounts = accounts_engine(plan)
    storage: Storage
    layouts = None
    if plan.memory:
        storage = MemoryStorage()
    else:
        objects = open_object_stores(config.storage, pools)
        storage = build_storage(config.storage, pools, dict(plan.stores), plan.synced_directories, objects)
        layouts = build_layouts(
            config.storage,
            catalog,
            storage,
            pools,
            damage,
            synced=plan.synced_directories,
            objects=objects,
            compared=plan.compared,
            catalog_is_older_than_ns=plan.catalog_is_older_than_ns,
            manifest_limit_bytes=config.http.limits.max_manifest_bytes,
        )
    statistics = accounts.open_statistics(pools.durable)
    replicas = accounts.open_replicas()
    return Store(
        config, plan, logs, pools, engine, catalog, storage, layouts, accounts, statistics, replicas, damage=damage
    )
