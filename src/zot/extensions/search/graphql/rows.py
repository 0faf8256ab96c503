"""Pages of any length: the rows that were fetched, and the others, which are fetched while they are sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from zot.extensions.search.graphql.arguments import Slice
from zot.extensions.search.interface import PAGE_LIMIT, PageBounds

Row_co = TypeVar("Row_co", covariant=True)
T = TypeVar("T")


class FetchedPage(Protocol[Row_co]):
    """A page of the index."""

    @property
    def total(self) -> int:
        """Return the number of rows of all pages."""

    @property
    def rows(self) -> Sequence[Row_co]:
        """Return the rows of this page."""


@dataclass(frozen=True, slots=True)
class Rows(Generic[T]):
    """The rows of a slice."""

    count: int
    """How many there are; fewer follow if some are deleted meanwhile."""
    first: Sequence[T]
    others: Callable[[], AsyncIterator[Sequence[T]]]
    """Fetches those after the first ones, in steps."""

    async def steps(self) -> AsyncIterator[Sequence[T]]:
        """Iterate over all rows in steps of at most `PAGE_LIMIT`."""
        yield self.first
        async for step in self.others():
            yield step


async def fetch(
    part: Slice,
    query: Callable[[PageBounds], Awaitable[FetchedPage[Row_co]]],
    complete: Callable[[Sequence[Row_co]], Awaitable[Sequence[T]]],
    *,
    counts_only: bool,
) -> tuple[dict[str, int], Rows[T]]:
    """Return the page info and the rows of a slice.

    `query` returns a page of the index, `complete` adds to its rows what they lack. With `counts_only` no row is
    fetched.
    """
    limit = PAGE_LIMIT if part.limit is None else min(part.limit, PAGE_LIMIT)
    page = await query(PageBounds(limit=0 if counts_only else limit, offset=part.offset))
    left = max(0, page.total - part.offset)
    count = left if part.limit is None else min(left, part.limit)

    async def others() -> AsyncIterator[Sequence[T]]:
        fetched = len(page.rows)
        while fetched < count and not counts_only:
            step = await query(PageBounds(limit=min(PAGE_LIMIT, count - fetched), offset=part.offset + fetched))
            if not step.rows:
                return
            fetched += len(step.rows)
            yield await complete(step.rows)

    rows = Rows(count, await complete(page.rows), others)
    return {"TotalCount": page.total, "ItemCount": count}, rows
