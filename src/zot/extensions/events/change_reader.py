"""Reads the catalog's change log as events.

The entries of one command follow each other in the log, with one time. They are read together, since zot sends no event
for a manifest beside those of its tags, and one for the delete of a manifest with its tags.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from zot.catalog.change_log import Change, ChangeCursor, ChangeKind
from zot.catalog.command import ChangeSource
from zot.catalog.interface import Catalog
from zot.extensions.events.event import Event, EventType

PAGE = 256
"""Entries that are read at once."""
COMMAND_LIMIT = 10_000
"""Entries of one command that are read together. The events of a longer one tell of its tags one by one."""


class EventPage(NamedTuple):
    """Events, oldest first, and where to read on."""

    events: tuple[Event, ...]
    cursor: ChangeCursor
    gap: bool
    """The log lacks what followed the reader's cursor: what changed is not known, and reading goes on at its end."""
    more: bool
    """Whether the log probably has more."""


async def read_events(catalog: Catalog, after: ChangeCursor, limit: int = PAGE) -> EventPage:
    """Return the events that follow a cursor, of about `limit` entries of the log. Raises CatalogError."""
    page = await catalog.changes(after, limit)
    if page.gap or not page.changes:
        return EventPage((), page.cursor, page.gap, more=False)
    changes = list(page.changes)
    more = len(changes) == limit
    while more and len(changes) < COMMAND_LIMIT:
        last = changes[-1]
        rest = (await catalog.changes(ChangeCursor(last.sequence, last.at_ns), limit)).changes
        same = [each for each in rest if _command(each) == _command(last)]
        changes += same
        if len(same) < limit:
            break
    last = changes[-1]
    return EventPage(tuple(events_of(changes, after)), ChangeCursor(last.sequence, last.at_ns), gap=False, more=more)


async def cursor_before(catalog: Catalog, at_ns: int) -> ChangeCursor:
    """Return the place in the change log before the first entry of a time or later. Raises CatalogError."""
    page = await catalog.changes(None, 1)
    low, high = page.oldest - 1, page.cursor.sequence
    if page.cursor.at_ns is None or page.cursor.at_ns < at_ns:
        return page.cursor
    while low < high:
        middle = (low + high) // 2
        following = await catalog.changes(ChangeCursor(middle, None), 1)
        if following.changes and following.changes[0].at_ns >= at_ns:
            high = middle
        else:
            low = middle + 1
    return ChangeCursor(low, None)


def events_of(changes: Sequence[Change], before: ChangeCursor) -> Iterator[Event]:
    """Iterate over the events of entries that follow `before` without a gap, whole commands."""
    for _, group in groupby(changes, _command):
        command = list(group)
        yield from _of_command(command, before)
        before = ChangeCursor(command[-1].sequence, command[-1].at_ns)


def _command(change: Change) -> tuple[int, str]:
    return change.at_ns, change.repository


def _of_command(changes: Sequence[Change], before: ChangeCursor) -> Iterator[Event]:
    tagged = {each.after for each in changes if each.tag is not None and each.after is not None}
    deleted = {each.before for each in changes if each.kind is ChangeKind.MANIFEST_DELETED}
    for change in changes:
        match change.kind:
            case ChangeKind.REPOSITORY_CREATED:
                yield _event(EventType.REPOSITORY_CREATED, change, before)
            case ChangeKind.REPOSITORY_REMOVED:
                yield _event(EventType.REPOSITORY_REMOVED, change, before)
            case ChangeKind.BLOB_LOST:
                yield _event(EventType.BLOB_LOST, change, before)
            case ChangeKind.MANIFEST_STORED if change.after in tagged:
                continue  # the events of its tags tell of it
            case ChangeKind.TAG_DELETED if change.before in deleted:
                continue  # the event of the manifest tells of it
            case ChangeKind.MANIFEST_STORED | ChangeKind.TAG_CREATED | ChangeKind.TAG_MOVED:
                yield _event(EventType.IMAGE_UPDATED, change, before)
            case ChangeKind.MANIFEST_DELETED | ChangeKind.TAG_DELETED:
                yield _event(EventType.IMAGE_DELETED, change, before)
        before = ChangeCursor(change.sequence, change.at_ns)


def _event(kind: EventType, change: Change, before: ChangeCursor) -> Event:
    # A pull that finds damaged content is no act of its client.
    source = ChangeSource.SCRUB if kind is EventType.BLOB_LOST else change.source
    return Event(
        type=kind,
        sequence=change.sequence,
        at_ns=change.at_ns,
        before=before,
        repository=change.repository,
        source=source,
        by=change.by if source is change.source else "",
        reference=change.tag or change.digest or "",
        digest=change.digest,
        media_type=change.media_type,
    )
