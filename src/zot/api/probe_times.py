"""When a probe last asked, in memory that the processes of a server share."""

from __future__ import annotations

import struct
import time
from mmap import mmap

_TIME = struct.Struct("d")


class ProbeTimes:
    """When a probe last asked whether the server is ready: then a load balancer has to see that it drains.

    Processes forked after this was made share it, since a probe reaches any one of them.
    """

    def __init__(self) -> None:
        """Begin without a probe."""
        self._asked_s = mmap(-1, _TIME.size)
        _TIME.pack_into(self._asked_s, 0, float("-inf"))

    def now(self) -> None:
        """Record a probe now."""
        _TIME.pack_into(self._asked_s, 0, time.monotonic())

    @property
    def ago_s(self) -> float:
        """Seconds since the last probe; infinite if there was none."""
        asked_s: float = _TIME.unpack_from(self._asked_s)[0]
        return time.monotonic() - asked_s
