"""Lists in pages: repositories, tags, referrers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
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
    limit = _limit(registry, request.limit)

    async def read(after: str, count: int) -> Sequence[Tag]:
        return [row.name for row in await registry.catalog.tags(request.repository, after, count)]

    found = await _collect(read, str, request.last, limit + 1)
    return TagPage(found[:limit], found[limit - 1] if 0 < limit < len(found) else None)


async def referrers(registry: Registry, request: ListReferrers) -> ReferrerPage:
    """Return a page of a manifest's referrers; none if the repository does not exist."""
    row = await registry.catalog.repository(request.repository)
    if row is None or not row.adopted:
        if row is None and not await registry.layouts.exists(request.repository):
            return ReferrerPage([], None)
        await registry.layouts.ensure_adopted(request.repository)
    limit = _limit(registry, request.limit)

    async def read(after: str, count: int) -> Sequence[ReferrerRow]:
        return await registry.catalog.referrers(
            request.repository, request.subject, request.artifact_types, after, count
        )

    found = await _collect(read, lambda each: each.digest, request.last, limit + 1)
    return ReferrerPage(found[:limit], found[limit - 1].digest if 0 < limit < len(found) else None)


async def repositories(
    registry: Registry, request: ListRepositories, readable: Callable[[Repository], bool]
) -> RepositoryPage:
    """Return a page of the repositories that are `readable`, those not adopted yet included. Raises Unavailable."""
    limit = _limit(registry, request.limit)
    found: list[Repository] = []
    after, seen, more = request.last, 0, True
    # No more than fits on the page; but not row by row where most of them may not be read.
    count = min(PAGE_LIMIT, max(_ROWS_AT_LEAST, limit + 1))
    while more and len(found) <= limit and seen < _SCAN_LIMIT:
        # Foreign names first: one that is adopted between the two reads is in both rather than in neither.
        foreign = await registry.layouts.names(after, count)
        known = await registry.catalog.repositories(after, count)
        # Past the end of the shorter of two full pages nothing is known yet.
        ends = [page[-1] for page in (known, foreign) if len(page) == count]
        names = [name for name in dict.fromkeys(merge(known, foreign)) if not ends or name <= min(ends)]
        found += [name for name in names if readable(name)]
        more = bool(ends)
        seen += len(names)
        after = names[-1] if names else after
    if len(found) > limit:
        return RepositoryPage(found[:limit], found[limit - 1] if limit else None)
    return RepositoryPage(found, after if more else None)


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
    return found


def _limit(registry: Registry, asked: int | None) -> int:
    """Clamp before anything is allocated: a client names numbers freely."""
    return registry.limits.page if asked is None else min(asked, registry.limits.page)
