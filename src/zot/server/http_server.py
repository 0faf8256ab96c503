"""The HTTP server of a process: authentication, routes, access log, metrics, and reload of its configuration."""

from __future__ import annotations

import resource
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from zot import __version__
from zot.accounts.build import AccountStores, open_stores
from zot.accounts.interface import AccountsUnavailableError
from zot.accounts.sessions.interface import SessionsUnavailableError
from zot.api import build as api
from zot.api.access_log import AccessLog
from zot.api.application import Application
from zot.api.audit_log import AuditLog
from zot.api.auth.authentication import HttpAuthenticator
from zot.api.auth.build import build as build_auth_http
from zot.api.authorization import Authorizer
from zot.api.client_address import ClientAddresses
from zot.api.completed_requests import Observe
from zot.api.connection import ConnectionServer
from zot.api.health import Health
from zot.api.http_request import Handler, HttpRequest
from zot.api.pull_counts import PullCounts
from zot.auth.build import PASSWORD_QUEUE_LIMIT, PASSWORD_THREADS, Auth, AuthParts
from zot.auth.build import build as build_auth
from zot.auth.credentials import ResourceClass
from zot.config.errors import ConfigurationError
from zot.config.model import Config
from zot.extensions.declaration import Extension, ExtensionRoute, HttpContext
from zot.foundation.threads import ThreadPool
from zot.migration.import_zot_metadata import accounts_awaited
from zot.registry.request import UseExtension
from zot.server.background_tasks import background_tasks
from zot.server.config_reload import CertificateReload, ConfigReload, certificates_of
from zot.server.extensions import (
    EXTENSIONS,
    open_deliveries,
    open_layer_files,
    open_mirrors,
    open_search,
    visibility,
)
from zot.server.plan import ServerPlan
from zot.server.running_state import RunningState, StateReport
from zot.server.store import Store
from zot.server.tls import TlsError
from zot.statistics.interface import StatisticsUnavailableError
from zot.statistics.recorder import StatisticsRecorder

if TYPE_CHECKING:  # these bring maintenance and the library of metrics with them
    from zot.admin.asking import Ask
    from zot.admin.events import EventDeliveries
    from zot.api.metrics.metrics import Metrics
    from zot.api.metrics.registry import Recorded
    from zot.api.metrics.state import ServerState
    from zot.extensions.sync.build import Mirrors

# Queries of extensions that take long are made one by one, so that they leave the processor to other requests.
_HANDLER_THREADS = 1
_HANDLER_QUEUE_LIMIT = 64

CANNOT_SERVE = (
    TlsError,
    ConfigurationError,
    AccountsUnavailableError,
    SessionsUnavailableError,
    StatisticsUnavailableError,
)
"""Why a process that answers requests cannot start."""


