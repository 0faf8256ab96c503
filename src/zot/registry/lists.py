"""Lists of repositories, tags and referrers: in pages, or whole, step by step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from heapq import merge
from typing import NamedTuple, TypeVar

from zot.catalog.interface import PAGE_LIMIT
from zot.catalog.rows import ReferrerRow
from zot.oci.names import Repository, Tag
from zot.registry.registry import Registry
from zot.registry.request import ListReferrers, ListRepositories, ListTags

Row = TypeVar("Row")

# Repositories looked at for one page: beyond it a page is short, with a link, rather than late.
_SCAN_LIMIT = 100_000
_ROWS_AT_LEAST = 100
# Entries of one step of a whole list: few enough to be read, filtered and encoded between two other requests.
_STEP = 100


class TagPage(NamedTuple):
    """Tags in byte order; `last` is where to go on, None at the end."""

    tags: list[Tag]
    last: str | None


class RepositoryPage(NamedTuple):
    """Repositories in byte order; `last` is where to go on, None at the end."""

    repositories: list[Repository]
    last: str | None


class ReferrerPage(NamedTuple):
    """Referrers in the order of digests; `last` is where to go on, None at the end."""

    referrers: list[ReferrerRow]
    last: str | None


async def tags(registry: Registry, request: ListTags) -> TagPage:
    """Return a page of tags after `last`, which need not exist. Raises NameUnknown."""
    await registry.known(request.repository)
    limit = page_limit(registry, request.limit)
    found = await _collect(_tag_reader(registry, request), str, request.last, limit + 1)
    return TagPage(found[:limit], found[limit - 1] if 0 < limit < len(found) else None)


async def all_tags(registry: Registry, request: ListTags) -> AsyncGenerator[Sequence[Tag]]:
    """Iterate over all tags after `last`, some at a time; other requests get their turn in between.

    What changes meanwhile may be seen or not; nothing is seen twice. Raises NameUnknown before the first step.
    """
    await registry.known(request.repository)
    async for step in _steps(registry, _tag_reader(registry, request), str, request.last):
        yield step


def _tag_reader(registry: Registry, request: ListTags) -> Callable[[str, int], Awaitable[Sequence[Tag]]]:
    async def read(after: str, count: int) -> Sequence[Tag]:
        return [row.name for row in await registry.catalog.tags(request.repository, after, count)]

    return read


async def referrers(registry: Registry, request: ListReferrers) -> ReferrerPage:
    """Return a page of a manifest's referrers; none if the repository does not exist."""
    if not await registry.is_known(request.repository):
        return ReferrerPage([], None)
    limit = page_limit(registry, request.limit)
    found = await _collect(_referrer_reader(registry, request), _digest, request.last, limit + 1)
    return ReferrerPage(found[:limit], found[limit - 1].digest if 0 < limit < len(found) else None)


async def all_referrers(registry: Registry, request: ListReferrers) -> AsyncGenerator[Sequence[ReferrerRow]]:
    """Iterate over all referrers of a manifest, as `all_tags`; none if the repository does not exist."""
    if await registry.is_known(request.repository):
        async for step in _steps(registry, _referrer_reader(registry, request), _digest, request.last):
            yield step


def _referrer_reader(
    registry: Registry, request: ListReferrers
) -> Callable[[str, int], Awaitable[Sequence[ReferrerRow]]]:
    async def read(after: str, count: int) -> Sequence[ReferrerRow]:
        return await registry.catalog.referrers(
            request.repository, request.subject, request.artifact_types, after, count
        )

    return read


def _digest(row: ReferrerRow) -> str:
    return row.digest


async def repositories(
    registry: Registry, request: ListRepositories, readable: Callable[[Repository], bool]
) -> RepositoryPage:
    """Return a page of the repositories that are `readable`, those not adopted yet included. Raises Unavailable."""
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
        return RepositoryPage(found[:limit], found[limit - 1] if limit else None)
    return RepositoryPage(found, last)


async def all_repositories(
    registry: Registry, request: ListRepositories, readable: Callable[[Repository], bool]
) -> AsyncGenerator[Sequence[Repository]]:
    """Iterate over all repositories that are `readable`, as `all_tags`; a step may be empty. Raises Unavailable."""
    async for names, _ in _names(registry, request.last, _STEP):
        yield [name for name in names if readable(name)]


async def _names(
    registry: Registry, after: str, count: int
) -> AsyncGenerator[tuple[Sequence[Repository], Repository | None]]:
    """Iterate over the catalog's repositories and those of layouts that it does not know, as one list.

    Each step comes with the name to go on after, None at the end.
    """
    last: Repository | None = None
    while True:
        # Foreign names first: one that is adopted between the two reads is in both rather than in neither.
        foreign = await registry.layouts.names(after, count)
        known = await registry.catalog.repositories(after, count)
        # Past the end of the shorter of two full pages nothing is known yet.
        ends = [page[-1] for page in (known, foreign) if len(page) == count]
        names = [name for name in dict.fromkeys(merge(known, foreign)) if not ends or name <= min(ends)]
        last = names[-1] if ends else None
        yield names, last
        if last is None:
            return
        after = last
        await _give_way(registry)


async def _steps(
    registry: Registry, read: Callable[[str, int], Awaitable[Sequence[Row]]], key: Callable[[Row], str], after: str
) -> AsyncGenerator[Sequence[Row]]:
    while True:
        step = await read(after, _STEP)
        yield step
        if len(step) < _STEP:
            return
        after = key(step[-1])
        await _give_way(registry)


async def _give_way(registry: Registry) -> None:
    """Let other requests have their turn: all lists under way take one step together, not one each."""
    async with registry.listing:
        await asyncio.sleep(0)


async def _collect(
    read: Callable[[str, int], Awaitable[Sequence[Row]]], key: Callable[[Row], str], after: str, count: int
) -> list[Row]:
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


def page_limit(registry: Registry, asked: int | None) -> int:
    """Return how many entries a page has at most. Numbers of clients are bounded before anything is allocated."""
    return registry.limits.page if asked is None else min(asked, registry.limits.page)
