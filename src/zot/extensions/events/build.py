"""Builds what delivers events by the configuration, and what answers operators' questions about it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from urllib.parse import urlsplit

from zot.catalog.interface import Catalog
from zot.config.extensions import SinkConfig
from zot.config.model import Config
from zot.config.state_directory import StateDirectory
from zot.extensions.events.deliveries import Deliveries
from zot.extensions.events.delivery import Delivery
from zot.extensions.events.delivery_database import DeliveryDatabase, EventsUnavailableError, open_database
from zot.extensions.events.event_filter import EventFilter
from zot.extensions.events.sink import Sink
from zot.extensions.events.sink_tls import SinkTls
from zot.foundation.threads import ThreadPool
from zot.maintenance.build import MaintenanceParts

_QUEUE_LIMIT = 1024
_TIMEOUT_S = 30.0
"""zot's for 0."""
_RETRY_S = 1.0

_log = logging.getLogger("zot.events")


def consumers(config: Config, parts: MaintenanceParts) -> Sequence[Callable[[], Awaitable[None]]]:
    """Return what delivers events to all sinks (`Extension.exclusive_consumers`)."""
    sinks = named_sinks(config)
    if not sinks:
        return ()
    path = StateDirectory.of(config.storage).events_database
    catalog, started_ns = parts.registry.catalog, int(parts.started_s * 10**9)

    async def deliver() -> None:
        threads = ThreadPool("events", 1, _QUEUE_LIMIT)
        try:
            async with aclosing(await _opened(path, threads)) as database, asyncio.TaskGroup() as group:
                for name, each in sinks.items():
                    group.create_task(_delivery(name, each, catalog, database, threads, started_ns).run())
        finally:
            threads.close()

    return (deliver,)


async def _opened(path: Path, threads: ThreadPool) -> DeliveryDatabase:
    """Open the database, as soon as that is possible."""
    reason = ""
    while True:
        try:
            return await threads.run(open_database, path, threads)
        except (OSError, EventsUnavailableError) as error:
            if str(error) != reason:
                reason = str(error)
                _log.error("no events are sent: %s", reason)
        await asyncio.sleep(_RETRY_S)


def open_deliveries(config: Config, catalog: Catalog, threads: ThreadPool) -> Deliveries:
    """Return what answers operators' questions in this process."""
    types = {name: each.type for name, each in named_sinks(config).items()}
    return Deliveries(types, catalog, StateDirectory.of(config.storage).events_database, threads)


def named_sinks(config: Config) -> dict[str, SinkConfig]:
    """Return the sinks by their names; one without a name gets that of its address and channel."""
    found: dict[str, SinkConfig] = {}
    events = config.extensions.events
    for sink in events.sinks if events is not None and events.enable else ():
        name = base = sink.name or _name_of(sink)
        number = 1
        while name in found:
            number += 1
            name = f"{base}~{number}"
        found[name] = sink
    return found


def _name_of(sink: SinkConfig) -> str:
    """Return host, port and path: an address may have credentials in its other parts. Several are joined by commas."""
    if sink.type == "nats":  # a list of URLs, with or without a scheme
        parts = (each.strip().rpartition("://")[2].rpartition("@")[2].rstrip("/") for each in sink.address.split(","))
        place = ",".join(parts)
    else:
        url = urlsplit(sink.address)
        place = f"{url.netloc.rpartition('@')[2]}{url.path}".rstrip("/")
    return f"{place}#{sink.channel}" if sink.channel else place


def _delivery(
    name: str, config: SinkConfig, catalog: Catalog, database: DeliveryDatabase, threads: ThreadPool, started_ns: int
) -> Delivery:
    wanted = EventFilter(config.types, config.repositories, config.include)
    sink, patience_s = _sink(config, threads), config.patience_s
    return Delivery(name, sink, wanted, catalog, database, started_ns=started_ns, patience_s=patience_s)


def _sink(config: SinkConfig, threads: ThreadPool) -> Sink:
    credentials, tls = config.credentials, None
    if config.tls is not None and (config.tls.ca_cert_file or config.tls.cert_file):
        tls = SinkTls(config.tls.ca_cert_file, config.tls.cert_file, config.tls.key_file, threads)
    username = credentials.username if credentials is not None else ""
    secret = credentials.password if credentials is not None else None
    password = secret.get_secret_value() if secret is not None else ""
    timeout_s = config.timeout_s or _TIMEOUT_S
    if config.type == "nats":
        from zot.extensions.events.nats_sink import NatsSink  # noqa: PLC0415 (an extra)

        return NatsSink(
            config.address,
            config.channel,
            timeout_s=timeout_s,
            username=username,
            password=password,
            credentials_file=credentials.file if credentials is not None else "",
            tls=tls,
            jetstream=config.jetstream,
        )
    from zot.extensions.events.http_sink import HttpSink, signing_key  # noqa: PLC0415 (brings the HTTP client)

    token = credentials.token if credentials is not None else None
    return HttpSink(
        config.address,
        channel=config.channel,
        timeout_s=timeout_s,
        headers=config.headers,
        username=username,
        password=password,
        token=token.get_secret_value() if token is not None else "",
        tls=tls,
        proxy=config.proxy,
        keys=[signing_key(each.get_secret_value()) for each in config.signing_secrets],
    )
