"""The page of what a repository uses: its bytes, alone and shared, and how they and its tags came to be so many."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence

import msgspec

from zot.catalog import paging
from zot.catalog.change_log import TagChange
from zot.extensions.search.interface import DayOfGrowth
from zot.extensions.ui.page import HtmlPage, PageParts, PageVisit
from zot.extensions.ui.plot import date_of, step_plot
from zot.maintenance.retention import attached_to
from zot.maintenance.units import size
from zot.oci.names import Repository

CHANGES_LIMIT = 10_000
"""Changes of tags that are read, latest first."""
_DAYS_SHOWN = 60
_DAY_NS = 86400 * 10**9


class UsageDay(msgspec.Struct, frozen=True):
    """A day on which something changed; None: not known."""

    date: dt.date
    bytes: int | None
    tags: int | None


async def usage(parts: PageParts, visit: PageVisit, name: Repository) -> HtmlPage:
    """Return the page. Raises SearchUnavailableError, CatalogError."""
    changes, is_whole = await _changes(parts, name)
    summary = await parts.search.repository(visit.visible, name)
    sizes = sizes_by_day(await parts.search.growth(visit.visible, name))
    tags = tags_by_day(changes, None if is_whole else (summary.tags if summary is not None else 0))
    today = int(time.time_ns() // _DAY_NS)
    values = {
        "summary": summary,
        "usage": await parts.search.repository_usage(visit.visible, name),
        "plots": [
            step_plot(title, kind, points, today, shown)
            for title, kind, points, shown in (("Bytes", "size", sizes, size), ("Tags", "tags", tags, str))
            if points
        ],
        "days": _days(sizes, tags)[-_DAYS_SHOWN:][::-1],
        "tags_since": None if is_whole or not changes else changes[-1].at_ns,
    }
    return HtmlPage("usage.html", values)


async def _changes(parts: PageParts, name: Repository) -> tuple[list[TagChange], bool]:
    """Return the last changes of tags that are images, latest first, and whether these are all."""
    changes: list[TagChange] = []
    count = 0
    async for each in paging.tag_log(parts.catalog, name, None):
        count += 1
        if count > CHANGES_LIMIT:
            return changes, False
        if attached_to(each.tag) is None:
            changes.append(each)
    return changes, True


def sizes_by_day(growth: Sequence[DayOfGrowth]) -> list[tuple[int, int]]:
    """Return how many of the present bytes were there at the end of each day on which some came."""
    total, found = 0, []
    for each in growth:
        total += each.bytes
        found.append((each.day, total))
    return found


def tags_by_day(changes: Sequence[TagChange], now: int | None) -> list[tuple[int, int]]:
    """Return how many tags there were at the end of each day on which that changed.

    `changes` come latest first; `now` is how many tags there are, None if the changes are all that there ever were.
    """
    steps = [(each.at_ns // _DAY_NS, (each.before is None) - (each.after is None)) for each in reversed(changes)]
    total = max(0, (now or 0) - sum(step for _, step in steps)) if now is not None else 0
    found: dict[int, int] = {}
    for day, step in steps:
        total += step
        found[day] = total
    return list(found.items())


def _days(sizes: list[tuple[int, int]], tags: list[tuple[int, int]]) -> list[UsageDay]:
    """Return the days of both, with the last known value of each."""
    by_day = {"sizes": dict(sizes), "tags": dict(tags)}
    held: int | None = None
    count: int | None = None
    rows = []
    for day in sorted(by_day["sizes"].keys() | by_day["tags"].keys()):
        held, count = by_day["sizes"].get(day, held), by_day["tags"].get(day, count)
        rows.append(UsageDay(date_of(day), held, count))
    return rows
