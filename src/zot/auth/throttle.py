"""Throttles logins: each attempt waits for its turn, and longer after more failures.

It bounds the rate, so that concurrent attempts gain nothing: an attempt takes the next turn of its user name at its
address, of the name over all addresses, and of the address. A turn that is too far away is refused at once.

It delays and never locks an account. A client at an address from which the name has logged in before does not wait for
clients at other addresses, and a client that guesses delays no other name at its address: only an address from which
many different names fail is slowed down, a little, for names that have not logged in from there. Each process counts
for itself.
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

# Users mistype, and many of them may share an address.
_FREE_BY_NAME = 3
_FREE_NAMES_BY_ADDRESS = 50
_FIRST_DELAY_S = 0.25
_LONGEST_DELAY_OF_ADDRESS_S = 1.0
_KNOWN_FOR_S = 24 * 3600.0

_KEY_LENGTH = 256


class Turn(msgspec.Struct, frozen=True):
    """The turn of a login attempt."""

    wait_s: float
    """How long the attempt must wait before its password is verified."""
    pair: str
    counted: list[tuple[_Turns, str]]
    """The counts that include it as a failure."""


class Throttle:
    """Counts failed logins by name and address, by name, and by address."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._pairs = _Turns(_FREE_BY_NAME, LONGEST_DELAY_S, now)
        self._names = _Turns(_FREE_BY_NAME, LONGEST_DELAY_S, now)
        self._addresses = _Turns(_FREE_NAMES_BY_ADDRESS, _LONGEST_DELAY_OF_ADDRESS_S, now)
        self._known: BoundedMap[str, float] = BoundedMap(COUNT_LIMIT)

    def begin(self, name: str, address: str) -> Turn:
        """Count an attempt as failed until it succeeds, and return its turn.

        The address is empty if it is unknown. Raises TooManyRequests, without counting, if the attempt would have to
        wait for longer than `LONGEST_DELAY_S`.
        """
        normalized = _normalized(name)
        pair = f"{address[:_KEY_LENGTH]} {normalized}"
        limits = [(self._pairs, pair)]
        if self._now() - self._known.get(pair, float("-inf")) > _KNOWN_FOR_S:
            limits.append((self._names, normalized))
            if address:
                limits.append((self._addresses, address[:_KEY_LENGTH]))
        wait_s = max(turns.wait_s(key) for turns, key in limits)
        if wait_s > LONGEST_DELAY_S:
            raise TooManyRequests("too many failed logins", retry_after_s=math.ceil(wait_s))
        # An address counts the different names that fail there: repeated failures of one name are limited by name.
        counted = [each for each in limits if each[0] is not self._addresses or not self._pairs.has_failed(pair)]
        for each in limits:
            each[0].take(each[1], counts=each in counted)
        return Turn(wait_s, pair, counted)

    def succeeded(self, turn: Turn) -> None:
        """Reset the failures of the name at the address, and remember the address as known for the name."""
        self.undecided(turn)
        self._pairs.reset(turn.pair)
        self._known[turn.pair] = self._now()

    def undecided(self, turn: Turn) -> None:
        """Do not count the attempt: it has neither failed nor succeeded."""
        for turns, key in turn.counted:
            turns.uncount(key)


def _normalized(name: str) -> str:
    """Return the name as a directory compares it, for all its spellings (RFC 4518, caseIgnoreMatch)."""
    return " ".join(unicodedata.normalize("NFKC", name[:_KEY_LENGTH]).casefold().split())


class _State(msgspec.Struct):
    failures: int = 0
    last_s: float = 0.0
    """When the last attempt took its turn."""
    turn_s: float = 0.0
    """The time of that turn, which may be in the future."""


class _Turns:
    """A sequence of turns for each key, with the delay after failures."""

    def __init__(self, free: int, longest_s: float, now: Callable[[], float]) -> None:
        self._free = free
        self._longest_s = longest_s
        self._now = now
        self._states: BoundedMap[str, _State] = BoundedMap(COUNT_LIMIT)

    def wait_s(self, key: str) -> float:
        """Return the time until the next turn, in seconds."""
        state = self._state(key)
        return 0.0 if state is None else max(0.0, state.turn_s + self._delay_s(state) - self._now())

    def has_failed(self, key: str) -> bool:
        """Tell whether the key has counted failures."""
        state = self._state(key)
        return state is not None and state.failures > 0

    def take(self, key: str, *, counts: bool) -> None:
        """Take the next turn; with `counts` as a failure."""
        now_s = self._now()
        turn_s = now_s + self.wait_s(key)
        state = self._state(key) or _State()
        state.failures += counts
        state.last_s, state.turn_s = now_s, turn_s
        self._states[key] = state

    def uncount(self, key: str) -> None:
        """Decrease the count of failures by one."""
        state = self._state(key)
        if state is not None:
            state.failures = max(0, state.failures - 1)

    def reset(self, key: str) -> None:
        """Remove the key's failures and turns."""
        self._states.pop(key, None)

    def _state(self, key: str) -> _State | None:
        state = self._states.get(key)
        return state if state is not None and self._now() - state.last_s < FORGOTTEN_AFTER_S else None

    def _delay_s(self, state: _State) -> float:
        excess = state.failures - self._free
        return 0.0 if excess < 0 else min(self._longest_s, _FIRST_DELAY_S * 2.0 ** min(excess, 10))
