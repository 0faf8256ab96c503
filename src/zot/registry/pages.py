"""Lists: in pages, or whole in short steps between which other requests are served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from zot.catalog.interface import PAGE_LIMIT
from zot.registry.registry import Registry

Row = TypeVar("Row")

Read = Callable[[str, int], Awaitable[Sequence[Row]]]
"""Reads at most so many rows that come after a key, in order."""

STEP = 100
"""Rows of one step of a whole list: few enough to be read, filtered and encoded between two other requests."""


class Page(NamedTuple, Generic[Row]):
    """Rows in byte order of their keys; `last` is the key after which the next page begins, None at the end."""

    rows: list[Row]
    last: str | None


def page_limit(registry: Registry, asked: int | None) -> int:
    """Return how many entries a page has at most. A client's number is bounded before anything is allocated."""
    return registry.limits.page if asked is None else min(asked, registry.limits.page)


async def read_page(read: Read[Row], key: Callable[[Row], str], after: str, limit: int) -> Page[Row]:
    """Return a page of at most `limit` rows after `after`, which need not exist."""
    found = await _collect(read, key, after, limit + 1)
    return Page(found[:limit], key(found[limit - 1]) if 0 < limit < len(found) else None)


async def iter_steps(
    registry: Registry, read: Read[Row], key: Callable[[Row], str], after: str
) -> AsyncGenerator[Sequence[Row]]:
    """Iterate over all rows after `after`, some at a time.

    What changes concurrently may be seen or not; nothing is seen twice.
    """
    while True:
        step = await read(after, STEP)
        yield step
        if len(step) < STEP:
            return
        after = key(step[-1])
        await give_way(registry)


async def give_way(registry: Registry) -> None:
    """Let other requests run: all lists under way take one step together, not one each."""
    async with registry.listing:
        await asyncio.sleep(0)


async def _collect(read: Read[Row], key: Callable[[Row], str], after: str, count: int) -> list[Row]:
    """Read pages, none larger than the catalog gives, until there are `count` rows or no more."""
    found: list[Row] = []
    while len(found) < count:
        wanted = min(PAGE_LIMIT, count - len(found))
        page = await read(after, wanted)
        found += page
        if len(page) < wanted:
            break
        after = key(page[-1])
        await asyncio.sleep(0)
    return found
