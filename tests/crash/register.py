"""Linearizability of a register: whether one order explains the answers to all clients of a tag or blob.

A tag is a register: a push writes a digest, a delete writes nothing, a pull reads. Herlihy and Wing's definition: there
is an order of the calls in which each read finds what was written last, and a call that ended before another began
comes before it. A call without an answer may have happened at any moment since it began, or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

Value = str | None


@dataclass(frozen=True)
class Call:
    """A read that found `value`, or a write of it; `end_s` is infinite if no answer came."""

    start_s: float
    end_s: float
    writes: bool
    value: Value

    @property
    def answered(self) -> bool:
        """Whether it must have happened."""
        return self.end_s != inf


def is_linearizable(calls: Sequence[Call], value: Value = None) -> bool:
    """Return whether some order explains the calls on a register that held `value` (Wing and Gong's search)."""
    calls = [call for call in calls if call.answered or call.writes]
    waiting = (1 << len(calls)) - 1
    seen = {(waiting, value)}
    branches = [(waiting, value)]
    while branches:
        waiting, value = branches.pop()
        left = [number for number in range(len(calls)) if waiting >> number & 1]
        if not any(calls[number].answered for number in left):
            return True
        # A call that began before the first of the others ended may be the next.
        first_end_s = min(calls[number].end_s for number in left)
        for number in left:
            call = calls[number]
            if call.start_s > first_end_s or not (call.writes or call.value == value):
                continue
            branch = (waiting & ~(1 << number), call.value)
            if branch not in seen:
                seen.add(branch)
                branches.append(branch)
    return False
