"""The collector's own time: seconds that the server ran, summed over its starts."""

from __future__ import annotations

import time
from collections.abc import Callable


class CollectorClock:
    """Time by which the age of garbage is measured. It goes on from start to start, and never by the wall clock.

    A clock that jumps ages nothing, and time in which no server ran counts for nobody: a client that saw a blob has
    the whole delay to name it, whatever happened between.
    """

    def __init__(self, start_s: float = 0.0, source: Callable[[], float] = time.monotonic) -> None:
        """Go on at `start_s`."""
        self._source = source
        self._offset_s = start_s - source()

    def now_s(self) -> float:
        """Return the time."""
        return self._source() + self._offset_s

    def at_least(self, seen_s: float) -> None:
        """Go on no earlier than at a time that a stamp shows: the record of the clock was lost then."""
        if seen_s > self.now_s():
            self._offset_s = seen_s - self._source()
