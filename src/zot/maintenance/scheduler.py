"""When background work is done: tasks by interval, in small steps, no task twice at a time."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from zot.catalog.interface import CatalogError
from zot.logs.fields import fields
from zot.logs.handler import TRACE
from zot.maintenance.job_state import JobRun, JobStates
from zot.maintenance.observer import NoObserver, Observer
from zot.maintenance.priority_slots import Priority, PrioritySlots
from zot.maintenance.sweep_stats import Pauses
from zot.storage.interface import StorageError

_log = logging.getLogger("zot.scheduler")

STEP_PAUSE_S = 0.005
"""What a step leaves between it and the next at least: requests and their commits come first."""

# Of its own: `random.random` is everybody's state.
_spread = random.Random().random  # noqa: S311 (when a task starts is no secret)

_SAVE_S = 60.0
_WINDOW_POLL_S = 10.0
_SELDOM_S = 600.0
# A first run comes some time after the start, so that not everything begins at once.
_SPREAD_S = 30.0
_SPREAD_SHARE = 0.1

Say = Callable[[str], None]
"""Tells how far a run is, in a few words; the last of them stay as what came of it."""


@dataclass(frozen=True, slots=True)
class Task:
    """Something to be done again and again. One run at a time, whatever the interval."""

    name: str
    """The kind of task, by which runs are counted."""
    run: Callable[[Say], Pauses]
    interval_s: float
    """From the start of one run to the start of the next; 0: once after each start of the server."""
    priority: Priority = Priority.MEDIUM
    about: str = ""
    """What tells it from others of its kind: the root of a store."""
    may_start: Callable[[], bool] = lambda: True

    @property
    def key(self) -> str:
        """What it is known by."""
        return f"{self.name} {self.about}".rstrip()


class TaskState(msgspec.Struct, frozen=True):
    """How a task stands. Times are seconds since the epoch."""

    task: str
    priority: str
    interval_s: float
    state: str
    """`running`, `waiting`, `ready` (due, but it may not start now) or `done`."""
    last: JobRun | None
    next_s: float | None


class Scheduler:
    """Runs tasks until it is cancelled. A run that fails is logged, and tried again at its next time."""

    def __init__(
        self,
        tasks: Sequence[Task],
        journal: JobStates,
        *,
        workers: int,
        observer: Observer | None = None,
        spread: Callable[[], float] | None = None,
    ) -> None:
        """Make at most `workers` steps at once. The journal is loaded already.

        `spread` gives numbers from 0 to 1, which first runs are spread by: random ones unless it is given.
        """
        self._journal = journal
        self._observer = observer or NoObserver()
        self._turns = PrioritySlots(workers)
        self._spread = spread or _spread
        self._keepers: dict[str, _TaskRunner] = {}
        self._group: asyncio.TaskGroup | None = None
        self.replace(tasks)

    async def run(self) -> None:
        """Do what is due, until cancelled; what is under way then is broken off between two steps, or in one."""
        try:
            async with asyncio.TaskGroup() as self._group:
                for keeper in self._keepers.values():
                    keeper.start(self._group)
                while True:
                    await asyncio.sleep(_SAVE_S)
                    await self._save()
        finally:
            self._group = None
            await self._save()

    def replace(self, tasks: Sequence[Task]) -> None:
        """Have other tasks from now on. A run under way ends as it began, unless its task is no more."""
        wanted = {task.key: task for task in tasks}
        assert len(wanted) == len(tasks), "two tasks have the same name"
        for key in [key for key in self._keepers if key not in wanted]:
            self._keepers.pop(key).stop()
        for key, task in wanted.items():
            if key in self._keepers:
                self._keepers[key].replace(task)
                continue
            self._observer.generator_added()
            self._keepers[key] = _TaskRunner(
                task, self._journal, self._turns, self._observer, self._spread, self._count
            )
            if self._group is not None:
                self._keepers[key].start(self._group)

    async def run_now(self, key: str) -> JobRun:
        """Have a task run at once, or wait for the run under way; return what came of it. Raises KeyError."""
        return await self._keepers[key].run_now()

    def states(self) -> list[TaskState]:
        """Return how the tasks stand, by name."""
        return [keeper.state() for _, keeper in sorted(self._keepers.items())]

    def _count(self) -> None:
        keepers = self._keepers.values()
        shown = {"running": "ready", "ready": "ready", "waiting": "waiting", "done": "done"}
        counts = Counter((each.task.priority.name.lower(), shown[each.word]) for each in keepers)
        every = {(each.name.lower(), state): 0 for each in Priority for state in ("ready", "waiting", "done")}
        self._observer.generators(every | counts)
        self._observer.workers(self._turns.places, self._turns.working)
        self._observer.queued(self._turns.waiting)

    async def _save(self) -> None:
        try:
            await self._journal.save()
        except StorageError as error:
            _log.warning("the state of background work is not written down: %s", error)


class _TaskRunner:
    """Keeps one task going."""

    def __init__(
        self,
        task: Task,
        journal: JobStates,
        turns: PrioritySlots,
        observer: Observer,
        spread: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        self.task = task
        self.word = "waiting"
        self._journal = journal
        self._turns = turns
        self._observer = observer
        self._spread = spread
        self._changed = changed
        self._loop_task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._asked: list[asyncio.Future[JobRun]] = []
        self._next_s: float | None = None

    def start(self, group: asyncio.TaskGroup) -> None:
        self._loop_task = group.create_task(self._keep(), name=f"task {self.task.key}")

    def stop(self) -> None:
        if self._loop_task is not None:
            self._loop_task.cancel()
        for each in self._asked:
            each.cancel()

    def replace(self, task: Task) -> None:
        if task.interval_s != self.task.interval_s:
            self._next_s = None
        self.task = task
        self._wake.set()

    async def run_now(self) -> JobRun:
        asked: asyncio.Future[JobRun] = asyncio.get_running_loop().create_future()
        self._asked.append(asked)
        self._wake.set()
        return await asked

    def state(self) -> TaskState:
        task = self.task
        run = self._journal.runs.get(task.key)
        next_s = self._next_s if self.word == "waiting" else None
        return TaskState(task.key, task.priority.name.lower(), task.interval_s, self.word, run, next_s)

    async def _keep(self) -> None:
        ran = False
        while True:
            if ran and self.task.interval_s == 0 and not self._asked:
                self._show("done")
                await self._woken(None)
                continue
            wall_s = self._journal.wall()
            if self._next_s is None:
                self._next_s = wall_s + self._wait_s(wall_s)
            if self._next_s - wall_s > max(self.task.interval_s, _SPREAD_S):
                self._next_s = None  # the wall clock was set back
                continue
            if not self._asked and self._next_s > wall_s:
                self._show("waiting")
                await self._woken(self._next_s - wall_s)
                continue
            if not self._asked and not self.task.may_start():
                self._show("ready")
                await self._woken(_WINDOW_POLL_S)
                continue
            await self._run()
            ran, self._next_s = True, None

    def _show(self, word: str) -> None:
        self.word = word
        self._changed()

    async def _woken(self, seconds: float | None) -> None:
        """Wait so long, or until something is asked for."""
        self._wake.clear()
        try:
            # Not longer than a while: the wall clock may be set meanwhile.
            async with asyncio.timeout(min(seconds, _SAVE_S) if seconds is not None else None):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _wait_s(self, wall_s: float) -> float:
        """Return how long to wait for the next run: an interval from the last start, none if that was broken off."""
        interval_s = self.task.interval_s
        last = self._journal.runs.get(self.task.key)
        spread_s = self._spread() * min(_SPREAD_S, interval_s * _SPREAD_SHARE)
        if interval_s == 0 or last is None or last.ended_s is None:
            return spread_s
        # A start in the future is one of a clock that was wrong.
        passed_s = max(0.0, wall_s - last.started_s)
        return max(interval_s - passed_s, spread_s if passed_s >= interval_s else 0.0)

    async def _run(self) -> None:
        task, asked, begun_s = self.task, self._asked, time.monotonic()
        self._asked = []
        self._show("running")
        self._note(JobRun(self._journal.wall()))
        about = fields(module="scheduler", task=task.key, priority=task.priority.name.lower())
        # What is done every minute is not worth lines that are read, not even at zot's default, which is debug.
        level = logging.INFO if task.interval_s == 0 or task.interval_s >= _SELDOM_S else TRACE
        _log.log(level, "task started", extra=about)
        failed = False
        try:
            await self._make_steps(task)
        except (CatalogError, StorageError) as error:
            failed = True
            self._say(str(error))
            _log.error("task failed: %s", error, extra=about)
        except Exception as error:  # noqa: BLE001 - a fault of one task does not stop the others, and is logged
            failed = True
            self._say(repr(error))
            _log.exception("task failed", extra=about)
        finally:
            run = msgspec.structs.replace(self._journal.runs[task.key], ended_s=self._journal.wall(), failed=failed)
            for each in asked:
                if not each.done():
                    each.set_result(run)
        self._note(run)
        self._observer.task_ran(task.name, time.monotonic() - begun_s)
        _log.log(level, "task ended", extra=fields(module="scheduler", task=task.key, failed=failed, result=run.said))

    async def _make_steps(self, task: Task) -> None:
        count = 0
        async with aclosing(task.run(self._say)) as steps:
            while True:
                async with self._turns.turn(task.priority, count):
                    self._changed()
                    try:
                        pause_s = await anext(steps)
                    except StopAsyncIteration:
                        return
                count += 1
                await asyncio.sleep(max(pause_s, STEP_PAUSE_S))

    def _say(self, text: str) -> None:
        self._note(msgspec.structs.replace(self._journal.runs[self.task.key], said=text))

    def _note(self, run: JobRun) -> None:
        self._journal.runs[self.task.key] = run
