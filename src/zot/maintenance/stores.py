"""The maintenance rules of a repository: those of the main store, or of its sub-path."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

from zot.catalog import paging
from zot.catalog.interface import Catalog
from zot.config.storage import StorageConfig, TimeWindow
from zot.config.store_table import MAIN, StoreEntry, StoreTable
from zot.maintenance.retention import RetentionRules
from zot.oci.names import Repository


@dataclass(frozen=True, slots=True)
class StoreRules:
    """The maintenance rules of one store."""

    route: str
    """`/` for the main store."""
    root: str
    collects: bool
    delay_s: float
    interval_s: float
    window: TimeWindow | None
    retention: RetentionRules

    def may_start(self) -> bool:
        """Return whether a sweep may start at this time of day."""
        now = datetime.now(UTC)
        return self.window is None or self.window.contains(now.hour * 60 + now.minute)


class MaintainedStores:
    """The rules of all stores."""

    def __init__(self, config: StorageConfig) -> None:
        """Read the rules of a configuration."""
        self._table = StoreTable(config)
        self._rules = {each.route: _rules(each) for each in self._table}

    @property
    def all(self) -> list[StoreRules]:
        """The rules of each store."""
        return list(self._rules.values())

    def of(self, repository: Repository) -> StoreRules:
        """Return the rules of a repository's store."""
        return self._rules[self._table.of(repository).route]

    async def repositories(self, catalog: Catalog, store: StoreRules) -> AsyncIterator[Repository]:
        """Iterate over the names of a store's repositories, in byte order. Raises CatalogError."""
        prefix = "" if store.route == MAIN else f"{store.route[1:]}/"
        async for name in paging.repositories(catalog, prefix):
            if not name.startswith(prefix):
                return
            if self.of(name).route == store.route:
                yield name


def _rules(entry: StoreEntry) -> StoreRules:
    store = entry.config
    return StoreRules(
        entry.route,
        entry.root,
        store.gc,
        store.gc_delay_s,
        store.gc_interval_s,
        store.gc_time_window,
        RetentionRules(store.retention),
    )
