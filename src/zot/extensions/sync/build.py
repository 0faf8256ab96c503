"""The mirrored registries of a process, from `extensions.sync`."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Sequence

from yarl import URL

from zot.config.model import Config
from zot.config.sync import SyncRegistryConfig
from zot.extensions.sync.credentials import DOCKER_HUB, DOCKER_HUB_NAMES, UpstreamCredentials
from zot.extensions.sync.download import MirrorSettings
from zot.extensions.sync.mirror import MirroredRegistry
from zot.extensions.sync.routing import Routes
from zot.foundation.threads import ThreadPool
from zot.registry.sources import Upstream
from zot.upstream.authorization import UpstreamAuthorization
from zot.upstream.budget import RequestBudget
from zot.upstream.client import UpstreamClient
from zot.upstream.tls import tls_context
from zot.upstream.transport import Tls, Transport

_log = logging.getLogger("zot.sync")

CHECK_INTERVAL_S = 60.0
"""Default of `manifestCheckInterval`."""
CONCURRENT = 16
"""Default of `reqConcurrent`: downloads on demand last as long as their clients take part in them."""
_RESUMES = 3
_RESUME_DELAY_S = 1.0
_LONGEST_RESUME_DELAY_S = 5.0
"""Of a download that clients wait for, whatever `retryDelay` says."""


class Mirrors:
    """The registries that are mirrored on demand."""

    def __init__(self, config: Config, pool: ThreadPool) -> None:
        """Read the configuration; nothing is connected yet. Files are read in the pool, when they are needed."""
        self.config = config.extensions.sync
        sync = self.config
        own = _own_addresses(config)
        registries = []
        for each in sync.registries if sync is not None else ():
            urls = tuple(url for url in each.urls if _address(url) not in own)
            if each.on_demand and urls:
                registries.append(each.model_copy(update={"urls": urls}))
            elif each.on_demand:
                _log.warning("a registry of extensions.sync is ignored: %s is this server", ", ".join(each.urls))
        credentials = UpstreamCredentials(sync.credentials_file if sync is not None else "", pool)
        limit_bytes = config.http.limits.max_manifest_bytes
        self._registries = [_registry(each, credentials, pool, limit_bytes) for each in registries]

    @property
    def upstreams(self) -> Sequence[Upstream]:
        """The registries in the order in which they are asked."""
        return self._registries

    async def retire(self) -> None:
        """Close the connections once what is under way has ended."""
        for each in self._registries:
            await each.retire()


def _registry(
    config: SyncRegistryConfig, credentials: UpstreamCredentials, pool: ThreadPool, limit_bytes: int
) -> MirroredRegistry:
    interval_s = config.manifest_check_interval_s
    delay_s = _RESUME_DELAY_S if config.retry_delay_s is None else config.retry_delay_s
    settings = MirrorSettings(
        check_interval_s=CHECK_INTERVAL_S if interval_s is None else interval_s,
        download_limit_s=config.sync_timeout_s,
        resumes=_RESUMES if config.max_retries is None else config.max_retries,
        resume_delay_s=min(delay_s, _LONGEST_RESUME_DELAY_S),
    )
    clients = [_client(url, config, credentials, pool, limit_bytes) for url in config.urls]
    return MirroredRegistry(clients, Routes(config.content), settings)


def _client(
    url: str, config: SyncRegistryConfig, credentials: UpstreamCredentials, pool: ThreadPool, limit_bytes: int
) -> UpstreamClient:
    address = _address(url)
    if address.host in DOCKER_HUB_NAMES:
        address = address.with_host(DOCKER_HUB)
    host = address.host or ""
    host_and_port = host if address.is_default_port() else f"{host}:{address.port}"
    concurrent = config.req_concurrent or CONCURRENT
    budget = RequestBudget(concurrent, config.req_per_sec)
    transport = Transport(address, _tls(host_and_port, config, pool), budget)
    authorization = UpstreamAuthorization(transport, credentials.of(host_and_port))
    return UpstreamClient(transport, authorization, manifest_limit_bytes=limit_bytes)


def _address(url: str) -> URL:
    return URL(url if "://" in url else f"https://{url}").origin()


def _own_addresses(config: Config) -> set[URL]:
    """Return addresses of this server itself, which would ask itself for what it lacks."""
    scheme, port = "https" if config.http.tls is not None else "http", int(config.http.port or 0)
    hosts = {"localhost", "127.0.0.1", "::1", config.http.address} - {"", "0.0.0.0", "::"}  # noqa: S104 (not bound)
    return {URL.build(scheme=scheme, host=host, port=port) for host in hosts}


def _tls(host: str, config: SyncRegistryConfig, pool: ThreadPool) -> Tls:
    """Return a function that reads the certificates in a thread: loading them takes milliseconds."""

    async def read() -> ssl.SSLContext:
        return await pool.run(tls_context, host, verify=config.tls_verify, folder=config.cert_dir)

    return read
