"""Removals that were decided and not finished: whoever was at it died. Until then nobody can push such a blob."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from zot.catalog.command import boot_of
from zot.catalog.rows import PendingDelete
from zot.maintenance.scheduler import Say
from zot.maintenance.sweep_stats import Pauses
from zot.registry.blob_deletion import finish_delete
from zot.registry.registry import Registry

_log = logging.getLogger("zot.gc")

INTERVAL_S = 30.0

# From the decision to the end of a removal it is some milliseconds. Whoever takes longer is taken for dead.
_DEAD_S = 60.0
_LIMIT = 1000


class UnfinishedDeletes:
    """Finishes what was decided by an earlier start of the server, or by a process of this one that died since.

    A removal is finished by somebody else only when whoever decided on it cannot unlink any more: his late unlink would
    take the file of a push that came after.
    """

    def __init__(self, registry: Registry, source: Callable[[], float] = time.monotonic) -> None:
        """Look at one registry's removals; `source` tells seconds that pass."""
        self._registry = registry
        self._source = source
        self._seen: dict[PendingDelete, float] = {}

    async def finish(self, say: Say) -> Pauses:
        """Finish those that were seen long ago, or carry another start's name. Raises CatalogError, StorageError."""
        rows = await self._registry.catalog.doomed(_LIMIT)
        now_s = self._source()
        self._seen = {row: self._seen.get(row, now_s) for row in rows}
        for row, seen_s in self._seen.items():
            if boot_of(row.token) == self._registry.boot and now_s - seen_s < _DEAD_S:
                continue
            await finish_delete(self._registry.catalog, self._registry.storage, row.repository, row.digest, row.token)
            say(f"finished the removal of {row.digest} from {row.repository}")
            _log.warning("finished the removal of %s from %s, which had been broken off", row.digest, row.repository)
            yield 0
