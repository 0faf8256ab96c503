"""The collector's clock: the seconds that the server has run, summed over its starts."""

from __future__ import annotations

import time
from collections.abc import Callable


class CollectorClock:
    """The time that measures the age of garbage. It continues from start to start, independent of the wall clock.

    A wall clock that jumps ages nothing, and time in which no server ran does not count: a client that saw a blob has
    the whole delay to reference it.
    """

    def __init__(self, start_s: float = 0.0, source: Callable[[], float] = time.monotonic) -> None:
        """Continue at `start_s`."""
        self._source = source
        self._offset_s = start_s - source()

    def now_s(self) -> float:
        """Return the time in seconds."""
        return self._source() + self._offset_s

    def at_least(self, seen_s: float) -> None:
        """Continue at the time of a mark at least: if that is later, the record of the clock was lost."""
        if seen_s > self.now_s():
            self._offset_s = seen_s - self._source()
