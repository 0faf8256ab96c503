"""Delivers events to one sink: at least once, in the order of the change log within each repository.

A sink has a task, a position in the change log and connections of its own, so that one that is slow or down delays
neither pushes nor other sinks.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from zot.catalog.change_log import ChangeCursor
from zot.catalog.interface import Catalog, CatalogError
from zot.extensions.events.change_reader import cursor_before, read_events
from zot.extensions.events.delivery_database import DeliveryDatabase, EventsUnavailableError, SinkRow
from zot.extensions.events.event import Event
from zot.extensions.events.event_filter import EventFilter
from zot.extensions.events.lanes import Lane, Lanes
from zot.extensions.events.sink import DeliveryError, Failure, Sink
from zot.foundation.threads import ThreadPoolBusyError

POLL_S = 0.1
"""How often the change log is looked at. A look costs microseconds while nothing was committed."""
_OPERATORS_S = 1.0
"""How often the database is looked at for what operators want sent again."""
PATIENCE_S = 3600.0
"""How long an event is sent again that the sink answers with an error, before it is a dead letter."""
_PATIENCE_WITH_ONE_S = 60.0
"""The same if the sink accepts events of other repositories, which one event must not hold up."""
ATTEMPTS = 3
"""How often an event is sent at least before it is a dead letter."""
_AT_ONCE = 8
"""Repositories whose events are sent concurrently."""
_BACK_OFF_S = (0.5, 60.0)
_RETRY_S = 1.0
_LETTERS = 100
_UNDELIVERED_LIMIT = 1000
"""Events in memory beyond which no more are read while one fails."""

_log = logging.getLogger("zot.events")

Result = TypeVar("Result")


class BackOff:
    """How long a failing sink is left alone: twice as long after each round of failures, with some chance."""

    def __init__(self, first_s: float = _BACK_OFF_S[0], longest_s: float = _BACK_OFF_S[1]) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._next_s = first_s

    def failed(self, asked_s: float = 0.0) -> float:
        """Return the pause in seconds, at least what the sink asks for."""
        pause_s, self._next_s = self._next_s, min(2 * self._next_s, self._longest_s)
        return max(asked_s, pause_s * random.uniform(0.75, 1.0))  # noqa: S311 (no secret)

    def succeeded(self) -> None:
        """Begin with the shortest pause again."""
        self._next_s = self._first_s


class Delivery:
    """Follows the change log for one sink."""

    def __init__(
        self,
        name: str,
        sink: Sink,
        wanted: EventFilter,
        catalog: Catalog,
        database: DeliveryDatabase,
        *,
        started_ns: int | None = None,
        patience_s: float = PATIENCE_S,
        back_off: BackOff | None = None,
    ) -> None:
        """Take the sink and its name, by which its position is kept.

        A new sink gets the changes since `started_ns`, by default since now.
        """
        self._name = name
        self._sink = sink
        self._wanted = wanted
        self._catalog = catalog
        self._database = database
        self._started_ns = time.time_ns() if started_ns is None else started_ns
        self._patience_s = patience_s
        self._back_off = back_off or BackOff()
        self._problem = ""
        self._delivered_s = -math.inf

    async def run(self) -> None:
        """Deliver until cancelled. What goes wrong is logged and tried again."""
        try:
            while True:
                try:
                    await self._follow()
                except (CatalogError, EventsUnavailableError, ThreadPoolBusyError) as error:
                    self._log_problem(f"no events are sent to {self._name} for now: {error}")
                except Exception:  # noqa: BLE001 (what one event causes must not end maintenance, which shares the process)
                    _log.exception("no events are sent to %s for now", self._name)
                await asyncio.sleep(_RETRY_S)
        finally:
            await self._sink.close()

    async def _follow(self) -> None:
        while True:
            row = await self._position()
            page = await read_events(self._catalog, row.cursor)
            if page.gap:
                await self._database.count_gap(self._name)
                _log.error(
                    "events for %s are lost: the change log does not have what followed entry %d, since a backup was "
                    "restored, or an outage was longer than the log is kept",
                    self._name,
                    row.sequence,
                )
            if page.cursor != row.cursor:
                await self._deliver(row, filter(self._wanted.matches, page.events), page.cursor)
            await self._send_due_letters()
            if not page.more:
                await self._wait(page.cursor)

    async def _wait(self, cursor: ChangeCursor) -> None:
        """Wait for a change after a cursor, at most until it is time to look at what operators want."""
        ends_s = time.monotonic() + _OPERATORS_S
        while time.monotonic() < ends_s:
            await asyncio.sleep(POLL_S)
            if (await self._catalog.changes(cursor, 1)).cursor != cursor:
                return

    async def _position(self) -> SinkRow:
        """Return the row of the sink; a new one begins with the changes since the start."""
        row = self._database.sink(self._name)
        if row is None:
            await self._database.begin(self._name, await cursor_before(self._catalog, self._started_ns))
            row = self._database.sink(self._name)
            assert row is not None, "it has begun"
        return row

    async def _deliver(self, row: SinkRow, events: Iterable[Event], end: ChangeCursor) -> None:
        """Deliver the events of a page up to `end`, or keep them as dead letters.

        Each round records how far it is. While an event fails, those that follow are read, so that one that the sink
        cannot process holds up its repository alone. Returns early if an operator has moved the sink back.
        """
        lanes = Lanes(events, end)
        while True:
            try:
                outcome = await self._round(lanes)
            except (asyncio.CancelledError, CatalogError):
                await self._database.advance(self._name, row.rewound, lanes.reached)
                raise
            await self._record(outcome)
            advance = partial(self._database.advance, self._name, row.rewound, lanes.reached, outcome.delivered)
            if not await self._recorded(advance) or not lanes:
                return
            await asyncio.sleep(self._back_off.failed(max(each.retry_after_s for each in outcome.failures)))
            await self._read_on(lanes)

    async def _read_on(self, lanes: Lanes) -> None:
        """Add the next page of the log, if there is room for it."""
        if len(lanes) >= _UNDELIVERED_LIMIT:
            return
        with suppress(CatalogError):  # it is read again after the next round
            page = await read_events(self._catalog, lanes.end)
            if not page.gap:  # else it is noticed once these are delivered
                lanes.add(filter(self._wanted.matches, page.events), page.cursor)

    async def _recorded(self, change: Callable[[], Awaitable[Result]]) -> Result:
        """Make a change of the database, as soon as that is possible: else what arrived would be sent again."""
        while True:
            try:
                return await change()
            except (EventsUnavailableError, ThreadPoolBusyError) as error:
                self._log_problem(f"no more events are sent to {self._name} for now: {error}")
            await asyncio.sleep(_RETRY_S)

    async def _round(self, lanes: Lanes) -> _Outcome:
        """Send the events of each repository until one fails; when all fail, leave the rest for the next round."""
        outcome = _Outcome()
        slots = asyncio.Semaphore(_AT_ONCE)

        async def send(lane: Lane) -> None:
            async with slots:
                if not outcome.failures or outcome.delivered:
                    await self._send_lane(lane, outcome)

        ended = await asyncio.gather(*map(send, lanes.in_order()), return_exceptions=True)
        for each in ended:
            if each is not None:
                raise each
        return outcome

    async def _send_lane(self, lane: Lane, outcome: _Outcome) -> None:
        while lane.events:
            event = lane.events[0]
            try:
                await self._send(event)
            except DeliveryError as error:
                outcome.failures.append(error)
                lane.failed(error.failure)
                if not self._is_dead(lane, error):
                    return
                _log.error("the event %s (%s) is a dead letter of %s: %s", event.id, event.type, self._name, error)
                await self._recorded(partial(self._database.bury, self._name, event, str(error), lane.attempts))
            else:
                outcome.delivered += 1
                self._delivered_s = time.monotonic()
            lane.next()

    def _is_dead(self, lane: Lane, error: DeliveryError) -> bool:
        """Tell whether the first event of a lane is given up: the sink is there, and does not accept it."""
        if error.failure is Failure.UNREACHABLE or lane.answers < ATTEMPTS:
            return False
        accepts_others = self._delivered_s > lane.since_s
        patience_s = min(self._patience_s, _PATIENCE_WITH_ONE_S) if accepts_others else self._patience_s
        return error.failure is Failure.REFUSED or lane.failing_s > patience_s

    async def _send(self, event: Event) -> None:
        manifest = None
        if event.has_manifest and event.digest is not None:
            content = await self._catalog.manifest_content(event.repository, event.digest)
            manifest = content.decode(errors="replace") if content is not None else None
        await self._sink.send(event, manifest)

    async def _record(self, outcome: _Outcome) -> None:
        """Record how a round ended, for the log, `zot status` and metrics."""
        if outcome.delivered:
            self._back_off.succeeded()
            if self._problem:
                _log.info("%s accepts events again", self._name)
                self._problem = ""
            await self._recorded(partial(self._database.recovered, self._name))
        if outcome.failures:
            problem = str(outcome.failures[-1])
            if not outcome.delivered:
                self._log_problem(f"{self._name} does not accept events for now: {problem}")
            problem_now = None if outcome.delivered else problem
            await self._recorded(partial(self._database.failed, self._name, len(outcome.failures), problem_now))

    async def _send_due_letters(self) -> None:
        """Send the dead letters again that an operator wants sent, in their order."""
        for letter in self._database.due_letters(self._name, _LETTERS):
            outcome = _Outcome()
            try:
                await self._send(letter.event)
            except DeliveryError as error:
                outcome.failures.append(error)
                await self._record(outcome)
                if error.failure is Failure.UNREACHABLE:
                    await asyncio.sleep(self._back_off.failed(error.retry_after_s))
                    return
                await self._recorded(partial(self._database.refused_again, letter.id, str(error)))
            else:
                outcome.delivered = 1
                await self._record(outcome)
                await self._recorded(partial(self._database.forget, letter.id))

    def _log_problem(self, problem: str) -> None:
        if problem != self._problem:
            _log.warning("%s", problem)
        self._problem = problem


@dataclass(slots=True)
class _Outcome:
    """What came of a round."""

    delivered: int = 0
    failures: list[DeliveryError] = field(default_factory=list)
