"""Carry out the requests of administration, in the jobs process, or in a command while no server runs."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from zot.admin import requests, tag_history
from zot.admin.backup import BackupOutput
from zot.admin.events import EventDeliveries, EventsError
from zot.admin.preview import CollectionPreview, Delays, PlannedDeletes, preview
from zot.admin.requests import AdminError, AdminRequest, CollectResult, Noted, OperationProgress
from zot.admin.space import DiskSpace, usage_report
from zot.admin.status import StatusReport
from zot.catalog import paging
from zot.catalog.interface import CatalogError
from zot.config.globs import compile_glob
from zot.config.model import Config
from zot.config.storage import RetentionConfig
from zot.maintenance import repository_graph, usage
from zot.maintenance.build import COLLECTION, MaintenanceParts
from zot.maintenance.findings import findings
from zot.maintenance.gc import Collector
from zot.maintenance.imports import Imports
from zot.maintenance.retention import RetentionRules
from zot.maintenance.scheduler import STEP_PAUSE_S, Scheduler
from zot.maintenance.scrub import Scrubber
from zot.maintenance.stores import MaintainedStores, StoreRules
from zot.maintenance.sweep_stats import Pauses
from zot.oci.names import Repository, Tag
from zot.statistics.interface import StatisticsUnavailableError, all_of
from zot.storage.interface import StorageError

BackUpTo = Callable[[str], AsyncIterator[BackupOutput]]
"""Backs up the store to a directory, and reports its progress."""

PAGE_MANIFESTS_LIMIT = 20_000
"""Of a repository with more manifests a page shows what retention decides on tags, and not what follows from that."""

Answers = AsyncGenerator[Any, None]


class Operations:
    """Answers requests, also several concurrently."""

    def __init__(
        self,
        config: Config,
        parts: MaintenanceParts,
        scheduler: Scheduler | None,
        back_up: BackUpTo,
        imports: Imports,
        space: DiskSpace,
        status: Callable[[], Awaitable[StatusReport]] | None = None,
        wall: Callable[[], float] = time.time,
        events: EventDeliveries | None = None,
    ) -> None:
        """With a scheduler, a server runs and its tasks do the work; without one, this process has the store alone.

        `status` tells how that server is; `events` is None if none are sent.
        """
        self._config = config
        self._stores = MaintainedStores(config.storage)
        self._parts = parts
        self._registry = parts.registry
        self._catalog = parts.registry.catalog
        self._scheduler = scheduler
        self._back_up = back_up
        self._imports = imports
        self._space = space
        self._status = status
        self._events = events
        self._wall = wall
        self._scrubbing = asyncio.Lock()

    async def answer(self, request: AdminRequest[Any]) -> Answers:
        """Yield the rows of the answer, with OperationProgress between them. Raises AdminError."""
        if request.changes and self._registry.read_only:
            raise AdminError("the registry is read-only")
        answers: dict[type[AdminRequest[Any]], Callable[[Any], Answers]] = {
            requests.AskStatus: self._server_status,
            requests.ListJobs: self._jobs,
            requests.StartJob: self._start_job,
            requests.CollectGarbage: self._collect,
            requests.PreviewCollection: self._preview_collection,
            requests.SummarizeCollection: self._summarize_collection,
            requests.PreviewPage: self._preview_page,
            requests.ScrubStores: self._scrub,
            requests.TagHistory: self._history,
            requests.TagsAsOf: self._as_of,
            requests.RestoreTags: self._restore,
            requests.StorageUsage: self._usage,
            requests.ReportUsage: self._usage_report,
            requests.TagsUsage: self._tags_usage,
            requests.CreateBackup: self._create_backup,
            requests.Findings: self._findings,
            requests.ListDeadLetters: self._dead_letters,
            requests.ReplayEvents: self._replay_events,
        }
        try:
            async with aclosing(answers[type(request)](request)) as rows:
                async for row in rows:
                    yield row
        except (
            CatalogError,
            StorageError,
            StatisticsUnavailableError,
            tag_history.RestoreRefusedError,
            EventsError,
            OSError,
        ) as error:
            raise AdminError(str(error)) from error

    # --- background work ---

    async def _server_status(self, _: requests.AskStatus) -> Answers:
        if self._status is None:
            raise AdminError("no server runs")
        yield await self._status()

    async def _jobs(self, _: requests.ListJobs) -> Answers:
        if self._scheduler is None:
            raise AdminError("no server runs, and so no background task")
        for state in self._scheduler.states():
            yield state

    async def _start_job(self, request: requests.StartJob) -> Answers:
        if self._scheduler is None:
            raise AdminError("no server runs, and so no background task")
        try:
            yield self._scheduler.start_now(request.task)
        except KeyError as error:
            raise AdminError(f"there is no task {request.task}") from error

    async def _collect(self, request: requests.CollectGarbage) -> Answers:
        if request.delay_s is not None and self._scheduler is not None:
            raise AdminError("the server's clients rely on the delay that it has: stop it to use another")
        for store in self._stores.all:
            if not store.collects:
                continue
            if self._scheduler is not None:
                run = await self._scheduler.run_now(f"{COLLECTION} {store.route}")
                yield CollectResult(store.route, run.progress, run.failed)
                continue
            reports: list[str] = []
            async for _ in self._steps(self._sweep(store, request.delay_s, reports)):
                yield OperationProgress(reports[-1])
            yield CollectResult(store.route, reports[-1] if reports else "nothing to do", failed=False)

    async def _sweep(self, store: StoreRules, delay_s: float | None, reports: list[str]) -> Pauses:
        if delay_s is not None:
            store = dataclasses.replace(store, delay_s=delay_s, retention=store.retention.with_delay(delay_s))
        collector = Collector(
            self._registry,
            self._stores,
            self._parts.layouts,
            self._parts.statistics,
            self._parts.job_states.clock,
            self._parts.observer,
        )
        reports.append("begun")
        async for pause_s in collector.sweep(store, reports.append):
            yield pause_s
        await self._parts.job_states.save()

    async def _scrub(self, _: requests.ScrubStores) -> Answers:
        if self._scrubbing.locked():
            raise AdminError("another scrub is running: wait until it has ended")
        async with self._scrubbing:
            alone = self._scheduler is None
            rate = {"rate_bytes_s": float("inf")} if alone else {}
            scrubber = Scrubber(self._registry, self._parts.layouts, self._parts.hash_pool, **rate)
            reports: list[str] = []
            found: list[Any] = []
            async for _step in self._steps(scrubber.verify(reports.append, found.append)):
                for row in found:
                    yield row
                found.clear()
                if reports:
                    yield OperationProgress(reports[-1])
            for row in found:
                yield row
        async for row in self._not_imported("verified"):
            yield row

    async def _steps(self, steps: Pauses) -> AsyncGenerator[None, None]:
        """Make steps with the pauses that they demand, at least those that leave a server to its clients."""
        at_least_s = STEP_PAUSE_S if self._scheduler is not None else 0.0
        async with aclosing(steps):
            async for pause_s in steps:
                yield
                await asyncio.sleep(max(pause_s, at_least_s))

    # --- preview of collection ---

    async def _preview_collection(self, request: requests.PreviewCollection) -> Answers:
        retentions = await self._settled_retentions(request.retention)
        if request.repository is not None:
            yield await self._preview_of(request.repository, retentions, request.of)
            return
        of = sum([1 async for _ in paging.repositories(self._catalog)])
        number = 0
        async for repository in paging.repositories(self._catalog):
            number += 1
            if self._stores.of(repository).route in retentions:
                yield OperationProgress(f"{number} of {of} repositories: {repository}")
                yield await self._preview(repository, retentions)

    async def _summarize_collection(self, request: requests.SummarizeCollection) -> Answers:
        retentions = await self._settled_retentions()
        async for repository in paging.repositories(self._catalog, request.after):
            if self._stores.of(repository).route in retentions:
                yield (await self._preview(repository, retentions)).summary

    async def _preview_page(self, request: requests.PreviewPage) -> Answers:
        retentions = self._retentions(None)  # a visitor does not wait for the pulls of the last second
        found = await self._preview_of(request.repository, retentions, manifests_limit=PAGE_MANIFESTS_LIMIT)
        rows = found.going[request.offset : request.offset + request.limit]
        tags = found.tags[request.tags_offset : request.tags_offset + request.limit]
        yield PlannedDeletes(found.summary, rows, tags, len(found.tags), found.tags_only)

    async def _settled_retentions(self, retention: dict[str, Any] | None = None) -> dict[str, RetentionRules]:
        """Return the retention by the route of each store that collects, once all pulls count. Raises AdminError."""
        retentions = self._retentions(retention)
        asked = any(each.asks_for_times for each in retentions.values())
        if asked and self._scheduler is not None and self._parts.statistics is not None:
            await self._parts.statistics.settled()
        return retentions

    async def _preview_of(
        self,
        repository: Repository,
        retentions: dict[str, RetentionRules],
        tag: Tag | None = None,
        *,
        manifests_limit: float = math.inf,
    ) -> CollectionPreview:
        """Return the preview of a repository that there has to be. Raises AdminError."""
        await self._require(repository)
        if self._stores.of(repository).route not in retentions:
            raise AdminError(f"nothing of {repository} is deleted: garbage collection is off in its store")
        return await self._preview(repository, retentions, tag, manifests_limit)

    def _retentions(self, retention: dict[str, Any] | None) -> dict[str, RetentionRules]:
        if retention is None:
            return {store.route: store.retention for store in self._stores.all if store.collects}
        try:
            return {route: RetentionRules(RetentionConfig.model_validate(each)) for route, each in retention.items()}
        except ValueError as error:
            raise AdminError(f"retention: {error}") from error

    async def _preview(
        self,
        repository: Repository,
        retentions: dict[str, RetentionRules],
        tag: Tag | None = None,
        manifests_limit: float = math.inf,
    ) -> CollectionPreview:
        store = self._stores.of(repository)
        retention = retentions[store.route]
        policy = retention.of(repository)
        statistics = self._parts.statistics
        known = await all_of(statistics, repository) if statistics is not None and policy.asks_for_times else {}
        found = await repository_graph.read(self._catalog, repository, manifests_limit)
        if tag is not None and tag not in found.tags:
            raise AdminError(f"there is no tag {tag} in {repository}")
        delays = Delays(retention.delay_s, store.delay_s)
        whole = await preview(self._catalog, repository, found, policy, known, delays, self._wall())
        return whole if tag is None else whole.of(tag, found.needed_by(tag))

    # --- tags ---

    async def _history(self, request: requests.TagHistory) -> Answers:
        await self._require_logged(request.repository, request.tag)
        count = 0
        async for change in paging.tag_log(self._catalog, request.repository, request.tag):
            yield change
            count += 1
            if count >= request.limit:
                return

    async def _as_of(self, request: requests.TagsAsOf) -> Answers:
        await self._require_logged(request.repository, request.tag)
        for row in await tag_history.as_of(self._catalog, request.repository, request.tag, request.at_ns):
            yield row

    async def _restore(self, request: requests.RestoreTags) -> Answers:
        yield await tag_history.restore(self._catalog, request.repository, request.tag, request.digest, request.by)

    async def _require(self, repository: Repository) -> None:
        """Raise AdminError if there is no such repository."""
        if await self._catalog.repository(repository) is not None:
            return
        if repository in await self._imports.pending():
            raise AdminError(f"{repository} is not imported yet: a running server imports it")
        raise AdminError(f"there is no repository {repository}")

    async def _require_logged(self, repository: Repository, tag: Tag | None) -> None:
        """Raise AdminError if there is no such repository, or if it never had that tag."""
        await self._require(repository)
        if tag is None or await self._catalog.tag_log(repository, tag, None, 1):
            return
        if await self._catalog.resolve(repository, tag) is None:
            raise AdminError(f"{repository} has no tag {tag}, and never had one")

    # --- events ---

    async def _dead_letters(self, request: requests.ListDeadLetters) -> Answers:
        for row in self._required_events().dead_letters(request.sink, 0, request.limit):
            yield row

    async def _replay_events(self, request: requests.ReplayEvents) -> Answers:
        events = self._required_events()
        if request.since is not None:
            rows = await events.replay_since(request.sink, request.since)
        else:
            rows = await events.replay_letters(request.sink, request.letter)
        for row in rows:
            yield row

    def _required_events(self) -> EventDeliveries:
        if self._events is None:
            raise AdminError("no events are sent: extensions.events is not enabled")
        return self._events

    # --- usage, findings, backup ---

    async def _usage(self, request: requests.StorageUsage) -> Answers:
        try:
            glob = compile_glob(request.pattern)
        except ValueError as error:
            raise AdminError(str(error)) from error
        async for row in usage.repositories(self._catalog, glob):
            yield row
        async for row in self._not_imported("counted"):
            yield row

    async def _usage_report(self, request: requests.ReportUsage) -> Answers:
        try:
            yield await usage_report(
                self._catalog,
                self._config.storage,
                self._space,
                request.pattern,
                request.sort,
                request.limit,
                request.offset,
            )
        except ValueError as error:
            raise AdminError(str(error)) from error

    async def _not_imported(self, done: str) -> Answers:
        """Yield a note if there are layouts that are not imported."""
        pending = await self._imports.pending()
        if pending:
            yield Noted(
                f"{len(pending)} repositories are not imported yet, or cannot be, and are not {done}; the first is "
                f"{pending[0]}: a running server imports them, and its log names those that it cannot read"
            )

    async def _tags_usage(self, request: requests.TagsUsage) -> Answers:
        await self._require(request.repository)
        for row in await usage.tags(self._catalog, request.repository):
            yield row

    async def _findings(self, _: requests.Findings) -> Answers:
        async for found in findings(self._registry):
            yield found

    async def _create_backup(self, request: requests.CreateBackup) -> Answers:
        async for line in self._back_up(request.directory):
            yield line
