"""How much one upstream is asked: requests at once, requests a second, and pauses that it asked for or needs."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from zot.upstream.errors import UpstreamPausedError

QUEUE_LIMIT = 512
"""Requests that wait for their turn; further ones fail at once."""
LONGEST_PAUSE_S = 3600.0
_LONGEST_WAIT_S = 10.0


class RequestBudget:
    """Bounds the requests of this process to one upstream.

    Downloads, which last as long as a layer takes, and short requests have separate places, so that a tag is checked
    while layers are on their way.
    """

    def __init__(self, concurrent: int, per_s: float | None = None) -> None:
        """Allow `concurrent` short requests and as many downloads at once; `per_s` of both begin in a second."""
        self._requests = asyncio.Semaphore(concurrent)
        self._downloads = asyncio.Semaphore(concurrent)
        self._waiting = 0
        self._interval_s = 1 / per_s if per_s else 0.0
        self._next_s = 0.0
        self._paused_until_s = 0.0
        self._why = ""

    @asynccontextmanager
    async def request(self, *, download: bool = False) -> AsyncIterator[None]:
        """Wait for a place, and hold it during the block. Raises UpstreamPausedError."""
        places = self._downloads if download else self._requests
        self.refuse_if_paused()
        if self._waiting >= QUEUE_LIMIT:
            raise UpstreamPausedError("too many requests wait for the upstream", retry_after_s=1)
        self._waiting += 1
        try:
            await places.acquire()
        finally:
            self._waiting -= 1
        try:
            self.refuse_if_paused()  # it may have failed while this request waited
            await self._turn()
            yield
        finally:
            places.release()

    def pause(self, delay_s: float, why: str) -> None:
        """Fail requests for `delay_s`, at most an hour; a longer pause that is under way stays."""
        until_s = asyncio.get_running_loop().time() + min(delay_s, LONGEST_PAUSE_S)
        if until_s > self._paused_until_s:
            self._paused_until_s, self._why = until_s, why

    def refuse_if_paused(self) -> None:
        """Raise UpstreamPausedError during a pause."""
        left_s = self._paused_until_s - asyncio.get_running_loop().time()
        if left_s > 0:
            raise UpstreamPausedError(self._why, retry_after_s=math.ceil(left_s))

    async def _turn(self) -> None:
        """Wait until the rate allows the request. Raises UpstreamPausedError if that takes long."""
        if not self._interval_s:
            return
        now_s = asyncio.get_running_loop().time()
        turn_s = max(self._next_s, now_s)
        if turn_s - now_s > _LONGEST_WAIT_S:
            raise UpstreamPausedError("the configured rate of requests is reached", retry_after_s=1)
        self._next_s = turn_s + self._interval_s
        await asyncio.sleep(turn_s - now_s)
