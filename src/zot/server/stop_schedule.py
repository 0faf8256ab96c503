"""Deadlines of a stop: all of it together ends within `http.drainTimeout`."""

from __future__ import annotations

import struct
import time
from mmap import mmap

_TIME = struct.Struct("d")

_AFTER_REQUESTS_S = 8.0
_EXPORTS_S = 4.0
GRACE_S = 2.0
"""A process that has not ended this long after its deadline is killed."""


class StopSchedule:
    """The deadlines of a stop, in seconds from its beginning, which processes forked later share.

    Requests have `drainTimeout` less 8 s, or half of it where that is more; exports have until 4 s before its end, and
    at least 4 s; what is left is for processes that do not end by themselves.
    """

    def __init__(self, total_s: float) -> None:
        """`total_s` is `http.drainTimeout`."""
        self._total_s = total_s
        self.requests_s = max(total_s - _AFTER_REQUESTS_S, total_s / 2)
        self.exports_s = max(total_s - _EXPORTS_S, self.requests_s + _EXPORTS_S)
        self._began_s = mmap(-1, _TIME.size)

    def begin(self) -> None:
        """Record that the stop begins now, unless it has begun."""
        if not self._began():
            _TIME.pack_into(self._began_s, 0, time.monotonic())

    def again(self) -> StopSchedule:
        """Return a schedule with the same limits for a later stop."""
        return StopSchedule(self._total_s)

    def announcement(self) -> str:
        """Return the sentence that the operator sees when the stop begins."""
        return (
            f"zot stops: requests under way have up to {self.requests_s:.0f} s, then layouts are written; "
            "a second signal ends it at once"
        )

    def left_s(self, until_s: float) -> float:
        """Return the time until `until_s` after the beginning, 0 if it is over. Begins the stop if it has not."""
        self.begin()
        return max(0.0, self._began() + until_s - time.monotonic())

    def _began(self) -> float:
        began_s: float = _TIME.unpack_from(self._began_s)[0]
        return began_s
