"""The marks that a sweep leaves on what nothing keeps, by the collector's own time."""

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
    """Sets stamps, and tells which are old enough."""

    def __init__(self, catalog: Catalog, clock: CollectorClock) -> None:
        """Stamp with the time of a clock."""
        self._catalog = catalog
        self._clock = clock

    async def stamp(self, repository: Repository) -> Pauses:
        """Stamp what nothing keeps and has no stamp. Raises CatalogError."""
        stamped = _LIMIT
        while stamped == _LIMIT:
            now_s = self._clock.now_s()
            stamped = await self._catalog.do(MarkUnreferenced(repository=repository, now_s=now_s, limit=_LIMIT))
            yield 0

    def until_s(self, delay_s: float, rows: Sequence[UnreferencedBlob] | Sequence[DanglingManifest]) -> float:
        """Return the latest stamp that is `delay_s` old; the clock goes on from the latest of the rows at least."""
        self._clock.at_least(max((row.stamp_s for row in rows if row.stamp_s is not None), default=0.0))
        return self._clock.now_s() - delay_s
