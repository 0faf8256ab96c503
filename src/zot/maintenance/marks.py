"""The marks that a sweep sets on unreferenced content, with the collector's time."""

from __future__ import annotations

from collections.abc import Sequence

from zot.catalog.blob_commands import MarkUnreferenced
from zot.catalog.interface import Catalog
from zot.catalog.rows import DanglingManifest, UnreferencedBlob
from zot.maintenance.clock import CollectorClock
from zot.maintenance.sweep_stats import Pauses
from zot.oci.names import Repository

# Some milliseconds of the catalog's writer.
_LIMIT = 256


class Marks:
    """Sets marks, and knows which are old enough."""

    def __init__(self, catalog: Catalog, clock: CollectorClock) -> None:
        """Mark with the time of `clock`."""
        self._catalog = catalog
        self._clock = clock

    async def mark(self, repository: Repository) -> Pauses:
        """Mark unreferenced content that has no mark. Raises CatalogError."""
        marked = _LIMIT
        while marked == _LIMIT:
            now_s = self._clock.now_s()
            marked = await self._catalog.do(MarkUnreferenced(repository=repository, now_s=now_s, limit=_LIMIT))
            yield 0

    def until_s(self, delay_s: float, rows: Sequence[UnreferencedBlob] | Sequence[DanglingManifest]) -> float:
        """Return the time of the latest mark that is `delay_s` old; advance the clock to the latest of the rows."""
        self._clock.at_least(max((row.marked_s for row in rows if row.marked_s is not None), default=0.0))
        return self._clock.now_s() - delay_s
