"""What one process of a server consists of: each package builds its part, in order."""

from __future__ import annotations

import asyncio
import resource
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from zot import __version__
from zot.accounts.build import Stores, open_stores
from zot.accounts.interface import AccountsUnavailable
from zot.accounts.sessions.interface import SessionsUnavailable
from zot.api import build as api
from zot.api.access_log import AccessLog
from zot.api.application import Application, Routes
from zot.api.audit_log import AuditLog
from zot.api.auth_build import build as build_auth_http
from zot.api.client_address import ClientAddresses
from zot.api.connection import ConnectionServer, Observe
from zot.api.gate import Gate
from zot.api.health import Health
from zot.api.metrics import Metrics, MetricsPage
from zot.api.metrics_registry import Recorded
from zot.api.metrics_state import ServerState
from zot.auth.build import PASSWORD_THREADS, PASSWORDS_WAITING_LIMIT, Auth
from zot.auth.build import Parts as AuthParts
from zot.auth.build import build as build_auth
from zot.catalog.interface import Catalog
from zot.config.errors import ConfigurationError
from zot.config.model import Config
from zot.layout.build import build as build_layouts
from zot.layout.build import build_jobs
from zot.layout.layouts import StoreLayouts
from zot.logs.setup import Logs
from zot.processes.plan import Plan
from zot.processes.reloading import OnFile, Reloading
from zot.processes.tls import CannotServeTls, Certificates
from zot.registry import build as registry_of
from zot.registry.content_cache import ContentCache
from zot.registry.registry import Registry
from zot.storage.build import build as build_storage
from zot.storage.interface import Storage
from zot.storage.pools import Pool, Pools

CANNOT_SERVE = (CannotServeTls, ConfigurationError, AccountsUnavailable, SessionsUnavailable)
"""Why a process that answers requests does not start."""


@dataclass(frozen=True, slots=True)
class Core:
    """What every process that touches content has."""

    config: Config
    plan: Plan
    logs: Logs
    pools: Pools
    catalog: Catalog
    storage: Storage
    layouts: StoreLayouts
    cache: ContentCache = field(default_factory=ContentCache)

    def registry(self, config: Config) -> Registry:
        """Return the registry that a configuration describes, on the same parts."""
        parts = registry_of.Parts(
            catalog=self.catalog,
            storage=self.storage,
            layouts=self.layouts,
            boot=self.plan.boot,
            cache=self.cache,
            read_only=self.plan.read_only,
        )
        return registry_of.build(config, parts)

    async def close(self) -> None:
        """Let go of everything, in the opposite order."""
        await self.layouts.close()
        await self.storage.close()
        await self.catalog.close()
        self.pools.close()
        self.logs.close()


def open_core(config: Config, plan: Plan, logs: Logs, catalog: Catalog) -> Core:
    """Open the stores."""
    pools = Pools()
    storage = build_storage(config.storage, pools, dict(plan.stores))
    layouts = build_layouts(config.storage, catalog, storage, pools)
    return Core(config, plan, logs, pools, catalog, storage, layouts)


# --- answering requests ---


