"""What one process of a server consists of: each package builds its part, in order."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from zot.api import build as api
from zot.api.connection import ConnectionServer
from zot.api.gate import Gate
from zot.api.health import Health
from zot.catalog.interface import Catalog
from zot.config.model import Config
from zot.processes.plan import Plan
from zot.processes.tls import Certificates
from zot.registry import build as registry_of
from zot.registry.layouts import NoLayouts
from zot.registry.registry import Registry
from zot.storage.build import build as build_storage
from zot.storage.interface import Storage
from zot.storage.pools import Pools


@dataclass(frozen=True, slots=True)
class Core:
    """What every process that touches content has."""

    config: Config
    plan: Plan
    catalog: Catalog
    storage: Storage
    registry: Registry
    pools: Pools

    async def close(self) -> None:
        """Let go of everything, in the opposite order."""
        await self.storage.close()
        await self.catalog.close()
        self.pools.close()


@dataclass(frozen=True, slots=True)
class Http:
    """What a process that answers requests has."""

    server: ConnectionServer
    health: Health
    tls: ssl.SSLContext | None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep certificates, and what else is read from files, as the files are."""
        yield


class Jobs:
    """What a process that does the long work has."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Do what is due meanwhile; at the end bring every layout level with the catalog."""
        yield


async def open_core(config: Config, plan: Plan, catalog: Catalog) -> Core:
    """Open the stores. Raises StorageError."""
    pools = Pools()
    storage = build_storage(config.storage, pools)
    layouts = NoLayouts()
    parts = registry_of.Parts(catalog, storage, layouts, plan.boot, plan.read_only)
    registry = registry_of.build(config, parts)
    return Core(config, plan, catalog, storage, registry, pools)


def open_http(core: Core, slot: int) -> Http:
    """Build what answers requests, in the running event loop. Raises CannotServeTls."""
    del slot
    health = Health(core.storage.ready)
    server = api.build(core.config.http, core.registry, api.Parts(Gate(), health))
    return Http(server, health, _certificates(core.config))


def open_jobs(core: Core) -> Jobs:
    """Build what works in the background."""
    del core
    return Jobs()


def _certificates(config: Config) -> ssl.SSLContext | None:
    tls = config.http.tls
    if tls is None or not tls.cert:
        return None
    return Certificates(Path(tls.cert), Path(tls.key), Path(tls.cacert) if tls.cacert else None).context
