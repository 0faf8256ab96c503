"""Failed logins are slowed down: each attempt waits for its turn, the longer the more failed before it.

What is bounded is the rate, so that attempts in parallel gain nothing: an attempt takes the next turn of the name it
tries, from the address it comes from, and over all addresses. A turn that is too far away is refused at once.

It is a delay, and no lock. A client at an address from which the name has logged in before waits for no client at
another address, and one client that guesses holds up no other name at its address: only an address from which many
different names fail is slowed down, a little, for names that have not logged in from there. The counts are those of
one process.
"""

from __future__ import annotations

import math
import time
import unicodedata
from collections.abc import Callable

import msgspec

from zot.foundation.bounded_map import BoundedMap
from zot.registry.errors import TooManyRequests

COUNT_LIMIT = 10_000
LONGEST_DELAY_S = 8.0
FORGOTTEN_AFTER_S = 900.0

# People mistype. Many of them may share an address.
_FREE_BY_NAME = 3
_FREE_NAMES_BY_ADDRESS = 50
_FIRST_DELAY_S = 0.25
_LONGEST_DELAY_OF_ADDRESS_S = 1.0
_KNOWN_FOR_S = 24 * 3600.0

_KEY_LENGTH = 256


class Turn(msgspec.Struct, frozen=True):
    """An attempt's turn."""

    wait_s: float
    """How long it has to wait before it is looked at."""
    pair: str
    counted: list[tuple[_Turns, str]]
    """Where it is counted as a failure."""


class Throttle:
    """Failures by name and address, by name, and by address."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Start with none."""
        self._now = now
        self._pairs = _Turns(_FREE_BY_NAME, LONGEST_DELAY_S, now)
        self._names = _Turns(_FREE_BY_NAME, LONGEST_DELAY_S, now)
        self._addresses = _Turns(_FREE_NAMES_BY_ADDRESS, _LONGEST_DELAY_OF_ADDRESS_S, now)
        self._known: BoundedMap[str, float] = BoundedMap(COUNT_LIMIT)

    def begin(self, name: str, address: str) -> Turn:
        """Count an attempt, as failed until it has succeeded, and return its turn. An empty address is not known.

        Raises TooManyRequests, and counts nothing, if it would have to wait for longer than `LONGEST_DELAY_S`.
        """
        alike = _alike(name)
        pair = f"{address[:_KEY_LENGTH]} {alike}"
        concerned = [(self._pairs, pair)]
        if self._now() - self._known.get(pair, float("-inf")) > _KNOWN_FOR_S:
            concerned.append((self._names, alike))
            if address:
                concerned.append((self._addresses, address[:_KEY_LENGTH]))
        wait_s = max(turns.wait_s(key) for turns, key in concerned)
        if wait_s > LONGEST_DELAY_S:
            raise TooManyRequests("too many failed logins", retry_after_s=math.ceil(wait_s))
        # Of an address different names are counted: that one of them is tried again and again is that name's matter.
        counted = [each for each in concerned if each[0] is not self._addresses or not self._pairs.has_failed(pair)]
        for each in concerned:
            each[0].take(each[1], counts=each in counted)
        return Turn(wait_s, pair, counted)

    def succeeded(self, turn: Turn) -> None:
        """Forget the failures of the name at the address, from which it is known to log in from now on."""
        self.undecided(turn)
        self._pairs.forget(turn.pair)
        self._known[turn.pair] = self._now()

    def undecided(self, turn: Turn) -> None:
        """Take the attempt out of the count: it came to no answer."""
        for turns, key in turn.counted:
            turns.take_back(key)


def _alike(name: str) -> str:
    """Return what all spellings have in common that a directory takes for one name (RFC 4518, caseIgnoreMatch)."""
    return " ".join(unicodedata.normalize("NFKC", name[:_KEY_LENGTH]).casefold().split())


class _State(msgspec.Struct):
    failures: int = 0
    last_s: float = 0.0
    """When the last attempt took its turn."""
    turn_s: float = 0.0
    """When that turn is, or was."""


class _Turns:
    """Turns by key, one after the other."""

    def __init__(self, free: int, longest_s: float, now: Callable[[], float]) -> None:
        self._free = free
        self._longest_s = longest_s
        self._now = now
        self._states: BoundedMap[str, _State] = BoundedMap(COUNT_LIMIT)

    def wait_s(self, key: str) -> float:
        """Return how far the next turn is away."""
        state = self._state(key)
        return 0.0 if state is None else max(0.0, state.turn_s + self._delay_s(state) - self._now())

    def has_failed(self, key: str) -> bool:
        """Tell whether failures of the key are counted."""
        state = self._state(key)
        return state is not None and state.failures > 0

    def take(self, key: str, *, counts: bool) -> None:
        """Take the next turn."""
        now_s = self._now()
        turn_s = now_s + self.wait_s(key)
        state = self._state(key) or _State()
        state.failures += counts
        state.last_s, state.turn_s = now_s, turn_s
        self._states[key] = state

    def take_back(self, key: str) -> None:
        """Count one failure less."""
        state = self._state(key)
        if state is not None:
            state.failures = max(0, state.failures - 1)

    def forget(self, key: str) -> None:
        """Forget what was counted."""
        self._states.pop(key, None)

    def _state(self, key: str) -> _State | None:
        state = self._states.get(key)
        return state if state is not None and self._now() - state.last_s < FORGOTTEN_AFTER_S else None

    def _delay_s(self, state: _State) -> float:
        excess = state.failures - self._free
        return 0.0 if excess < 0 else min(self._longest_s, _FIRST_DELAY_S * 2.0 ** min(excess, 10))
