"""Trim the catalog's change log, so that it does not grow with the age of the store."""

from __future__ import annotations

from zot.catalog.change_log import TrimChanges
from zot.catalog.interface import Catalog
from zot.maintenance.scheduler import ReportProgress
from zot.maintenance.sweep_stats import Pauses

INTERVAL_S = 3600.0

# A consumer that was stopped for longer, or is further behind, rebuilds its state, which is cheaper.
KEPT_S = 30 * 24 * 3600.0
KEPT = 200_000

# Some milliseconds of the catalog's writer.
_LIMIT = 256


class ChangeLogTrim:
    """Deletes the oldest entries of the change log, which no consumer is expected to read."""

    def __init__(self, catalog: Catalog, *, kept_s: float = KEPT_S, kept: int = KEPT) -> None:
        """Keep the newest `kept` entries, without those older than `kept_s`."""
        self._catalog = catalog
        self._kept_s = kept_s
        self._kept = kept

    async def trim(self, report: ReportProgress) -> Pauses:
        """Trim in steps. The history of tags stays readable. Raises CatalogError."""
        dropped = 0
        while count := await self._catalog.do(TrimChanges(older_than_s=self._kept_s, keep=self._kept, limit=_LIMIT)):
            dropped += count
            report(f"{dropped} entries dropped")
            yield 0
