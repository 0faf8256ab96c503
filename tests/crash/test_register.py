"""The check of histories: by hand, and against all orders of small histories."""

from __future__ import annotations

from itertools import permutations
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from crash.register import Call, is_linearizable


def write(start_s: float, end_s: float, value: str | None) -> Call:
    """A write."""
    return Call(start_s, end_s, writes=True, value=value)


def read(start_s: float, end_s: float, value: str | None) -> Call:
    """A read."""
    return Call(start_s, end_s, writes=False, value=value)


def test_what_was_answered_has_to_be_seen() -> None:
    """A read after an answered write finds its value, or that of a concurrent or later write."""
    assert is_linearizable([write(0, 1, "a"), read(2, 3, "a")])
    assert not is_linearizable([write(0, 1, "a"), read(2, 3, None)])
    assert not is_linearizable([write(0, 1, "a"), write(2, 3, "b"), read(4, 5, "a")])
    assert is_linearizable([write(0, 3, "a"), write(1, 3, "b"), read(4, 5, "a")])


def test_no_client_sees_a_value_twice_with_another_between() -> None:
    """Once a value was read, no later read finds the one before."""
    assert not is_linearizable([write(0, 9, "a"), read(1, 2, "a"), read(3, 4, None)])
    assert is_linearizable([write(0, 9, "a"), read(1, 2, None), read(3, 4, "a")])


def test_what_was_not_answered_may_be_either() -> None:
    """A write without an answer may have happened, late, or not."""
    assert is_linearizable([write(0, inf, "a"), read(2, 3, None)])
    assert is_linearizable([write(0, inf, "a"), read(2, 3, None), read(4, 5, "a")])
    assert not is_linearizable([write(0, inf, "a"), read(2, 3, "b")])


_TIMES = st.tuples(st.integers(0, 6), st.integers(1, 4) | st.just(inf))
_CALLS = st.builds(
    lambda times, writes, value: Call(times[0], times[0] + times[1], writes, value),
    _TIMES,
    st.booleans(),
    st.sampled_from([None, "a", "b"]),
)


@given(st.lists(_CALLS, max_size=5))
def test_the_search_agrees_with_the_definition(calls: list[Call]) -> None:
    """The search finds an order if and only if there is one among all."""
    assert is_linearizable(calls) == any(
        _explains([*order]) for taken in _taken(calls) for order in permutations(taken)
    )


def _taken(calls: list[Call]) -> list[list[Call]]:
    """List which calls may have happened: all that were answered, and any of the others."""
    chosen: list[list[Call]] = [[]]
    for call in calls:
        chosen = [[*each, call] for each in chosen] + ([] if call.answered else chosen)
    return chosen


def _explains(order: list[Call]) -> bool:
    value = None
    for number, call in enumerate(order):
        if any(later.end_s < call.start_s for later in order[number + 1 :]):
            return False
        if call.writes:
            value = call.value
        elif call.answered and call.value != value:
            return False
    return True
