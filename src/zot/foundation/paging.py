"""Iterate over paginated lists without blocking other tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

Row = TypeVar("Row")
Position = TypeVar("Position")


async def pages(
    read: Callable[[Position], Awaitable[Sequence[Row]]],
    position: Callable[[Row], Position],
    start: Position,
    size: int = 1,
) -> AsyncIterator[Sequence[Row]]:
    """Iterate over the pages of a list, up to one of fewer than `size` rows.

    `read` returns the page after a position, and `position` the position of a row. Other tasks may run between two
    pages. Raises the errors of `read`.
    """
    after = start
    while page := await read(after):
        yield page
        if len(page) < size:
            return
        after = position(page[-1])
        await asyncio.sleep(0)


async def rows(
    read: Callable[[Position], Awaitable[Sequence[Row]]],
    position: Callable[[Row], Position],
    start: Position,
    size: int = 1,
) -> AsyncIterator[Row]:
    """Iterate over the rows of a list; laws as for `pages`."""
    async for page in pages(read, position, start, size):
        for row in page:
            yield row
