"""The threads of a storage, which block on the disk so that the event loop does not."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from zot.foundation.threads import ThreadPool
from zot.storage.interface import StorageBusyError

_QUEUE_LIMIT = 512


@dataclass(frozen=True, slots=True)
class ThreadPools:
    """One pool for each kind of waiting, so that none of them holds up another.

    They raise StorageBusyError, with nothing begun, when too many jobs are waiting.
    """

    read: ThreadPool = field(default_factory=lambda: _pool("read", 4))
    """Opening, reading and listing content."""
    hash: ThreadPool = field(default_factory=lambda: _pool("hash", min(4, os.cpu_count() or 1) + 2))
    """Writing and hashing staged bytes."""
    durable: ThreadPool = field(default_factory=lambda: _pool("durable", 8))
    """Syncs, and the renames between them."""

    def close(self) -> None:
        """Wait for the accepted jobs, then end all threads."""
        for pool in (self.read, self.hash, self.durable):
            pool.close()


def _pool(name: str, threads: int) -> ThreadPool:
    return ThreadPool(name, threads, _QUEUE_LIMIT, StorageBusyError)
