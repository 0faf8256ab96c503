"""Slots for steps of background tasks: some run at once, urgent tasks first, and none starves."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import IntEnum
from itertools import count


class Priority(IntEnum):
    """The relative frequency with which a task gets a slot."""

    LOW = 1
    MEDIUM = 10
    HIGH = 100


class PrioritySlots:
    """A limited number of slots. The waiting step with the highest rank is next.

    The rank is the priority divided by one plus the steps that the run has made: among equal priorities the run with
    the fewest steps is next, and a task of low priority gets a slot, if rarely, beside any number of urgent ones.
    """

    def __init__(self, slots: int) -> None:
        """Let at most `slots` steps run at once."""
        self.slots = slots
        self.working = 0
        self._order = count()
        self._waiting: dict[asyncio.Future[None], tuple[float, int, Priority]] = {}

    @property
    def waiting(self) -> dict[str, int]:
        """The number of waiting steps, by the priority's name in lower case."""
        counts = Counter(priority for _, _, priority in self._waiting.values())
        return {priority.name.lower(): counts[priority] for priority in Priority}

    @asynccontextmanager
    async def slot(self, priority: Priority, steps: int) -> AsyncIterator[None]:
        """Wait for a slot and hold it during the block; `steps` is the number that the run has made so far."""
        if self.working < self.slots and not self._waiting:
            self.working += 1
        else:
            await self._wait(priority / (1 + steps), priority)
        try:
            yield
        finally:
            self._leave()

    async def _wait(self, rank: float, priority: Priority) -> None:
        slot: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[slot] = (rank, -next(self._order), priority)
        try:
            await slot
        except asyncio.CancelledError:
            if slot.done() and not slot.cancelled():
                self._leave()  # the slot was assigned at the same moment
            raise
        finally:
            self._waiting.pop(slot, None)

    def _leave(self) -> None:
        self.working -= 1
        if self._waiting:
            slot = max(self._waiting, key=self._waiting.__getitem__)
            del self._waiting[slot]
            self.working += 1
            slot.set_result(None)
