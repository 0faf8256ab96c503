"""What is made when it is first used: a start waits for none of its imports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from zot.foundation.threads import ThreadPool

T = TypeVar("T", bound=object)


class FirstUse(Generic[T]):
    """An object that a thread makes for the first who asks; importing and compiling hold up no event loop.

    All callers get the same object. If making it fails the caller sees the exception, and the next one tries again.
    """

    def __init__(self, make: Callable[[], T], pool: ThreadPool) -> None:
        """Make it by `make`, in a thread of `pool`."""
        self._make = make
        self._pool = pool
        self._made: T | None = None
        self._making = asyncio.Lock()

    async def get(self) -> T:
        """Return the object. Raises ThreadPoolBusyError, and what `make` raises."""
        if self._made is None:
            async with self._making:
                if self._made is None:
                    self._made = await self._pool.run(self._make)
        return self._made
