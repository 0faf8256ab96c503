"""The catalog's own time."""

from __future__ import annotations

import time
from collections.abc import Callable

Source = Callable[[], int]
"""Nanoseconds since the epoch; it may stand still, or jump."""


class Clock:
    """Strictly increasing time, so that the change log has one order."""

    def __init__(self, source: Source = time.time_ns, last_ns: int = 0) -> None:
        """Start after `last_ns`, the latest time that was returned before a restart."""
        self._source = source
        self._last_ns = last_ns

    def now_ns(self) -> int:
        """Return a time later than any returned before."""
        self._last_ns = max(self._source(), self._last_ns + 1)
        return self._last_ns
