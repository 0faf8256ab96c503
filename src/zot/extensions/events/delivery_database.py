"""`events.db`: how far each sink is, and the events that it did not accept. Every process of a server may open it."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from zot.catalog.change_log import ChangeCursor
from zot.extensions.events.event import Event
from zot.foundation.sqlite_file import FileKind, SqliteFile, set_aside_if_damaged
from zot.foundation.sqlite_schema import SqliteSchema
from zot.foundation.threads import ThreadPool

DEAD_LETTERS_LIMIT = 10_000
"""Of one sink. Beyond it the oldest ones are dropped."""

_FIRST = """
CREATE TABLE sink (
  name TEXT PRIMARY KEY,
  sequence INTEGER NOT NULL, -- the last entry of the change log that it is done with
  at_ns INTEGER, -- of that entry; NULL: an operator has named its number alone
  rewound INTEGER NOT NULL DEFAULT 0, -- how often an operator has moved it back
  delivered INTEGER NOT NULL DEFAULT 0,
  failures INTEGER NOT NULL DEFAULT 0,
  gaps INTEGER NOT NULL DEFAULT 0,
  problem TEXT NOT NULL DEFAULT '',
  failing_since_s REAL
) STRICT, WITHOUT ROWID;
CREATE TABLE dead_letter (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  sink TEXT NOT NULL,
  event TEXT NOT NULL,
  reason TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  failed_s REAL NOT NULL,
  due INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX dead_letter_sink ON dead_letter (sink, due, id);
"""

_SINK = "SELECT sequence, at_ns, rewound, delivered, failures, gaps, problem, failing_since_s FROM sink WHERE name = ?"
_DEAD_LETTER = "SELECT id, sink, event, reason, attempts, failed_s, due FROM dead_letter"
_DROP_OLDEST = """
DELETE FROM dead_letter WHERE id IN (SELECT id FROM dead_letter WHERE sink = ? ORDER BY id DESC LIMIT -1 OFFSET ?)
"""

_log = logging.getLogger("zot.events")


class EventsUnavailableError(Exception):
    """The database of events cannot be used now."""


# "zote"
_SCHEMA = SqliteSchema(0x7A6F7465, (_FIRST,))
_KIND = FileKind("events", _SCHEMA, "normal", EventsUnavailableError)


class SinkRow(NamedTuple):
    """What is known of a sink."""

    sequence: int
    at_ns: int | None
    rewound: int
    delivered: int
    failures: int
    gaps: int
    problem: str
    failing_since_s: float | None

    @property
    def cursor(self) -> ChangeCursor:
        """The last entry of the change log that the sink is done with."""
        return ChangeCursor(self.sequence, self.at_ns)


class DeadLetterRow(NamedTuple):
    """An event that a sink did not accept."""

    id: int
    sink: str
    event: Event
    reason: str
    attempts: int
    failed_s: float
    due: bool


class DeliveryDatabase:
    """The file, open. Reads are quick and run on the event loop. Every method raises EventsUnavailableError.

    A change survives the death of every process; a power loss may take the last ones, and events are sent again.
    """

    def __init__(self, path: Path, threads: ThreadPool) -> None:
        """Open the file, and create it if it is missing. Raises EventsUnavailableError if it is no such file."""
        self._file = SqliteFile(path, _KIND, threads)

    def sink(self, name: str) -> SinkRow | None:
        """Return what is known of a sink, None before its first start."""
        rows = self._file.read(_SINK, (name,))
        return SinkRow(*rows[0]) if rows else None

    async def begin(self, name: str, cursor: ChangeCursor) -> None:
        """Let a new sink begin after a cursor. Idempotent: one that is known stays where it is."""
        await self._file.change(
            [
                (
                    "INSERT INTO sink (name, sequence, at_ns) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                    (name, cursor.sequence, cursor.at_ns),
                )
            ]
        )

    async def advance(self, name: str, rewound: int, cursor: ChangeCursor, delivered: int = 0) -> bool:
        """Record that a sink is done with all entries up to a cursor; return False if it was moved back since.

        `rewound` is that of the row by which the entries were read.
        """
        return await self._file.change(
            [
                ("UPDATE sink SET delivered = delivered + ? WHERE name = ?", (delivered, name)),
                (
                    "UPDATE sink SET sequence = ?, at_ns = ? WHERE name = ? AND rewound = ?",
                    (cursor.sequence, cursor.at_ns, name, rewound),
                ),
            ]
        )

    async def rewind(self, name: str, cursor: ChangeCursor) -> bool:
        """Let a sink get everything after a cursor again; return False if there is no such sink."""
        statement = "UPDATE sink SET sequence = ?, at_ns = ?, rewound = rewound + 1 WHERE name = ?"
        return await self._file.change([(statement, (cursor.sequence, cursor.at_ns, name))])

    async def count_gap(self, name: str) -> None:
        """Count that the change log lacked what followed the sink's cursor."""
        await self._file.change([("UPDATE sink SET gaps = gaps + 1 WHERE name = ?", (name,))])

    async def failed(self, name: str, count: int, problem: str | None) -> None:
        """Count failed attempts; `problem` is why the sink accepts nothing, None if it accepts other events."""
        statements: list[tuple[str, tuple[object, ...]]] = [
            ("UPDATE sink SET failures = failures + ? WHERE name = ?", (count, name))
        ]
        if problem is not None:
            statement = "UPDATE sink SET problem = ?, failing_since_s = coalesce(failing_since_s, ?) WHERE name = ?"
            statements.append((statement, (problem, time.time(), name)))
        await self._file.change(statements)

    async def recovered(self, name: str) -> None:
        """Record that the sink accepts events. Idempotent."""
        await self._file.change([("UPDATE sink SET problem = '', failing_since_s = NULL WHERE name = ?", (name,))])

    # --- dead letters ---

    async def bury(self, name: str, event: Event, reason: str, attempts: int) -> None:
        """Keep an event that the sink does not accept, and drop the oldest one if there are too many."""
        text = msgspec.json.encode(event).decode()
        dropped = await self._file.change(
            [
                (
                    "INSERT INTO dead_letter (sink, event, reason, attempts, failed_s) VALUES (?, ?, ?, ?, ?)",
                    (name, text, reason, attempts, time.time()),
                ),
                (_DROP_OLDEST, (name, DEAD_LETTERS_LIMIT)),
            ]
        )
        if dropped:
            _log.error("more than %d events were not accepted by %s: the oldest is dropped", DEAD_LETTERS_LIMIT, name)

    def dead_letters(self, name: str | None, after: int, limit: int) -> list[DeadLetterRow]:
        """Return dead letters of a sink, or of all, with ids greater than `after`, in the order of ids."""
        return self._letters("WHERE sink = coalesce(?, sink) AND id > ? ORDER BY id LIMIT ?", name, after, limit)

    def due_letters(self, name: str, limit: int) -> list[DeadLetterRow]:
        """Return dead letters of a sink that an operator wants sent again, oldest first."""
        return self._letters("WHERE sink = ? AND due ORDER BY id LIMIT ?", name, limit)

    def dead_letter_count(self, name: str) -> int:
        """Return how many dead letters a sink has."""
        ((count,),) = self._file.read("SELECT count(*) FROM dead_letter WHERE sink = ?", (name,))
        return int(count)

    def names_with_letters(self) -> list[str]:
        """Return the sinks that have dead letters, also those that are not configured any more."""
        return [name for (name,) in self._file.read("SELECT DISTINCT sink FROM dead_letter ORDER BY sink", ())]

    async def mark_due(self, name: str, letter: int | None = None) -> bool:
        """Have a dead letter of a sink sent again, or all of them; return False if there is none."""
        statement = "UPDATE dead_letter SET due = 1 WHERE sink = ? AND id = coalesce(?, id)"
        return await self._file.change([(statement, (name, letter))])

    async def forget(self, letter: int) -> None:
        """Remove a dead letter, which the sink has accepted now. Idempotent."""
        await self._file.change([("DELETE FROM dead_letter WHERE id = ?", (letter,))])

    async def refused_again(self, letter: int, reason: str) -> None:
        """Keep a dead letter that the sink has refused again."""
        statement = "UPDATE dead_letter SET due = 0, reason = ?, attempts = attempts + 1, failed_s = ? WHERE id = ?"
        await self._file.change([(statement, (reason, time.time(), letter))])

    async def aclose(self) -> None:
        """Close the file."""
        await self._file.close()

    def _letters(self, condition: str, *values: object) -> list[DeadLetterRow]:
        rows = self._file.read(f"{_DEAD_LETTER} {condition}", values)
        return [
            DeadLetterRow(id_, sink, msgspec.json.decode(event, type=Event), reason, attempts, failed_s, bool(due))
            for id_, sink, event, reason, attempts, failed_s, due in rows
        ]


def open_database(path: Path, threads: ThreadPool) -> DeliveryDatabase:
    """Set a damaged file aside and open the database, at the start of the process that writes it. Raises OSError."""
    kept = set_aside_if_damaged(path)
    if kept is not None:
        _log.error(
            "%s is damaged and was renamed to %s: sinks continue with the next change; `zot events replay --since` "
            "sends earlier ones again",
            path,
            kept,
        )
    return DeliveryDatabase(path, threads)
