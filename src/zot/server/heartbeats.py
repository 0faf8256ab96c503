"""Heartbeats: which processes of a server respond, seen by the supervisor and by each worker's `/readyz`."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable
from mmap import mmap

_TIME = struct.Struct("d")

PERIOD_S = 1.0
UNRESPONSIVE_S = 5.0
"""A process silent for so long makes the server unready."""
HUNG_S = 12.0
"""A process silent for so long is killed and replaced."""
HUNG_STARTING_S = 60.0
"""The same for one that is not ready yet: it may be recovering the catalog."""


class Heartbeats:
    """The last heartbeat of each process, in memory that processes forked later share.

    Times are of the system's monotonic clock, which is one for all processes.
    """

    def __init__(self, names: Iterable[str] = (), background: Iterable[str] = ()) -> None:
        """Requests need the processes in `names`, and not those in `background`."""
        self._needed = tuple(names)
        self._slots = {name: number * _TIME.size for number, name in enumerate((*self._needed, *background))}
        self._memory = mmap(-1, max(1, len(self._slots)) * _TIME.size)
        for slot in self._slots.values():
            _TIME.pack_into(self._memory, slot, float("-inf"))

    @property
    def names(self) -> tuple[str, ...]:
        """All processes, those that requests need first."""
        return tuple(self._slots)

    def beat(self, name: str) -> None:
        """Record that a process responds now."""
        _TIME.pack_into(self._memory, self._slots[name], time.monotonic())

    def last_s(self, name: str) -> float:
        """Return when a process last responded; minus infinity: not yet."""
        last_s: float = _TIME.unpack_from(self._memory, self._slots[name])[0]
        return last_s

    def unresponsive(self) -> list[str]:
        """Return the processes that requests need and that have been silent for `UNRESPONSIVE_S`."""
        now_s = time.monotonic()
        return [name for name in self._needed if now_s - self.last_s(name) > UNRESPONSIVE_S]


class Silence:
    """How long a process has been silent, in the time that its supervisor was running.

    A machine that was suspended, or a container that was paused, stops both: that is no silence.
    """

    def __init__(self, heartbeats: Heartbeats, name: str) -> None:
        """Watch a process from now on."""
        self._heartbeats = heartbeats
        self._name = name
        self._last_s = heartbeats.last_s(name)
        self._silent_s = 0.0

    def after(self, elapsed_s: float) -> float:
        """Return the silence in seconds, after the supervisor ran for `elapsed_s` more."""
        last_s = self._heartbeats.last_s(self._name)
        self._silent_s = self._silent_s + min(elapsed_s, 2 * PERIOD_S) if last_s == self._last_s else 0.0
        self._last_s = last_s
        return self._silent_s
