"""Whose turn it is: background work in small steps, some at once, the urgent first and nobody forgotten."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import IntEnum
from itertools import count


class Priority(IntEnum):
    """How much more often than others a task has its turn."""

    LOW = 1
    MEDIUM = 10
    HIGH = 100


class PrioritySlots:
    """Places for steps. Of those who wait, the one with the highest rank is next.

    A rank is the priority divided by the steps that the run has made, plus one: among equals the one that had least
    comes first, and a task of low priority has its turn, if seldom, however many urgent ones there are.
    """

    def __init__(self, places: int) -> None:
        """Let so many steps be made at once."""
        self.places = places
        self.working = 0
        self._order = count()
        self._waiting: dict[asyncio.Future[None], tuple[float, int, Priority]] = {}

    @property
    def waiting(self) -> dict[str, int]:
        """How many wait, by the priority's name in lower case."""
        counts = Counter(priority for _, _, priority in self._waiting.values())
        return {priority.name.lower(): counts[priority] for priority in Priority}

    @asynccontextmanager
    async def turn(self, priority: Priority, steps: int) -> AsyncIterator[None]:
        """Wait for a place, and have it during the block. `steps`: those that the run made so far."""
        if self.working < self.places and not self._waiting:
            self.working += 1
        else:
            await self._wait(priority / (1 + steps), priority)
        try:
            yield
        finally:
            self._leave()

    async def _wait(self, rank: float, priority: Priority) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[place] = (rank, -next(self._order), priority)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._leave()  # it was given the place at the same moment
            raise
        finally:
            self._waiting.pop(place, None)

    def _leave(self) -> None:
        self.working -= 1
        if self._waiting:
            place = max(self._waiting, key=self._waiting.__getitem__)
            del self._waiting[place]
            self.working += 1
            place.set_result(None)
