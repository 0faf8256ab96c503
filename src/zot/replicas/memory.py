"""The replicas of an embedded catalog, whose locks allow one: the server of this process."""

from __future__ import annotations

import time
from collections.abc import Sequence

from zot.replicas.interface import KEPT_S, Replica, SeenReplica, by_start


class MemoryReplicas:
    """`Replicas` in memory."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, Replica]] = {}

    async def announce(self, replica: Replica) -> None:
        """See `Replicas`."""
        now_s = time.monotonic()
        kept = {owner: each for owner, each in self._seen.items() if now_s - each[0] < KEPT_S}
        self._seen = {**kept, replica.owner: (now_s, replica)}

    async def withdraw(self, owner: str) -> None:
        """See `Replicas`."""
        self._seen.pop(owner, None)

    async def all(self) -> Sequence[SeenReplica]:
        """See `Replicas`."""
        now_s = time.monotonic()
        return by_start([SeenReplica(replica, now_s - seen_s) for seen_s, replica in self._seen.values()])

    async def close(self) -> None:
        """See `Replicas`: there is nothing to close."""
