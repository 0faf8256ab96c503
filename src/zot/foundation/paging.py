"""Read a list that is given in pages to its end, without holding up other tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

Row = TypeVar("Row")
Position = TypeVar("Position")


async def pages(
    read: Callable[[Position], Awaitable[Sequence[Row]]], position: Callable[[Row], Position], start: Position
) -> AsyncIterator[Sequence[Row]]:
    """Iterate over the pages of a list, up to the first empty one.

    `read` returns the page after a position; `position` returns that of a row. Other tasks run between two pages.
    Raises what `read` raises.
    """
    after = start
    while page := await read(after):
        yield page
        after = position(page[-1])
        await asyncio.sleep(0)


async def rows(
    read: Callable[[Position], Awaitable[Sequence[Row]]], position: Callable[[Row], Position], start: Position
) -> AsyncIterator[Row]:
    """Iterate over the rows of a list, as `pages` does over its pages."""
    async for page in pages(read, position, start):
        for row in page:
            yield row
