"""Repositories: list those that a caller may read, imported or not."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from heapq import merge

from zot.catalog.interface import PAGE_LIMIT
from zot.oci.names import Repository
from zot.registry.pages import STEP, Page, give_way, page_limit
from zot.registry.registry import Registry
from zot.registry.request import ListRepositories

# Repositories searched for one page: beyond it a page is short, with a link, rather than late.
_SCAN_LIMIT = 100_000
_ROWS_AT_LEAST = 100


async def page(
    registry: Registry, request: ListRepositories, readable: Callable[[Repository], bool]
) -> Page[Repository]:
    """Return a page of the repositories that are `readable`, those not imported yet included. Raises Unavailable."""
    limit = page_limit(registry, request.limit)
    found: list[Repository] = []
    last: Repository | None = None
    seen = 0
    # No more than fits on the page; but not row by row where most of them may not be read.
    async for names, following in _names(registry, request.last, min(PAGE_LIMIT, max(_ROWS_AT_LEAST, limit + 1))):
        last = following
        found += filter(readable, names)
        seen += len(names)
        if len(found) > limit or seen >= _SCAN_LIMIT:
            break
    if len(found) > limit:
        return Page(found[:limit], found[limit - 1] if limit else None)
    return Page(found, last)


async def iter_all(
    registry: Registry, request: ListRepositories, readable: Callable[[Repository], bool]
) -> AsyncGenerator[Sequence[Repository]]:
    """Iterate over all repositories that are `readable`, some at a time; a step may be empty. Raises Unavailable."""
    async for names, _ in _names(registry, request.last, STEP):
        yield [name for name in names if readable(name)]


async def _names(
    registry: Registry, after: str, count: int
) -> AsyncGenerator[tuple[Sequence[Repository], Repository | None]]:
    """Iterate over the catalog's repositories and those of its sources, as one list.

    Each step comes with the name to go on after, None at the end.
    """
    last: Repository | None = None
    while True:
        # The catalog last: a name that is imported between two reads is in both rather than in neither.
        pages = [await source.names(after, count) for source in registry.sources]
        pages.append(await registry.catalog.repositories(after, count))
        # Past the end of the shortest full page nothing is known yet.
        ends = [each[-1] for each in pages if len(each) == count]
        names = [name for name in dict.fromkeys(merge(*pages)) if not ends or name <= min(ends)]
        last = names[-1] if ends else None
        yield names, last
        if last is None:
            return
        after = last
        await give_way(registry)
