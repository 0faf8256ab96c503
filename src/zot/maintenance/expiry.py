"""Delete tags by the retention policy, then manifests that no tag, index or subject keeps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from zot.catalog import paging
from zot.catalog.command import ChangeSource
from zot.catalog.interface import Catalog, CatalogError
from zot.catalog.manifest_commands import Deleted, DeleteTag, RemoveManifest
from zot.catalog.rows import DanglingManifest, TagRow
from zot.maintenance import retention_input, retention_log
from zot.maintenance.marks import Marks
from zot.maintenance.observer import Observer
from zot.maintenance.retention import RepositoryRetention, attached_to
from zot.maintenance.stores import StoreRules
from zot.maintenance.sweep_stats import Pauses, SweepStats, batches
from zot.oci.names import Repository
from zot.statistics.interface import StatisticsStore, StatisticsUnavailableError, all_of

BY = "garbage collection"
"""The author of deletions by collection and retention, in the tag log."""


class Expiry:
    """Deletes tags and manifests, one repository at a time. In a dry run it only logs the decisions."""

    def __init__(
        self,
        catalog: Catalog,
        marks: Marks,
        statistics: StatisticsStore | None,
        observer: Observer,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Without statistics, rules about times keep everything."""
        self._catalog = catalog
        self._marks = marks
        self._statistics = statistics
        self._observer = observer
        self._wall = wall

    async def tags(self, repository: Repository, store: StoreRules, swept: SweepStats) -> Pauses:
        """Delete the tags that the policy does not keep, unless they moved since the decision."""
        policy, dry_run = store.retention.of(repository), store.retention.dry_run
        if not policy.keep_tags:
            return
        known = await self._known(repository)
        decisions = policy.tags(await retention_input.tagged(self._catalog, repository, known), self._wall())
        yield 0
        for decision in decisions:
            retention_log.decided(repository, decision, dry_run=dry_run)
        going = [] if dry_run else [each.candidate for each in decisions if not each.keep]
        for some in batches(going):
            commands = [
                DeleteTag(
                    repository=repository, tag=each.tag, if_digest=each.digest, by=BY, source=ChangeSource.RETENTION
                )
                for each in some
                if each.tag is not None
            ]
            outcomes = await asyncio.gather(*map(self._catalog.do, commands))
            swept.tags += sum(isinstance(outcome, Deleted) for outcome in outcomes)
            yield 0

    async def attached_tags(self, repository: Repository, store: StoreRules, swept: SweepStats) -> Pauses:
        """Delete cosign's tags whose image is missing; their manifests have no subject that names it."""
        if not store.retention.of(repository).delete_referrers:
            return
        async for row in paging.tags(self._catalog, repository, after="sha256-"):
            if not row.name.startswith("sha256-"):
                return
            if await self._is_left_over(repository, row, store.delay_s):
                retention_log.removed_attached(repository, row, dry_run=store.retention.dry_run)
                if not store.retention.dry_run:
                    source = ChangeSource.COLLECTION
                    delete = DeleteTag(repository=repository, tag=row.name, if_digest=row.digest, by=BY, source=source)
                    swept.tags += isinstance(await self._catalog.do(delete), Deleted)
                yield 0

    async def _is_left_over(self, repository: Repository, row: TagRow, delay_s: float) -> bool:
        image = attached_to(row.name)
        if image is None or self._wall() - row.moved_ns / 10**9 < delay_s:
            return False
        return await self._catalog.resolve(repository, image) is None

    async def manifests(self, repository: Repository, store: StoreRules, swept: SweepStats) -> Pauses:
        """Delete manifests that nothing keeps. The next round finds those that only they kept."""
        policy, dry_run = store.retention.of(repository), store.retention.dry_run
        removed = -1
        while removed:
            dangling = await retention_input.dangling(self._catalog, repository)
            going = await self._not_kept(repository, policy, dangling, dry_run=dry_run)
            if dry_run:
                for each in going:
                    retention_log.removed_manifest(repository, each, dry_run=True)
                return
            if any(each.marked_s is None for each in dangling):
                async for pause_s in self._marks.mark(repository):
                    yield pause_s
                dangling = await retention_input.dangling(self._catalog, repository)
            chosen = {each.digest for each in going}
            until_s = self._marks.until_s(store.retention.delay_s, dangling)
            waiting = [each for each in dangling if each.digest in chosen]
            removed = 0
            for some in batches([each for each in waiting if each.marked_s is not None and each.marked_s <= until_s]):
                removed += await self._remove(repository, some, until_s)
                yield 0
            swept.manifests += removed
        swept.waiting += len(waiting)

    async def _not_kept(
        self,
        repository: Repository,
        policy: RepositoryRetention,
        dangling: Sequence[DanglingManifest],
        *,
        dry_run: bool,
    ) -> list[DanglingManifest]:
        """Return the dangling manifests that the policy does not keep."""
        known = await self._known(repository) if policy.keep_untagged and dangling else {}
        decisions = policy.untagged(retention_input.untagged(dangling, known), self._wall())
        if policy.keep_untagged:
            for decision in decisions:
                retention_log.decided(repository, decision, dry_run=dry_run)
        untagged = {each.candidate.digest for each in decisions if not each.keep}
        return [each for each in dangling if each.digest in untagged or (each.subject and policy.delete_referrers)]

    async def _remove(self, repository: Repository, manifests: Sequence[DanglingManifest], until_s: float) -> int:
        commands = [
            RemoveManifest(
                repository=repository,
                digest=each.digest,
                if_tags=(),
                marked_before_s=until_s,
                by=BY,
                source=ChangeSource.COLLECTION,
            )
            for each in manifests
        ]
        outcomes = await asyncio.gather(*map(self._catalog.do, commands))
        removed = [each for each, outcome in zip(manifests, outcomes, strict=True) if isinstance(outcome, Deleted)]
        for each in removed:
            retention_log.removed_manifest(repository, each, dry_run=False)
            if self._statistics is not None:
                await self._statistics.forget(repository, each.digest)
        self._observer.removed("manifest", len(removed))
        return len(removed)

    async def _known(self, repository: Repository) -> retention_input.Known:
        if self._statistics is None:
            return {}
        try:
            return await all_of(self._statistics, repository)
        except StatisticsUnavailableError as error:
            raise CatalogError(str(error)) from error
