"""The two sides of the index: what keeps it in sync, in one process, and what answers from it, in each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from zot.catalog.interface import Catalog
from zot.config.model import Config
from zot.config.state_directory import StateDirectory
from zot.extensions.search.index.consumer import IndexConsumer
from zot.extensions.search.index.search import IndexSearch
from zot.maintenance.build import MaintenanceParts
from zot.statistics.interface import StatisticsStore


def consumers(config: Config, parts: MaintenanceParts) -> Sequence[Callable[[], Awaitable[None]]]:
    """Return what keeps the index in sync with the catalog (`Extension.consumers`), if search is enabled."""
    if not config.extensions.search_enabled:
        return ()
    path = StateDirectory.of(config.storage).search_database
    registry = parts.registry
    consumer = IndexConsumer(
        path, registry.catalog, registry.storage, parts.statistics, imported=parts.layouts_are_imported
    )
    return (consumer.run,)


def open_search(config: Config, catalog: Catalog, statistics: StatisticsStore | None) -> IndexSearch:
    """Return what answers queries in this process; it opens the index with the first one."""
    return IndexSearch(StateDirectory.of(config.storage).search_database, catalog, statistics)
