"""What receives events: the interface of sinks, and how a delivery fails."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from zot.extensions.events.event import Event


class Failure(Enum):
    """What a failed delivery says of the sink and of the event."""

    UNREACHABLE = "unreachable"
    """The sink cannot be reached, or asks to be left alone: no event would arrive."""
    FAILED = "failed"
    """The sink did not answer in time, or with an error: the event or the sink may be the reason."""
    REFUSED = "refused"
    """The sink does not want this event; another one may arrive."""


class DeliveryError(Exception):
    """An event did not arrive, as far as is known."""

    def __init__(self, reason: str, failure: Failure, retry_after_s: float = 0.0) -> None:
        """Take the reason in one sentence, and for how long the sink asks to be left alone."""
        super().__init__(reason)
        self.failure = failure
        self.retry_after_s = retry_after_s


class Sink(Protocol):
    """A receiver of events."""

    async def send(self, event: Event, manifest: str | None) -> None:
        """Return once the sink has accepted the event, within the sink's time limit. Raises DeliveryError.

        Connects if necessary. Several events may be sent at once. `manifest` is the text of the event's manifest.
        """

    async def close(self) -> None:
        """Close the connections. Idempotent."""
