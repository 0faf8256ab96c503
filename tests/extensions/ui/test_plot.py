"""A plot shows a value over days; the days are derived from pushes and from the history of tags."""

from __future__ import annotations

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zot.catalog.change_log import TagChange
from zot.extensions.search.interface import DayOfGrowth
from zot.extensions.ui.plot import HEIGHT, WIDTH, step_plot
from zot.extensions.ui.usage import sizes_by_day, tags_by_day
from zot.oci.digest import Digest
from zot.oci.names import Tag

_DAY_NS = 86400 * 10**9
ONE = Digest("sha256:" + "1" * 64)


def change(day: int, *, before: bool, after: bool) -> TagChange:
    """Return a change of a tag at noon of a day."""
    return TagChange(0, Tag("a"), ONE if before else None, ONE if after else None, day * _DAY_NS + _DAY_NS // 2, "")


def test_bytes_add_up_day_by_day() -> None:
    assert sizes_by_day([DayOfGrowth(3, 10), DayOfGrowth(5, 7)]) == [(3, 10), (5, 17)]
    assert sizes_by_day([]) == []


def test_tags_are_counted_from_their_creation() -> None:
    changes = [
        change(9, before=True, after=False),
        change(8, before=True, after=True),
        change(8, before=False, after=True),
        change(7, before=False, after=True),
    ]
    assert tags_by_day(changes, None) == [(7, 1), (8, 2), (9, 1)]


def test_tags_are_counted_back_from_today_where_the_beginning_is_not_known() -> None:
    assert tags_by_day([change(9, before=False, after=True)], 100) == [(9, 100)]
    assert tags_by_day([change(9, before=True, after=False)], 100) == [(9, 100)]
    assert tags_by_day([change(9, before=False, after=True)], 0) == [(9, 1)]


def test_a_plot_says_in_words_what_it_shows() -> None:
    plot = step_plot("Tags", "tags", [(1, 2), (3, 8), (4, 4)], 11, str)
    assert plot.description == "Tags from 1970-01-02 to 1970-01-12: 2 at first, at most 8, 4 now."
    assert (plot.first, plot.last, plot.highest, plot.now) == (date(1970, 1, 2), date(1970, 1, 12), "8", "4")
    assert plot.line == "M0.0 90.0H120.0V0.0H180.0V60.0H600"


@pytest.mark.parametrize("points", [[(0, 0)], [(5, 1)], [(20000, 2**70)], [(0, 0), (20000, 0)]])
def test_a_plot_of_hardly_anything_is_drawn(points: list[tuple[int, int]]) -> None:
    assert step_plot("x", "y", points, 0, str).line.startswith("M0.0 ")


@given(
    st.dictionaries(st.integers(0, 30_000), st.integers(0, 2**65), min_size=1, max_size=1000), st.integers(0, 30_000)
)
def test_a_plot_stays_in_its_box_and_is_small(values: dict[int, int], today: int) -> None:
    plot = step_plot("x", "y", sorted(values.items()), today, str)
    for axis, limit in (("H", WIDTH), ("V", HEIGHT)):
        assert all(0 <= float(each) <= limit for each in re.findall(rf"{axis}([0-9.]+)", plot.area))
    assert re.fullmatch(r"[MHVZ0-9. ]+", plot.area)
    assert len(plot.line) < 8000
