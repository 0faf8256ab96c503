"""A stage on which scenarios are recorded, and on which stores start after a crash."""

from __future__ import annotations

import logging
import shutil
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from crash.expected import Step
from crash.power import Tree
from crash.recording import Recorder, RecordingDisk, RecordingVfs
from crash.scenarios import RESTART, Scenario
from crash.store import Store, configuration
from crash.trace import Acknowledged, Began, Trace, begin_trace
from zot.registry.errors import RegistryError
from zot.storage.threads import ThreadPools


class Stage:
    """A directory in memory for one scenario after the other."""

    def __init__(self, directory: Path) -> None:
        """Play below `directory`."""
        self.root = directory / "root"
        self.config = configuration(self.root)
        self.pools = ThreadPools()

    def clear(self) -> None:
        """Start again with an empty root."""
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir()

    async def prepare(self, scenario: Scenario) -> None:
        """Carry out the preparation of a scenario."""
        self.clear()
        store = Store(self.config, self.pools)
        for step in scenario.before:
            await step.act(store)
        await store.close()

    async def play(self, scenario: Scenario, *, leaving_out: Collection[str] = (), die_at: int | None = None) -> Trace:
        """Record a scenario. With `die_at` the server is killed at that change, and started again."""
        await self.prepare(scenario)
        trace = begin_trace(self.root)
        for step in scenario.before:
            trace.events += [Began(step), Acknowledged(step)]
        if scenario.afterwards is not None:
            trace.events.append(Began(scenario.afterwards))
        waiting = list(scenario.steps)
        under_way: Step | None = None
        recorder = Recorder(trace, leaving_out=leaving_out, die_at=die_at)
        while waiting:
            try:
                async with self._opened(recorder) as store:
                    await store.finish_removals()
                    while waiting:
                        if waiting[0] is RESTART:
                            del waiting[0]
                            break
                        under_way = waiting.pop(0)
                        trace.add(Began(under_way))
                        await under_way.act(store)
                        trace.add(Acknowledged(under_way))
                        under_way = None
            except Exception:
                if not recorder.dead:
                    raise
                trace.killed_at = len(trace.events)
                recorder = Recorder(trace, leaving_out=leaving_out)
                if under_way is not None:
                    waiting.insert(0, under_way.again())
                    under_way = None
        return trace

    def materialise(self, tree: Tree) -> None:
        """Put a state of the disk in place."""
        self.clear()
        # A directory comes before what is in it.
        for path in sorted(tree):
            content = tree[path]
            if content is None:
                Path(self.root, path).mkdir()
            else:
                Path(self.root, path).write_bytes(content)

    async def recover(self, afterwards: Step | None) -> None:
        """Start a server on the current state, let its background work run, and stop it."""
        async with self._running() as store:
            await store.sync_layouts()
            if afterwards is not None:
                with suppress(RegistryError):
                    await afterwards.act(store)
            await store.tidy()

    async def repeat(self, steps: Sequence[Step]) -> None:
        """Repeat the unanswered requests."""
        async with self._running() as store:
            for step in steps:
                await step.again().act(store)
            await store.sync_layouts()
            await store.tidy()

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[Store]:
        store = Store(self.config, self.pools)
        try:
            yield store
        finally:
            await store.close()

    @asynccontextmanager
    async def _opened(self, recorder: Recorder) -> AsyncIterator[Store]:
        vfs = RecordingVfs(recorder)
        try:
            store = Store(self.config, self.pools, disk=RecordingDisk(recorder), vfs=vfs.name)
            try:
                yield store
            finally:
                await store.close()
        finally:
            vfs.unregister()


@contextmanager
def quietly() -> Iterator[None]:
    """Turn off logging: a crash causes many lines."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def tree_of(root: Path) -> Tree:
    """Return the files of a directory, none of which is open."""
    return {path: file.content for path, file in begin_trace(root).base.items() if path}
