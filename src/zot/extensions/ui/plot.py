"""A small plot of a value over days, drawn on the server: the pages have no library and no inline style."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

import msgspec

WIDTH, HEIGHT = 600, 120
_STEPS_LIMIT = 400
"""More steps than that are not to be seen."""
_EPOCH = dt.date(1970, 1, 1)


class StepPlot(msgspec.Struct, frozen=True):
    """A value that holds until it changes, from the first day on which it is known until today."""

    title: str
    kind: str
    """Its class in the style sheet."""
    line: str
    """The path of the line, in a box of `WIDTH` by `HEIGHT`."""
    area: str
    """The path of what is below it."""
    first: dt.date
    last: dt.date
    highest: str
    """The value at the top of the box, as readers write it; the bottom is zero."""
    now: str
    description: str
    """The same in words."""


def step_plot(
    title: str, kind: str, points: Sequence[tuple[int, int]], today: int, shown: Callable[[int], str]
) -> StepPlot:
    """Return a plot of one or more points, day and value, in the order of days; `shown` writes a value."""
    begin, end = points[0][0], max(today, points[-1][0])
    days = max(1, end - begin)
    highest = max(1, *(value for _, value in points))
    path: list[str] = []
    for day, value in _fewer(points):
        x, y = WIDTH * (day - begin) / days, HEIGHT * (1 - value / highest)
        # Up or down at the day, from where the line was.
        path.append(f"H{x:.1f}V{y:.1f}" if path else f"M{x:.1f} {y:.1f}")
    line = f"{''.join(path)}H{WIDTH}"
    first, last, now = date_of(begin), date_of(end), shown(points[-1][1])
    return StepPlot(
        title=title,
        kind=kind,
        line=line,
        area=f"{line}V{HEIGHT}H0Z",
        first=first,
        last=last,
        highest=shown(highest),
        now=now,
        description=f"{title} from {first} to {last}: {shown(points[0][1])} at first, "
        f"at most {shown(highest)}, {now} now.",
    )


def date_of(day: int) -> dt.date:
    """Return the date of a number of days since the epoch."""
    return _EPOCH + dt.timedelta(days=day)


def _fewer(points: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    """Return at most `_STEPS_LIMIT` of the points, the first and the last among them."""
    if len(points) <= _STEPS_LIMIT:
        return points
    every = -(-len(points) // _STEPS_LIMIT)
    return [*points[:-1:every], points[-1]]
