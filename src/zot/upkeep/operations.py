"""Answers to what an operator asks, in the process that does the long work, or in a command while no server runs."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from zot.accounts.statistics import StatisticsUnavailable, all_of
from zot.catalog.interface import CatalogError
from zot.config.model import Config
from zot.config.storage import Retention
from zot.oci.globs import compile_glob
from zot.oci.names import Repository, Tag
from zot.storage.interface import StorageError
from zot.upkeep import contents, requests, undo, usage
from zot.upkeep.backup import Told
from zot.upkeep.build import COLLECTION, Parts
from zot.upkeep.findings import findings
from zot.upkeep.gc import Collector
from zot.upkeep.imports import Imports
from zot.upkeep.preview import Delays, Preview, preview
from zot.upkeep.requests import Ask, Collected, Failed, Noted, Said
from zot.upkeep.retention import Policies
from zot.upkeep.scheduler import STEP_PAUSE_S, Scheduler
from zot.upkeep.scrub import Scrubber
from zot.upkeep.steps import Pauses
from zot.upkeep.stores import StoreRules, Stores, names

BackUpTo = Callable[[str], AsyncIterator[Told]]
"""Copies everything into a directory, telling what it does."""

Answers = AsyncGenerator[Any, None]


class Operations:
    """Answers one request after the other; several at a time do no harm."""

    def __init__(
        self,
        config: Config,
        parts: Parts,
        scheduler: Scheduler | None,
        back_up: BackUpTo,
        imports: Imports,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """With a scheduler a server runs, and its tasks do what is asked for; without one this process is alone."""
        self._stores = Stores(config.storage)
        self._parts = parts
        self._registry = parts.registry
        self._catalog = parts.registry.catalog
        self._scheduler = scheduler
        self._back_up = back_up
        self._imports = imports
        self._wall = wall
        self._scrubbing = asyncio.Lock()

    async def answer(self, ask: Ask[Any]) -> Answers:
        """Yield the rows that answer, and now and then how far it is (`Said`). Raises Failed."""
        if ask.changes and self._registry.read_only:
            raise Failed("the registry is read-only")
        answers: dict[type[Ask[Any]], Callable[[Any], Answers]] = {
            requests.Jobs: self._jobs,
            requests.Collect: self._collect,
            requests.Explain: self._explain,
            requests.Scrub: self._scrub,
            requests.History: self._history,
            requests.AsOf: self._as_of,
            requests.Restore: self._restore,
            requests.Usage: self._usage,
            requests.UsageOfTags: self._usage_of_tags,
            requests.BackUp: self._backed_up,
            requests.Findings: self._findings,
        }
        try:
            async with aclosing(answers[type(ask)](ask)) as rows:
                async for row in rows:
                    yield row
        except (CatalogError, StorageError, StatisticsUnavailable, undo.CannotRestore, OSError) as error:
            raise Failed(str(error)) from error

    # --- background work ---

    async def _jobs(self, _: requests.Jobs) -> Answers:
        if self._scheduler is None:
            raise Failed("no server runs: nothing is done in the background")
        for state in self._scheduler.states():
            yield state

    async def _collect(self, ask: requests.Collect) -> Answers:
        if ask.delay_s is not None and self._scheduler is not None:
            raise Failed("the server's clients rely on the delay that it has: stop it to use another")
        for store in self._stores.all:
            if not store.collects:
                continue
            if self._scheduler is not None:
                run = await self._scheduler.run_now(f"{COLLECTION} {store.route}")
                yield Collected(store.route, run.said, run.failed)
                continue
            said: list[str] = []
            async for _ in self._steps(self._sweep(store, ask.delay_s, said)):
                yield Said(said[-1])
            yield Collected(store.route, said[-1] if said else "nothing to do", failed=False)

    async def _sweep(self, store: StoreRules, delay_s: float | None, said: list[str]) -> Pauses:
        if delay_s is not None:
            store = dataclasses.replace(store, delay_s=delay_s, retention=store.retention.with_delay(delay_s))
        collector = Collector(
            self._registry,
            self._stores,
            self._parts.layouts,
            self._parts.statistics,
            self._parts.journal.clock,
            self._parts.observer,
        )
        said.append("begun")
        async for pause_s in collector.sweep(store, said.append):
            yield pause_s
        await self._parts.journal.save()

    async def _scrub(self, _: requests.Scrub) -> Answers:
        if self._scrubbing.locked():
            raise Failed("somebody else has it verified already")
        async with self._scrubbing:
            alone = self._scheduler is None
            rate = {"rate_bytes_s": float("inf")} if alone else {}
            scrubber = Scrubber(self._registry, self._parts.layouts, self._parts.hash_pool, **rate)
            said: list[str] = []
            found: list[Any] = []
            async for _step in self._steps(scrubber.verify(said.append, found.append)):
                for row in found:
                    yield row
                found.clear()
                if said:
                    yield Said(said[-1])
            for row in found:
                yield row
        async for row in self._not_imported("verified"):
            yield row

    async def _steps(self, steps: Pauses) -> AsyncGenerator[None, None]:
        """Make steps, with the pauses that they ask for and those that a server's clients need."""
        at_least_s = STEP_PAUSE_S if self._scheduler is not None else 0.0
        async with aclosing(steps):
            async for pause_s in steps:
                yield
                await asyncio.sleep(max(pause_s, at_least_s))

    # --- what goes, and why ---

    async def _explain(self, ask: requests.Explain) -> Answers:
        retentions = self._retentions(ask)
        if self._scheduler is not None and self._parts.statistics is not None:
            await self._parts.statistics.settled()
        if ask.repository is not None:
            await self._require(ask.repository)
            if self._stores.of(ask.repository).route not in retentions:
                raise Failed(f"nothing of {ask.repository} goes: garbage collection is off in its store")
            yield await self._preview(ask.repository, retentions, ask.of)
            return
        of = sum([1 async for _ in names(self._catalog)])
        number = 0
        async for repository in names(self._catalog):
            number += 1
            if self._stores.of(repository).route in retentions:
                yield Said(f"{number} of {of} repositories: {repository}")
                yield await self._preview(repository, retentions)

    def _retentions(self, ask: requests.Explain) -> dict[str, Policies]:
        """Return the retention of each store that collects. Raises Failed."""
        if ask.retention is None:
            return {store.route: store.retention for store in self._stores.all if store.collects}
        try:
            return {route: Policies(Retention.model_validate(each)) for route, each in ask.retention.items()}
        except ValueError as error:
            raise Failed(f"retention: {error}") from error

    async def _preview(
        self, repository: Repository, retentions: dict[str, Policies], tag: Tag | None = None
    ) -> Preview:
        store = self._stores.of(repository)
        retention = retentions[store.route]
        policy = retention.of(repository)
        statistics = self._parts.statistics
        known = await all_of(statistics, repository) if statistics is not None and policy.asks_for_times else {}
        found = await contents.read(self._catalog, repository)
        if tag is not None and tag not in found.tags:
            raise Failed(f"there is no tag {tag} in {repository}")
        delays = Delays(retention.delay_s, store.delay_s)
        whole = await preview(self._catalog, repository, found, policy, known, delays, self._wall())
        return whole if tag is None else whole.of(tag, found.needed_by(tag))

    # --- tags ---

    async def _history(self, ask: requests.History) -> Answers:
        await self._require_logged(ask.repository, ask.tag)
        count = 0
        async for change in undo.history(self._catalog, ask.repository, ask.tag):
            yield change
            count += 1
            if count >= ask.limit:
                return

    async def _as_of(self, ask: requests.AsOf) -> Answers:
        await self._require_logged(ask.repository, ask.tag)
        for row in await undo.as_of(self._catalog, ask.repository, ask.tag, ask.at_ns):
            yield row

    async def _restore(self, ask: requests.Restore) -> Answers:
        yield await undo.restore(self._catalog, ask.repository, ask.tag, ask.digest, ask.by)

    async def _require(self, repository: Repository) -> None:
        """Raise Failed if there is no such repository."""
        if await self._catalog.repository(repository) is not None:
            return
        if repository in await self._imports.pending():
            raise Failed(f"{repository} is not imported yet: a running server imports it")
        raise Failed(f"there is no repository {repository}")

    async def _require_logged(self, repository: Repository, tag: Tag | None) -> None:
        """Raise Failed if there is no such repository, or if it never had that tag."""
        await self._require(repository)
        if tag is None or await self._catalog.tag_log(repository, tag, None, 1):
            return
        if await self._catalog.resolve(repository, tag) is None:
            raise Failed(f"{repository} has no tag {tag}, and never had one")

    # --- bytes ---

    async def _usage(self, ask: requests.Usage) -> Answers:
        try:
            glob = compile_glob(ask.pattern)
        except ValueError as error:
            raise Failed(str(error)) from error
        async for row in usage.repositories(self._catalog, glob):
            yield row
        async for row in self._not_imported("counted"):
            yield row

    async def _not_imported(self, done: str) -> Answers:
        """Yield a note if there are layouts that the catalog does not have."""
        pending = await self._imports.pending()
        if pending:
            yield Noted(
                f"{len(pending)} repositories are not imported yet, or cannot be, and are not {done}; the first is "
                f"{pending[0]}: a running server imports them, and its log names those that it cannot read"
            )

    async def _usage_of_tags(self, ask: requests.UsageOfTags) -> Answers:
        await self._require(ask.repository)
        for row in await usage.tags(self._catalog, ask.repository):
            yield row

    async def _findings(self, _: requests.Findings) -> Answers:
        async for found in findings(self._registry):
            yield found

    async def _backed_up(self, ask: requests.BackUp) -> Answers:
        async for line in self._back_up(ask.directory):
            yield line
