"""Answers operators' questions about the deliveries, from the database of events and the change log."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from zot.admin.events import DeadLetter, EventsError, Replay, SinkStatus
from zot.catalog.change_log import ChangeCursor
from zot.catalog.interface import Catalog
from zot.extensions.events.delivery_database import (
    DeadLetterRow,
    DeliveryDatabase,
    EventsUnavailableError,
    SinkRow,
)
from zot.foundation.threads import ThreadPool

_NEW = SinkRow(0, 0, 0, 0, 0, 0, "", None)


class Deliveries:
    """`EventDeliveries`, in any process: the process that delivers finds in the database what it has to send again."""

    def __init__(self, types: Mapping[str, str], catalog: Catalog, path: Path, threads: ThreadPool) -> None:
        """`types` has the type of each configured sink by its name; the database is opened when it is asked."""
        self._types = types
        self._catalog = catalog
        self._path = path
        self._threads = threads
        self._opened: DeliveryDatabase | None = None

    @property
    def _database(self) -> DeliveryDatabase:
        """The database. Raises EventsUnavailableError."""
        if self._opened is None:
            self._opened = DeliveryDatabase(self._path, self._threads)
        return self._opened

    async def status(self) -> list[SinkStatus]:
        """See `EventDeliveries`."""
        newest = (await self._catalog.changes(None, 1)).cursor.sequence
        try:
            left = [each for each in self._database.names_with_letters() if each not in self._types]
            return [await self._status(name, newest) for name in (*self._types, *left)]
        except EventsUnavailableError as error:
            raise EventsError(str(error)) from error

    def dead_letters(self, sink: str | None, after: int, limit: int) -> list[DeadLetter]:
        """See `EventDeliveries`."""
        self._require(sink)
        try:
            return [_dead_letter(each) for each in self._database.dead_letters(sink, after, limit)]
        except EventsUnavailableError as error:
            raise EventsError(str(error)) from error

    async def replay_letters(self, sink: str | None, letter: int | None) -> list[Replay]:
        """See `EventDeliveries`."""
        self._require(sink)
        what = "all dead letters" if letter is None else f"dead letter {letter}"
        try:
            names = [each for each in self._types if sink in (None, each)]
            marked = [Replay(each, what) for each in names if await self._database.mark_due(each, letter)]
        except EventsUnavailableError as error:
            raise EventsError(str(error)) from error
        if letter is not None and not marked:
            raise EventsError(f"no configured sink has a dead letter {letter}")
        return marked

    async def replay_since(self, sink: str | None, sequence: int) -> list[Replay]:
        """See `EventDeliveries`."""
        self._require(sink)
        cursor = ChangeCursor(sequence, None)
        page = await self._catalog.changes(cursor, 1)
        if page.gap:
            raise EventsError(f"the change log does not have entry {sequence}: it has those from {page.oldest} on")
        try:
            return [
                Replay(each, f"all events after entry {sequence}")
                for each in self._types
                if sink in (None, each) and await self._database.rewind(each, cursor)
            ]
        except EventsUnavailableError as error:
            raise EventsError(str(error)) from error

    async def _status(self, name: str, newest: int) -> SinkStatus:
        row = self._database.sink(name)
        lag_s = 0.0
        if row is not None and name in self._types:
            page = await self._catalog.changes(row.cursor, 1)
            if page.changes:
                lag_s = max(0.0, time.time() - page.changes[0].at_ns / 10**9)
        row = row or _NEW._replace(sequence=newest)
        return SinkStatus(
            name=name,
            type=self._types.get(name, ""),
            sequence=row.sequence,
            behind=max(0, newest - row.sequence) if name in self._types else 0,
            lag_s=lag_s,
            delivered=row.delivered,
            failures=row.failures,
            gaps=row.gaps,
            dead_letters=self._database.dead_letter_count(name),
            problem=row.problem if name in self._types else "",
            failing_since_s=row.failing_since_s,
        )

    def _require(self, sink: str | None) -> None:
        """Raise EventsError if there is no such sink."""
        if sink is not None and sink not in self._types:
            raise EventsError(f"there is no sink {sink}: use one of {', '.join(self._types) or 'none'}")


def _dead_letter(row: DeadLetterRow) -> DeadLetter:
    event = row.event
    return DeadLetter(
        id=row.id,
        sink=row.sink,
        event=event.id,
        type=event.type,
        repository=event.repository,
        reference=event.reference,
        at_s=event.at_ns / 10**9,
        failed_s=row.failed_s,
        attempts=row.attempts,
        reason=row.reason,
        due=row.due,
    )