class HttpServer:
    """The HTTP server of a process, on an open store."""

    def __init__(
        self,
        store: Store,
        slot: int,
        accounts: AccountStores | None,
        state: RunningState,
        report: StateReport,
        ask: Ask,
    ) -> None:
        """Build it in the running event loop; `accounts` is None if there are no users. Raises TlsError."""
        self._store = store
        self._slot = slot
        self._state = state
        self._report = report
        self._ask = ask
        self._accounts = accounts
        self._passwords = ThreadPool("passwords", PASSWORD_THREADS, PASSWORD_QUEUE_LIMIT)
        self._handler_pool = ThreadPool("handlers", _HANDLER_THREADS, _HANDLER_QUEUE_LIMIT)
        self._search = open_search(store)
        self._layer_files = open_layer_files(store)
        self._mirrors: Mirrors | None = None
        self._events: EventDeliveries | None = None
        self._auth: Auth | None = None
        config = store.config
        self.health = Health(_usable(store), store.plan.probed, store.plan.heartbeats.unresponsive)
        self._addresses = ClientAddresses(config.http.trusted_proxies)
        self.recorded = recorded(config, store.plan, f"worker-{slot}")
        if self.recorded is not None:
            store.damage.observe(self.recorded.count_damaged)
        self._metrics = self._measuring()
        if self._metrics is not None:
            self._events = open_deliveries(store)
        self._recorder = StatisticsRecorder(store.statistics)
        self.server: ConnectionServer = api.build_server(
            config.http, self._application(config), self._observers(), resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        )
        self._certificates = certificates_of(state)

    @property
    def tls(self) -> ssl.SSLContext | None:
        """The TLS context of connections, None for plain HTTP."""
        return self._certificates.context if self._certificates is not None else None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Record metrics and follow configuration files during the block; close everything at its end."""
        # The background process follows the file too, and logs what it finds.
        store, state = self._store, self._state
        config = ConfigReload(store.plan, state, self._apply, self._report, store.pools.read, logs=False)
        tasks: list[Callable[[], Awaitable[None]]] = [config.run]
        if self._certificates is not None:
            logs = self._slot == 0
            reload = CertificateReload(self._certificates, state, self._report, store.pools.read, logs=logs)
            tasks.append(reload.run)
        if not self._store.read_only:
            tasks.append(self._recorder.run)
        if self._metrics is not None:
            tasks.append(self._metrics.run)
        async with background_tasks(tasks):
            yield
        if self._metrics is not None:
            self._metrics.close()
        if self._mirrors is not None:
            await self._mirrors.retire()
        if self._auth is not None:
            await self._auth.close()
        if self._accounts is not None:
            await self._accounts.close()
        self._passwords.close()
        self._handler_pool.close()

    async def _apply(self, config: Config) -> None:
        replaced, mirrors = self._auth, self._mirrors
        application = self._application(config)
        self.server.replace(application.handle, application.add_headers)
        if replaced is not None:
            await replaced.close()
        if mirrors is not None and mirrors is not self._mirrors:
            await mirrors.retire()

    def _application(self, config: Config) -> Application:
        auth = self._auth = build_auth(config, self._auth_parts())
        authenticator: HttpAuthenticator | None = None
        if auth.is_open:
            authorizer = Authorizer(None, auth.policy)
            routes: dict[str, Mapping[str, Handler]] = {}
        else:
            of_auth = build_auth_http(config.http, auth, self._addresses)
            authorizer, authenticator, routes = of_auth.authorizer, of_auth.authenticator, dict(of_auth.routes)
        if self._mirrors is None or self._mirrors.config != config.extensions.sync:
            self._mirrors = open_mirrors(config, self._store.pools.read)
        registry = self._store.registry(config, () if self._mirrors is None else self._mirrors.upstreams)
        context = HttpContext(
            config=config,
            registry=registry,
            policy=auth.policy,
            metrics=self._metrics,
            state=None if self._metrics is None else _state(self._store, self._events),
            authorizer=authorizer,
            auth=auth,
            authenticator=authenticator,
            pool=self._handler_pool,
            search=self._search,
            visibility=visibility(auth.policy, self._search, self._handler_pool),
            ask=self._ask,
            layer_files=self._layer_files,
        )
        for extension in EXTENSIONS:
            for each in extension.routes(context):
                if self._metrics is not None and each.resource_class is ResourceClass.METRICS:
                    self._metrics.http.path = each.path
                routes[each.path] = {**routes.get(each.path, {}), each.method: _guarded(authorizer, extension, each)}
        pages = (extension.pages(context) for extension in EXTENSIONS)
        return api.build(
            config.http,
            registry,
            api.ApiParts(
                authorizer=authorizer,
                health=self.health,
                addresses=self._addresses,
                workers=max(1, self._store.plan.workers),
                routes=routes,
                fallback=next((each for each in pages if each is not None), None),
            ),
        )

    def _auth_parts(self) -> AuthParts:
        accounts = self._accounts
        if accounts is None:
            return AuthParts(self._passwords, self._store.pools.read)
        return AuthParts(self._passwords, self._store.pools.read, accounts.accounts, accounts.sessions)

    def _measuring(self) -> Metrics | None:
        if self.recorded is None:
            return None
        from zot.api.metrics.metrics import Metrics  # noqa: PLC0415

        return Metrics(
            self.recorded,
            connections=lambda: len(self.server.connections),
            lines_dropped=lambda: self._store.logs.dropped,
            settle=lambda: self.server.flush(),  # noqa: PLW0108 (the server is made later)
        )

    def _observers(self) -> list[Observe]:
        observers: list[Observe] = [PullCounts(self._recorder).observe]
        if self._store.logs.shows_access:
            observers.append(AccessLog(self._store.logs.writer, self._addresses).observe)
        if self._store.logs.audit_writer is not None:
            observers.append(AuditLog(self._addresses).observe)
        if self._metrics is not None:
            observers.append(self._metrics.http.observe)
        return observers


async def open_http_server(
    store: Store, slot: int, state: RunningState, report: StateReport, ask: Ask, *, waits_for_dependencies: bool = False
) -> HttpServer:
    """Open the stores of accounts and build what answers requests, by the configuration of the store.

    `ask` asks the process that works in the background.
    With `waits_for_dependencies` a session server that cannot be reached is only an error for requests that need it.
    Raises TlsError, ConfigurationError, AccountsUnavailableError and SessionsUnavailableError.
    """
    awaited = accounts_awaited(store.plan.state, store.plan.owner, read_only=store.read_only)
    accounts = await open_stores(
        store.config, store.accounts_engine, store.pools.read, awaited, waits=waits_for_dependencies
    )
    return HttpServer(store, slot, accounts, state, report, ask)


def _usable(store: Store) -> Callable[[], Awaitable[None]]:
    """Return what raises StorageError or CatalogError while requests cannot be served."""

    async def check() -> None:
        await store.storage.ready()
        await store.catalog.ready()

    return check


def recorded(config: Config, plan: ServerPlan, process: str) -> Recorded | None:
    """Return what a process records, shared with all others of the server; None if no extension wants it recorded."""
    if not any(each.records(config) for each in EXTENSIONS):
        return None
    from zot.api.metrics.registry import Recorded  # noqa: PLC0415

    return Recorded(process, plan.state.metrics if plan.workers else None)


def _guarded(authorizer: Authorizer, extension: Extension, route: ExtensionRoute) -> Handler:
    """Return the handler of a route, called for the principals that may use it."""
    request = UseExtension(name=extension.name, resource_class=route.resource_class)

    async def handle(http: HttpRequest) -> web.StreamResponse:
        await authorizer.enter(http, request, route.may)
        return await route.handler(http)

    return handle


def _state(store: Store, events: EventDeliveries | None) -> ServerState:
    from zot.api.metrics.state import ServerState  # noqa: PLC0415

    info = {"commit": "", "binaryType": "python", "goVersion": "", "version": store.config.dist_spec_version}
    info["releaseTag"] = __version__
    return ServerState(store.catalog, info, store.plan.workers, store.catalog_engine.log_file, events=events)