class Http:
    """What a process that answers requests has."""

    def __init__(self, core: Core, slot: int, stores: Stores | None) -> None:
        """Build it, in the running event loop, on the stores of accounts if there are users. Raises CannotServeTls."""
        self._core = core
        self._stores = stores
        self._passwords = Pool("passwords", PASSWORD_THREADS, PASSWORDS_WAITING_LIMIT)
        self._auth: Auth | None = None
        config = core.config
        self.health = Health(core.storage.ready)
        self._addresses = ClientAddresses(config.http.trusted_proxies)
        self._metrics = _metrics(core, slot, lambda: len(self.server.connections))
        self._page = MetricsPage(self._metrics, _state(core)) if self._metrics is not None else None
        self.server: ConnectionServer = api.build_server(
            config.http, self._application(config), self._observers(), resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        )
        self._certificates = _certificates(config)

    @property
    def tls(self) -> ssl.SSLContext | None:
        """What connections are encrypted by."""
        return self._certificates.context if self._certificates is not None else None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Meanwhile record metrics, and follow the files that this was made from."""
        file = self._core.plan.config
        reloading = Reloading(
            Path(file) if file is not None else None, self._core.config, self._apply, self._followed()
        )
        tasks: list[Callable[[], Awaitable[None]]] = [reloading.run]
        if self._metrics is not None:
            tasks.append(self._metrics.run)
        async with _meanwhile(tasks):
            yield
        if self._metrics is not None:
            self._metrics.close()
        if self._auth is not None:
            await self._auth.close()
        if self._stores is not None:
            await self._stores.close()
        self._passwords.close()

    async def _apply(self, config: Config) -> None:
        replaced = self._auth
        self.server.replace(self._application(config).handle)
        if replaced is not None:
            await replaced.close()

    def _application(self, config: Config) -> Application:
        path = _metrics_path(config)
        auth = self._auth = build_auth(config, self._auth_parts())
        if auth.is_open:
            gate = Gate(None, auth.policy)
            routes: Routes = {}
        else:
            of_auth = build_auth_http(config.http, auth, self._addresses)
            gate, routes = of_auth.gate, of_auth.routes
        return api.build(
            config.http,
            self._core.registry(config),
            api.Parts(
                gate=gate,
                health=self.health,
                addresses=self._addresses,
                workers=max(1, self._core.plan.workers),
                metrics=(path, self._page.get) if path is not None and self._page is not None else None,
                routes=routes,
            ),
        )

    def _auth_parts(self) -> AuthParts:
        stores = self._stores
        if stores is None:
            return AuthParts(self._passwords, self._core.pools.read)
        return AuthParts(self._passwords, self._core.pools.read, stores.accounts, stores.sessions)

    def _observers(self) -> list[Observe]:
        observers: list[Observe] = []
        if self._core.logs.shows_access:
            observers.append(AccessLog(self._core.logs.writer, self._addresses).observe)
        if self._core.logs.audit_writer is not None:
            observers.append(AuditLog(self._addresses).observe)
        if self._metrics is not None:
            observers.append(self._metrics.http.observe)
        return observers

    def _followed(self) -> list[tuple[Path, OnFile]]:
        certificates = self._certificates
        return [] if certificates is None else [(path, certificates.reload) for path in certificates.paths]


async def open_http(core: Core, slot: int) -> Http:
    """Open the stores of accounts and build what answers requests.

    Raises CannotServeTls, ConfigurationError, AccountsUnavailable and SessionsUnavailable.
    """
    return Http(core, slot, await open_stores(core.config, core.pools.read))


def _certificates(config: Config) -> Certificates | None:
    tls = config.http.tls
    if tls is None or not tls.cert:
        return None
    return Certificates(Path(tls.cert), Path(tls.key), Path(tls.cacert) if tls.cacert else None)


def _metrics_path(config: Config) -> str | None:
    metrics = config.extensions.metrics
    return metrics.prometheus.path if metrics is not None and metrics.enable else None


def _metrics(core: Core, slot: int, connections: Callable[[], int]) -> Metrics | None:
    path = _metrics_path(core.config)
    if path is None:
        return None
    return Metrics(
        _recorded(core.plan, f"worker-{slot}"),
        path,
        connections=connections,
        lines_dropped=lambda: core.logs.dropped,
    )


def _recorded(plan: Plan, process: str) -> Recorded:
    return Recorded(process, Path(plan.metrics_directory) if plan.workers else None)


def _state(core: Core) -> ServerState:
    info = {"commit": "", "binaryType": "python", "goVersion": "", "version": core.config.dist_spec_version}
    info["releaseTag"] = __version__
    return ServerState(core.catalog, info, core.plan.workers, Path(core.plan.catalog_directory, "catalog.db-wal"))


# --- the long work ---


class Jobs:
    """What a process that does the long work has."""

    def __init__(self, core: Core) -> None:
        """Build it."""
        self._core = core
        self._layouts = build_jobs(core.catalog, core.storage, core.layouts)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Do what is due meanwhile; at the end, once nobody writes any more, bring every layout level."""
        writes = not self._core.plan.read_only and not self._core.config.storage.read_only
        async with _meanwhile([self._layouts.run] if writes else []):
            yield
        if writes:
            await self._layouts.drain(self._core.plan.drain_s)


@asynccontextmanager
async def _meanwhile(tasks: Sequence[Callable[[], Awaitable[None]]]) -> AsyncIterator[None]:
    """Run tasks for as long as the block runs. One that fails ends the block, and so the process: it is replaced."""
    async with AsyncExitStack() as stack:
        group = await stack.enter_async_context(asyncio.TaskGroup())
        running = [group.create_task(_awaited(task)) for task in tasks]
        try:
            yield
        finally:
            for each in running:
                each.cancel()


async def _awaited(task: Callable[[], Awaitable[None]]) -> None:
    await task()
