"""Referrers: list the manifests that name a manifest as their subject."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from zot.catalog.rows import ReferrerRow
from zot.registry.fetch import fetch_referrers
from zot.registry.pages import Page, Read, iter_steps, page_limit, read_page
from zot.registry.registry import Registry
from zot.registry.request import ListReferrers


async def page(registry: Registry, request: ListReferrers) -> Page[ReferrerRow]:
    """Return a page of a manifest's referrers, in the order of digests; none if the repository does not exist."""
    if not await registry.is_known(request.repository):
        return Page([], None)
    await fetch_referrers(registry, request.repository, request.subject)
    return await read_page(_reader(registry, request), _digest, request.last, page_limit(registry, request.limit))


async def iter_all(registry: Registry, request: ListReferrers) -> AsyncGenerator[Sequence[ReferrerRow]]:
    """Iterate over all referrers of a manifest, some at a time; over none if the repository does not exist."""
    if await registry.is_known(request.repository):
        await fetch_referrers(registry, request.repository, request.subject)
        async for step in iter_steps(registry, _reader(registry, request), _digest, request.last):
            yield step


def _reader(registry: Registry, request: ListReferrers) -> Read[ReferrerRow]:
    async def read(after: str, count: int) -> Sequence[ReferrerRow]:
        return await registry.catalog.referrers(
            request.repository, request.subject, request.artifact_types, after, count
        )

    return read


def _digest(row: ReferrerRow) -> str:
    return row.digest
