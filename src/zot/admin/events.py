"""What operators ask about events: how each sink is, which events it did not accept, and sending some again."""

from __future__ import annotations

from typing import Protocol

import msgspec


class SinkStatus(msgspec.Struct, frozen=True):
    """A receiver of events."""

    name: str
    type: str
    """`http` or `nats`; empty: it has dead letters, and is not configured any more."""
    sequence: int
    """The last entry of the change log that it is done with."""
    behind: int
    """Entries of the change log that follow it."""
    lag_s: float
    """Age of the first of these, in seconds; 0: there is none."""
    delivered: int
    """Events that it has accepted since it was first configured."""
    failures: int
    """Attempts that failed since then."""
    gaps: int
    """How often the change log lacked what followed: events were lost each time."""
    dead_letters: int
    problem: str
    """Why it accepts nothing for now; empty: it does, as far as is known."""
    failing_since_s: float | None
    """Since when, in seconds since the epoch."""


class DeadLetter(msgspec.Struct, frozen=True):
    """An event that a sink did not accept."""

    id: int
    sink: str
    event: str
    """The id of the event."""
    type: str
    repository: str
    reference: str
    at_s: float
    """When the change was made, in seconds since the epoch."""
    failed_s: float
    """When it was sent last."""
    attempts: int
    reason: str
    due: bool
    """Whether it is about to be sent again."""


class Replay(msgspec.Struct, frozen=True):
    """What will be sent again to a sink."""

    sink: str
    what: str
    """In a few words."""


class EventsError(Exception):
    """A request cannot be carried out; the message says why in one sentence."""


class EventDeliveries(Protocol):
    """The deliveries to all sinks of a configuration. Methods raise EventsError, CatalogError."""

    async def status(self) -> list[SinkStatus]:
        """Return how each sink is."""

    def dead_letters(self, sink: str | None, after: int, limit: int) -> list[DeadLetter]:
        """Return dead letters with ids greater than `after`, of a sink or of all, in the order of ids."""

    async def replay_letters(self, sink: str | None, letter: int | None) -> list[Replay]:
        """Have a dead letter sent again, or all of a sink, or of all sinks."""

    async def replay_since(self, sink: str | None, sequence: int) -> list[Replay]:
        """Have all events after an entry of the change log sent again to a sink, or to all."""
