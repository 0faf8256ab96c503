"""A sign on the terminal that zli waits for the registry."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import cycle

_PERIOD_S = 0.15


@asynccontextmanager
async def spinner(*, shown: bool) -> AsyncIterator[None]:
    """Show during the block that something is awaited, if standard error is a terminal."""
    if not shown or not sys.stderr.isatty():
        yield
        return
    turning = asyncio.create_task(_turn())
    try:
        yield
    finally:
        turning.cancel()
        with suppress(asyncio.CancelledError):
            await turning
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


async def _turn() -> None:
    for sign in cycle("|/-\\"):
        sys.stderr.write(f"\rSearching... {sign}")
        sys.stderr.flush()
        await asyncio.sleep(_PERIOD_S)
