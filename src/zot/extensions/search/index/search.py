"""Answers queries from the index (`Search`): in threads of its own, with live counts of pulls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from msgspec.structs import replace

from zot.catalog.change_log import ChangeCursor
from zot.catalog.interface import Catalog, CatalogError
from zot.extensions.search.index import images, repositories, usage
from zot.extensions.search.index.database import Filling, IndexState
from zot.extensions.search.index.snapshot import Snapshot, SnapshotReader
from zot.extensions.search.interface import (
    DayOfGrowth,
    Facets,
    ImagePage,
    ImageQuery,
    ImageSort,
    ImageSummary,
    ImageUsage,
    IndexStatus,
    ManifestSummary,
    PageBounds,
    Referrer,
    RepositoryPage,
    RepositoryQuery,
    RepositorySummary,
    RepositoryUsage,
    SearchUnavailableError,
    Suggestion,
    Visible,
)
from zot.foundation.threads import ThreadPool, ThreadPoolBusyError
from zot.oci.digest import Digest
from zot.oci.names import Reference, Repository, Tag
from zot.statistics.interface import Statistic, StatisticsByManifest, StatisticsStore, StatisticsUnavailableError

_THREADS = 2
_QUEUE_LIMIT = 64
_FRESH_S = 1.0
_IMPORTED_S = 0.2
"""How long it waits for the end of an import: a start that has nothing to import is there within moments."""
_POLL_S = 0.01
_BREATH = 64
"""Images whose counts are read at once, before other tasks run."""

P = ParamSpec("P")
R = TypeVar("R")


class IndexSearch:
    """`Search` on the index of a file, which another process may write. Threads end with this object."""

    def __init__(self, path: Path, catalog: Catalog, statistics: StatisticsStore | None = None) -> None:
        self._reader = SnapshotReader(path)
        self._catalog = catalog
        self._statistics = statistics
        self._threads = ThreadPool("search", _THREADS, _QUEUE_LIMIT)
        self._names: tuple[int, frozenset[Repository]] = (-1, frozenset())

    # --- how far the index is ---

    async def caught_up(self) -> bool:
        """See `Search`."""
        deadline_s = time.monotonic() + _FRESH_S
        importing_s = time.monotonic() + _IMPORTED_S
        wanted: ChangeCursor | None = None
        while True:
            try:
                wanted = wanted or (await self._catalog.changes(None, 1)).cursor
            except CatalogError as error:
                raise SearchUnavailableError(f"the catalog cannot be read: {error}") from error
            late = time.monotonic() > deadline_s
            try:
                state = await self._run(lambda snapshot: snapshot.state)
            except SearchUnavailableError:  # after a first start it is made within moments
                if late:
                    raise
            else:
                if state.is_complete and state.sequence >= wanted.sequence:
                    return True
                waited = late if state.sequence < wanted.sequence else time.monotonic() > importing_s
                if state.filling is not Filling.DONE or waited:
                    return False
            await self._in_thread(self._reader.demand)
            await asyncio.sleep(_POLL_S)

    async def status(self) -> IndexStatus:
        """See `Search`."""
        state, found, count = await self._run(_counts)
        try:
            newest = (await self._catalog.changes(None, 1)).cursor
        except CatalogError as error:
            raise SearchUnavailableError(f"the catalog cannot be read: {error}") from error
        is_filled = state.filling is Filling.DONE
        return IndexStatus(
            complete=state.is_complete,
            importing=bool(state.importing),
            done=found if is_filled else state.done,
            total=found if is_filled else state.total,
            behind=max(0, newest.sequence - state.sequence),
            repositories=found,
            images=count,
        )

    async def names(self) -> frozenset[Repository]:
        """See `Search`."""
        known = self._names[0]
        found = await self._run(_names, known)
        if found is not None:
            self._names = found
        return self._names[1]

    # --- repositories ---

    async def repositories(self, visible: Visible, query: RepositoryQuery) -> RepositoryPage:
        """See `Search`."""
        page = await self._run(repositories.repositories, visible, query)
        return replace(page, rows=tuple(await self._completed(page.rows)))

    async def repository(self, visible: Visible, repository: Repository) -> RepositorySummary | None:
        """See `Search`."""
        found = await self._run(repositories.repository, visible, repository)
        return None if found is None else (await self._completed([found]))[0]

    async def facets(self, visible: Visible, query: RepositoryQuery) -> Facets:
        """See `Search`."""
        return await self._run(repositories.facets, visible, query)

    async def suggestions(self, visible: Visible, text: str, limit: int = 10) -> tuple[Suggestion, ...]:
        """See `Search`."""
        return await self._run(repositories.suggestions, visible, text, limit)

    # --- images ---

    async def images(self, visible: Visible, query: ImageQuery) -> ImagePage:
        """See `Search`."""
        return await self._counted_page(await self._run(images.images, visible, query))

    async def untagged(self, visible: Visible, repository: Repository, page: PageBounds) -> ImagePage:
        """See `Search`."""
        return await self._counted_page(await self._run(images.untagged, visible, repository, page))

    async def image(self, visible: Visible, repository: Repository, reference: Reference) -> ImageSummary | None:
        """See `Search`."""
        found = await self._run(images.image, visible, repository, reference)
        return None if found is None else (await self._counted([found]))[0]

    async def base_images(
        self,
        visible: Visible,
        image: ImageSummary,
        *,
        manifest: Digest | None = None,
        sort: ImageSort = ImageSort.UPDATED,
        page: PageBounds = PageBounds(),  # noqa: B008 (it is frozen)
    ) -> ImagePage:
        """See `Search`."""
        found = self._run(images.related_images, visible, image, manifest, sort, page, derived=False)
        return await self._counted_page(await found)

    async def derived_images(
        self,
        visible: Visible,
        image: ImageSummary,
        *,
        manifest: Digest | None = None,
        sort: ImageSort = ImageSort.UPDATED,
        page: PageBounds = PageBounds(),  # noqa: B008 (it is frozen)
    ) -> ImagePage:
        """See `Search`."""
        found = self._run(images.related_images, visible, image, manifest, sort, page, derived=True)
        return await self._counted_page(await found)

    async def referrers(
        self, visible: Visible, repository: Repository, subjects: Sequence[Digest], artifact_types: Sequence[str] = ()
    ) -> dict[Digest, tuple[Referrer, ...]]:
        """See `Search`."""
        return await self._run(images.referrers, visible, repository, subjects, artifact_types)

    # --- usage ---

    async def repository_usage(self, visible: Visible, repository: Repository) -> RepositoryUsage | None:
        """See `Search`."""
        return await self._run(usage.repository_usage, visible, repository)

    async def growth(self, visible: Visible, repository: Repository) -> tuple[DayOfGrowth, ...]:
        """See `Search`."""
        return await self._run(usage.growth, visible, repository)

    async def image_usage(self, visible: Visible, repository: Repository, tags: Sequence[Tag]) -> dict[Tag, ImageUsage]:
        """See `Search`."""
        return await self._run(usage.image_usage, visible, repository, tags)

    async def freed_bytes(
        self, visible: Visible, repository: Repository, tags: Sequence[Tag], manifests: Sequence[Digest] = ()
    ) -> int:
        """See `Search`."""
        return await self._run(usage.freed_bytes, visible, repository, tags, manifests)

    # --- threads, and what is read live ---

    async def _run(self, query: Callable[Concatenate[Snapshot, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        def read() -> R:
            with self._reader.snapshot() as snapshot:
                return query(snapshot, *args, **kwargs)

        return await self._in_thread(read)

    async def _in_thread(self, read: Callable[[], R]) -> R:
        try:
            return await self._threads.run(read)
        except ThreadPoolBusyError as error:
            raise SearchUnavailableError(str(error)) from error

    async def _completed(self, repositories: Sequence[RepositorySummary]) -> list[RepositorySummary]:
        """Return summaries with the repositories' sizes, and the counts of their newest images."""
        try:
            known = [await self._catalog.repository(each.name) for each in repositories]
        except CatalogError as error:
            raise SearchUnavailableError(f"the catalog cannot be read: {error}") from error
        newest = iter(await self._counted([each.newest for each in repositories if each.newest is not None]))
        return [
            replace(each, size=row.bytes if row else 0, newest=next(newest) if each.newest else None)
            for each, row in zip(repositories, known, strict=True)
        ]

    async def _counted_page(self, page: ImagePage) -> ImagePage:
        return replace(page, rows=tuple(await self._counted(page.rows)))

    async def _counted(self, images: Sequence[ImageSummary]) -> list[ImageSummary]:
        """Return images with how often they and their manifests were pulled; without statistics as they are."""
        rows: list[ImageSummary] = []
        for start in range(0, len(images), _BREATH):
            some = images[start : start + _BREATH]
            statistics = await self._statistics_of(some)
            rows += [_counted(each, statistics) for each in some] if statistics else some
            await asyncio.sleep(0)
        return rows

    async def _statistics_of(self, images: Sequence[ImageSummary]) -> StatisticsByManifest:
        if self._statistics is None:
            return {}
        wanted = {(image.repository, image.digest) for image in images}
        wanted.update((image.repository, each.digest) for image in images for each in image.manifests)
        try:
            return await self._statistics.of_each(wanted)
        except StatisticsUnavailableError:  # counts are not worth an error
            return {}


T = TypeVar("T", ImageSummary, ManifestSummary)


def _counted(image: ImageSummary, statistics: StatisticsByManifest) -> ImageSummary:
    manifests = tuple(_with_pulls(each, statistics.get((image.repository, each.digest))) for each in image.manifests)
    of_image = statistics.get((image.repository, image.digest))
    return replace(_with_pulls(image, of_image), manifests=manifests)


def _with_pulls(summary: T, statistic: Statistic | None) -> T:
    if statistic is None:
        return summary
    return replace(summary, pulls=statistic.pulls, pulled_s=statistic.pulled_s)


def _counts(snapshot: Snapshot) -> tuple[IndexState, int, int]:
    ((found, count),) = snapshot.rows("SELECT count(*), coalesce(sum(images), 0) FROM repository WHERE images > 0")
    return snapshot.state, found, count


def _names(snapshot: Snapshot, known: int) -> tuple[int, frozenset[Repository]] | None:
    """Return the names of all repositories, with their version; None if it is the known one."""
    if snapshot.state.names == known:
        return None
    rows = snapshot.rows("SELECT name FROM repository")
    return snapshot.state.names, frozenset(name for (name,) in rows)
