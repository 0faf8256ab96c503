"""What stores and quotas hold together, added up from the counts of repositories."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from heapq import nsmallest
from typing import Any

import msgspec

from zot.admin.status import StoreUsage
from zot.catalog.interface import PAGE_LIMIT, Catalog
from zot.catalog.quotas import matches
from zot.catalog.rows import UsageRow
from zot.config.globs import compile_glob
from zot.config.storage import QuotaConfig, StorageConfig
from zot.config.store_table import StoreTable
from zot.maintenance import usage
from zot.oci.names import Repository

DiskSpace = Callable[[str], Awaitable[tuple[int, int] | None]]
"""Returns the free bytes and the size of a root's disk, None if it cannot be asked."""

SORTS = ("name", "size", "tags", "manifests")
"""The orders of repositories: by name, or the most first."""


class QuotaUsage(msgspec.Struct, frozen=True):
    """What the repositories of a quota hold."""

    patterns: tuple[str, ...]
    each: bool
    """Whether the limit is for each repository alone; then `used_bytes` is of the fullest one."""
    limit_bytes: int
    used_bytes: int
    repositories: int
    fullest: Repository | None
    """The repository that holds most."""


class UsageReport(msgspec.Struct, frozen=True):
    """A page of repositories, and what is used in all."""

    total: int
    """How many repositories match."""
    bytes: int
    """What these hold together; what several of them share counts for each."""
    rows: list[UsageRow]
    stores: list[StoreUsage]
    quotas: list[QuotaUsage]


class _QuotaSum:
    """Adds up what the repositories of a quota hold."""

    def __init__(self, quota: QuotaConfig) -> None:
        self._quota = quota
        self._patterns = tuple(quota.repositories)
        self._bytes = self._count = self._most = 0
        self._fullest: Repository | None = None

    def add(self, row: UsageRow) -> None:
        if not matches(self._patterns, row.repository):
            return
        self._bytes += row.bytes
        self._count += 1
        if self._fullest is None or row.bytes > self._most:
            self._most, self._fullest = row.bytes, row.repository

    def result(self) -> QuotaUsage:
        quota = self._quota
        used = self._most if quota.each else self._bytes
        return QuotaUsage(self._patterns, quota.each, quota.limit_bytes, used, self._count, self._fullest)


class _StoreSums:
    """Adds up what the repositories of each store hold."""

    def __init__(self, storage: StorageConfig) -> None:
        self._table = StoreTable(storage)
        self._bytes = {each.route: 0 for each in self._table}
        self._counts = dict(self._bytes)

    def add(self, row: UsageRow) -> None:
        route = self._table.of(row.repository).route
        self._bytes[route] += row.bytes
        self._counts[route] += 1

    async def result(self, space: DiskSpace) -> list[StoreUsage]:
        found = []
        for each in self._table:
            free_bytes, disk_bytes = await space(each.root) or (None, None)
            route = each.route
            found.append(StoreUsage(route, each.root, self._counts[route], self._bytes[route], free_bytes, disk_bytes))
        return found


async def stores_usage(catalog: Catalog, storage: StorageConfig, space: DiskSpace) -> list[StoreUsage]:
    """Return what each store holds. Its cost grows with the number of repositories. Raises CatalogError."""
    sums = _StoreSums(storage)
    async for row in usage.repositories(catalog, None):
        sums.add(row)
    return await sums.result(space)


async def usage_report(
    catalog: Catalog, storage: StorageConfig, space: DiskSpace, pattern: str, sort: str, limit: int, offset: int
) -> UsageReport:
    """Return a page of the repositories that match a glob, in one of `SORTS`, and the totals of stores and quotas.

    Its cost grows with the number of repositories. Raises CatalogError, ValueError for an invalid glob.
    """
    glob = compile_glob(pattern)
    stores, quotas = _StoreSums(storage), [_QuotaSum(each) for each in storage.quotas]
    order, first = _order(sort), offset + limit
    rows: list[UsageRow] = []
    total = held = 0
    async for row in usage.repositories(catalog, None):
        stores.add(row)
        for quota in quotas:
            quota.add(row)
        if not glob.matches(row.repository):
            continue
        total, held = total + 1, held + row.bytes
        rows.append(row)
        if len(rows) >= 2 * first + PAGE_LIMIT:  # now and then: one large sort would hold up the event loop
            rows = nsmallest(first, rows, key=order)
    page = nsmallest(first, rows, key=order)[offset:]
    return UsageReport(total, held, page, await stores.result(space), [each.result() for each in quotas])


def _order(sort: str) -> Callable[[UsageRow], tuple[Any, ...]]:
    match sort:
        case "size":
            return lambda row: (-row.bytes, row.repository)
        case "tags":
            return lambda row: (-row.tags, row.repository)
        case "manifests":
            return lambda row: (-row.manifests, row.repository)
        case _:
            return lambda row: (row.repository,)
