"""Whoever guesses passwords waits: longer with each failure, by the name that is tried and by the address it is
tried from.

A delay, and no lock: nobody can keep the owner of a name out by failing on purpose, since what was verified a moment
ago is not delayed, and the longest delay is some seconds. The counts are those of one process.
"""

from __future__ import annotations

import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable

COUNT_LIMIT = 10_000
LONGEST_DELAY_S = 8.0
FORGOTTEN_AFTER_S = 900.0

# People mistype, and many of them may share an address.
_FREE_BY_NAME = 3
_FREE_BY_ADDRESS = 20
_FIRST_DELAY_S = 0.25

_NAME_LENGTH = 256


class Throttle:
    """Failures by name and by address."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Start with none."""
        self._names = _Failures(_FREE_BY_NAME, now)
        self._addresses = _Failures(_FREE_BY_ADDRESS, now)

    def delay_s(self, name: str, address: str) -> float:
        """Return how long to wait before the next attempt is looked at. An empty address is not known, and not one."""
        return max(self._names.delay_s(_alike(name)), self._addresses.delay_s(address) if address else 0.0)

    def failed(self, name: str, address: str) -> None:
        """Count a failure."""
        self._names.count(_alike(name))
        if address:
            self._addresses.count(address)

    def succeeded(self, name: str) -> None:
        """Forget the failures of the name. Those of the address stay: its user may own one of the names tried."""
        self._names.forget(_alike(name))


def _alike(name: str) -> str:
    """Return what all spellings have in common that a directory takes for one name (RFC 4518, caseIgnoreMatch)."""
    return " ".join(unicodedata.normalize("NFKC", name[:_NAME_LENGTH]).casefold().split())


class _Failures:
    def __init__(self, free: int, now: Callable[[], float]) -> None:
        self._free = free
        self._now = now
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def delay_s(self, key: str) -> float:
        excess = self._count(key) - self._free
        return 0.0 if excess < 0 else min(LONGEST_DELAY_S, _FIRST_DELAY_S * 2.0 ** min(excess, 10))

    def count(self, key: str) -> None:
        self._counts[key[:256]] = (self._count(key) + 1, self._now())
        self._counts.move_to_end(key[:256])
        if len(self._counts) > COUNT_LIMIT:
            self._counts.popitem(last=False)

    def forget(self, key: str) -> None:
        self._counts.pop(key[:256], None)

    def _count(self, key: str) -> int:
        count, last = self._counts.get(key[:256], (0, 0.0))
        return count if self._now() - last < FORGOTTEN_AFTER_S else 0
