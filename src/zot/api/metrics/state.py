"""What is looked at when metrics are asked for: the state of the server, the same in whichever process answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from zot.admin.events import EventDeliveries, EventsError
from zot.catalog.interface import PAGE_LIMIT, Catalog, CatalogError

REPOSITORIES_LIMIT = 10_000
"""Repositories that have series of their own: the first by name for sizes, the first asked for otherwise."""

_UPLOADS_LIMIT = 10_000


class ServerState:
    """The state of the server, read at each collection."""

    def __init__(
        self,
        catalog: Catalog,
        info: Mapping[str, str],
        workers: int,
        write_ahead_log: Path | None = None,
        repositories_limit: int = REPOSITORIES_LIMIT,
        events: EventDeliveries | None = None,
    ) -> None:
        """Take the labels of `zot_info`, the number of HTTP workers, and the catalog's log if it is a file.

        `events` is None if none are sent.
        """
        self._catalog = catalog
        self._info = info
        self._workers = workers
        self._write_ahead_log = write_ahead_log
        self._repositories_limit = repositories_limit
        self._events = events

    async def of_catalog(self) -> list[Metric]:
        """Return what the catalog knows; of one that cannot be reached, only that."""
        try:
            metrics = [await self._storage(), await self._uploads(), await self._exports(), *await self._sinks()]
        except CatalogError:
            return [_gauge("zot_catalog_up", "Whether the catalog can be reached.", 0)]
        return [_gauge("zot_catalog_up", "Whether the catalog can be reached.", 1), *metrics]

    def of_server(self) -> Iterable[Metric]:
        """Return what the server knows of itself. Looks at files: for a thread, not for the event loop."""
        info = GaugeMetricFamily("zot_info", "The server's versions; always 0.", labels=list(self._info))
        info.add_metric(list(self._info.values()), 0)
        yield info
        yield _gauge("zot_http_workers", "Processes that answer requests.", self._workers)
        if self._write_ahead_log is not None:
            try:
                size_bytes = self._write_ahead_log.stat().st_size
            except FileNotFoundError:
                size_bytes = 0
            yield _gauge("zot_catalog_wal_bytes", "Size of the catalog's write-ahead log.", size_bytes)

    async def _storage(self) -> Metric:
        metric = GaugeMetricFamily("zot_repo_storage_bytes", "Bytes of content in a repository.", labels=["repo"])
        after, count = "", 0
        while count < self._repositories_limit:
            rows = await self._catalog.usage(after, min(PAGE_LIMIT, self._repositories_limit - count))
            for row in rows:
                metric.add_metric([row.repository], row.bytes)
            if not rows:
                break
            after, count = rows[-1].repository, count + len(rows)
            # A page takes a millisecond: requests have their turn between two of them.
            await asyncio.sleep(0)
        return metric

    async def _uploads(self) -> Metric:
        after, seen, sessions = "", 0, 0
        while seen < _UPLOADS_LIMIT:
            rows = await self._catalog.uploads(0, after, PAGE_LIMIT)
            if not rows:
                break
            sessions += sum(row.finished is None for row in rows)
            after, seen = rows[-1].session, seen + len(rows)
            await asyncio.sleep(0)
        return _gauge("zot_upload_sessions", "Uploads begun and not finished.", sessions)

    async def _exports(self) -> Metric:
        due = await self._catalog.exports_due(PAGE_LIMIT)
        return _gauge("zot_exports_due", "Repositories whose index.json is behind.", len(due))

    async def _sinks(self) -> list[Metric]:
        """Return how each receiver of events is; nothing while that cannot be read."""
        if self._events is None:
            return []
        try:
            sinks = await self._events.status()
        except EventsError:
            return []
        families: list[tuple[type[CounterMetricFamily | GaugeMetricFamily], str, str, str]] = [
            (CounterMetricFamily, "zot_events_delivered", "Events that a sink has accepted.", "delivered"),
            (CounterMetricFamily, "zot_events_failed_attempts", "Deliveries that failed.", "failures"),
            (CounterMetricFamily, "zot_events_gaps", "Times that the change log lacked events of a sink.", "gaps"),
            (GaugeMetricFamily, "zot_events_dead_letters", "Events that a sink did not accept.", "dead_letters"),
            (GaugeMetricFamily, "zot_events_behind", "Changes that a sink is not done with.", "behind"),
            (GaugeMetricFamily, "zot_events_lag_seconds", "Age of the first of these changes.", "lag_s"),
        ]
        metrics: list[Metric] = []
        for family, name, documentation, attribute in families:
            metric = family(name, documentation, labels=["sink"])
            for sink in sinks:
                metric.add_metric([sink.name], getattr(sink, attribute))
            metrics.append(metric)
        return metrics


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)
