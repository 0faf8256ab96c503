"""Finish deletes whose process died between the decision and the end. Until then such a blob cannot be pushed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from zot.catalog.command import new_id
from zot.catalog.owner_commands import TakePendingDelete
from zot.catalog.rows import PendingDelete
from zot.maintenance.scheduler import ReportProgress
from zot.maintenance.sweep_stats import Pauses
from zot.registry.blob_deletion import finish_delete, removal_expires_s
from zot.registry.registry import Registry

_log = logging.getLogger("zot.gc")

INTERVAL_S = 30.0

# A delete takes some milliseconds from its decision to its end. After this time its process counts as dead.
_DEAD_S = 60.0
_LIMIT = 1000


class UnfinishedDeletes:
    """Finishes pending deletes whose process is dead.

    A delete of an owner whose lease has ended is taken over at once, one of this owner after a minute. Where removals
    are requests that may arrive late, both wait until none can any more: then the blob may be pushed again. That is
    counted from when this process first saw the delete, or last failed to finish it, so no clocks are compared.
    A delete of another owner whose lease lasts is left to it: a late unlink would delete the file of a later push.
    """

    def __init__(self, registry: Registry, source: Callable[[], float] = time.monotonic) -> None:
        """Finish the deletes of one registry; `source` is a monotonic clock in seconds."""
        self._registry = registry
        self._source = source
        self._seen: dict[PendingDelete, float] = {}

    async def finish(self, report: ReportProgress) -> Pauses:
        """Finish what no living process finishes. Raises CatalogError, StorageError."""
        catalog = self._registry.catalog
        now_s = self._source()
        self._seen = {row: self._seen.get(row, now_s) for row in await catalog.doomed(_LIMIT)}
        for row, seen_s in list(self._seen.items()):
            if not (row.abandoned or row.owner == catalog.owner) or now_s - seen_s < self._wait_s(row):
                continue
            begun_s, token = time.monotonic(), row.token
            if row.abandoned:
                token = new_id()
                take = TakePendingDelete(
                    repository=row.repository,
                    digest=row.digest,
                    token=row.token,
                    new_token=token,
                    owner=catalog.owner,
                )
                if not await catalog.do(take):
                    continue
            try:
                await finish_delete(
                    catalog, self._registry.storage, row.repository, row.digest, token, row.disposal, begun_s=begun_s
                )
            except Exception:
                self._seen[row] = self._source()
                raise
            report(f"finished the interrupted delete of {row.digest} from {row.repository}")
            _log.warning("finished the interrupted delete of %s from %s", row.digest, row.repository)
            yield 0

    def _wait_s(self, row: PendingDelete) -> float:
        """Return how long a delete is left alone."""
        expires_s = removal_expires_s(self._registry.storage, row.repository, row.disposal)
        return expires_s if row.abandoned else max(expires_s, _DEAD_S)
