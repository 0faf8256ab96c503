"""Undelivered events by repository, in memory: those of one repository are sent one after the other."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable

from zot.catalog.change_log import ChangeCursor
from zot.extensions.events.event import Event
from zot.extensions.events.sink import Failure
from zot.oci.names import Repository


class Lane:
    """The undelivered events of one repository, and the failed attempts to send the first of them."""

    def __init__(self) -> None:
        self.events: deque[Event] = deque()
        self._begin()

    def _begin(self) -> None:
        self.attempts = 0
        self.answers = 0
        """Attempts that failed while the sink could be reached. An outage is no fault of the event."""
        self.failing_s = 0.0
        """How long these have failed, without the outages between them."""
        self.since_s = math.inf
        """When the first attempt failed."""
        self._answered_s: float | None = None

    def failed(self, failure: Failure) -> None:
        """Count a failed attempt."""
        now_s = time.monotonic()
        self.attempts += 1
        self.since_s = min(self.since_s, now_s)
        if failure is Failure.UNREACHABLE:
            self._answered_s = None
            return
        if self._answered_s is not None:
            self.failing_s += now_s - self._answered_s
        self.answers += 1
        self._answered_s = now_s

    def next(self) -> None:
        """Go on with the next event."""
        self.events.popleft()
        self._begin()


class Lanes:
    """The undelivered events of a page by repository: those of one are sent one after the other."""

    def __init__(self, events: Iterable[Event], end: ChangeCursor) -> None:
        """`events` are those that are wanted up to `end`."""
        self._lanes: dict[Repository, Lane] = {}
        self.end = end
        self.add(events, end)

    def add(self, events: Iterable[Event], end: ChangeCursor) -> None:
        """Add what follows, up to `end`."""
        self._lanes = {name: each for name, each in self._lanes.items() if each.events}
        for event in events:
            self._lanes.setdefault(event.repository, Lane()).events.append(event)
        self.end = end

    def __bool__(self) -> bool:
        return any(each.events for each in self._lanes.values())

    def __len__(self) -> int:
        return sum(len(each.events) for each in self._lanes.values())

    def in_order(self) -> list[Lane]:
        """Return those with events, first those that have failed least often."""
        return sorted((each for each in self._lanes.values() if each.events), key=lambda each: each.attempts)

    @property
    def reached(self) -> ChangeCursor:
        """The cursor up to which everything is done: before the first undelivered event, else the end."""
        first = min((each.events[0] for each in self._lanes.values() if each.events), key=_sequence, default=None)
        return self.end if first is None else first.before


def _sequence(event: Event) -> int:
    return event.sequence
