"""Run background tasks by interval, in small steps, each task at most once at a time."""

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
"""The least pause between two steps of a task: requests and their commits have priority."""

# A separate generator: `random.random` has state that all modules share.
_spread = random.Random().random  # noqa: S311 (when a task starts is no secret)

_SAVE_S = 60.0
_WINDOW_POLL_S = 10.0
_SELDOM_S = 600.0
# First runs are spread over some time after the start.
_SPREAD_S = 30.0
_SPREAD_SHARE = 0.1

ReportProgress = Callable[[str], None]
"""Reports the progress of a run in a few words; the last report stays as the result."""


@dataclass(frozen=True, slots=True)
class Task:
    """A recurring task. One run at a time, whatever the interval."""

    name: str
    """The kind of task, by which metrics count runs."""
    run: Callable[[ReportProgress], Pauses]
    interval_s: float
    """Seconds between the starts of two runs; 0 means once after each start of the server."""
    priority: Priority = Priority.MEDIUM
    about: str = ""
    """Distinguishes it from others of its kind: the route of a store."""
    may_start: Callable[[], bool] = lambda: True

    @property
    def key(self) -> str:
        """The unique name of the task."""
        return f"{self.name} {self.about}".rstrip()


class TaskState(msgspec.Struct, frozen=True):
    """The state of a task. Times are seconds since the epoch."""

    task: str
    priority: str
    interval_s: float
    state: str
    """`running`, `waiting`, `ready` (due, but not allowed to start now) or `done`."""
    last: JobRun | None
    next_s: float | None


class Scheduler:
    """Runs tasks until it is cancelled. A failed run is logged and retried at its next time."""

    def __init__(
        self,
        tasks: Sequence[Task],
        job_states: JobStates,
        *,
        workers: int,
        observer: Observer | None = None,
        spread: Callable[[], float] | None = None,
    ) -> None:
        """Run at most `workers` steps at once. The job states are already loaded.

        `spread` returns numbers from 0 to 1 by which first runs are spread; random ones by default.
        """
        self._job_states = job_states
        self._observer = observer or NoObserver()
        self._slots = PrioritySlots(workers)
        self._spread = spread or _spread
        self._runners: dict[str, _TaskRunner] = {}
        self._group: asyncio.TaskGroup | None = None
        self.replace(tasks)

    async def run(self) -> None:
        """Run due tasks until it is cancelled, which interrupts running tasks between two steps or within one."""
        try:
            async with asyncio.TaskGroup() as self._group:
                for runner in self._runners.values():
                    runner.start(self._group)
                while True:
                    await asyncio.sleep(_SAVE_S)
                    await self._save()
        finally:
            self._group = None
            await self._save()

    def replace(self, tasks: Sequence[Task]) -> None:
        """Replace the tasks. A running task finishes as it began, unless the new tasks lack it."""
        wanted = {task.key: task for task in tasks}
        assert len(wanted) == len(tasks), "two tasks have the same name"
        for key in [key for key in self._runners if key not in wanted]:
            self._runners.pop(key).stop()
        for key, task in wanted.items():
            if key in self._runners:
                self._runners[key].replace(task)
                continue
            self._observer.generator_added()
            self._runners[key] = _TaskRunner(
                task, self._job_states, self._slots, self._observer, self._spread, self._count
            )
            if self._group is not None:
                self._runners[key].start(self._group)

    async def run_now(self, key: str) -> JobRun:
        """Run a task at once, after a run that is in progress, and return the run. Raises KeyError."""
        return await self._runners[key].run_now()

    def start_now(self, key: str) -> TaskState:
        """Start a task at once, or after a run that is in progress; return its state before that. Raises KeyError."""
        runner = self._runners[key]
        state = runner.state()
        runner.request_run()
        return state

    def states(self) -> list[TaskState]:
        """Return the states of the tasks, sorted by name."""
        return [runner.state() for _, runner in sorted(self._runners.items())]

    def _count(self) -> None:
        runners = self._runners.values()
        shown = {"running": "ready", "ready": "ready", "waiting": "waiting", "done": "done"}
        counts = Counter((each.task.priority.name.lower(), shown[each.state_name]) for each in runners)
        every = {(each.name.lower(), state): 0 for each in Priority for state in ("ready", "waiting", "done")}
        self._observer.generators(every | counts)
        self._observer.workers(self._slots.slots, self._slots.working)
        self._observer.queued(self._slots.waiting)

    async def _save(self) -> None:
        try:
            await self._job_states.save()
        except StorageError as error:
            _log.warning("the state of background work cannot be saved: %s", error)


class _TaskRunner:
    """Runs one task again and again."""

    def __init__(
        self,
        task: Task,
        job_states: JobStates,
        slots: PrioritySlots,
        observer: Observer,
        spread: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        self.task = task
        self.state_name = "waiting"
        self._job_states = job_states
        self._slots = slots
        self._observer = observer
        self._spread = spread
        self._changed = changed
        self._loop_task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._requested: list[asyncio.Future[JobRun]] = []
        self._next_s: float | None = None

    def start(self, group: asyncio.TaskGroup) -> None:
        self._loop_task = group.create_task(self._loop(), name=f"task {self.task.key}")

    def stop(self) -> None:
        if self._loop_task is not None:
            self._loop_task.cancel()
        for each in self._requested:
            each.cancel()

    def replace(self, task: Task) -> None:
        if task.interval_s != self.task.interval_s:
            self._next_s = None
        self.task = task
        self._wake.set()

    async def run_now(self) -> JobRun:
        return await self.request_run()

    def request_run(self) -> asyncio.Future[JobRun]:
        requested: asyncio.Future[JobRun] = asyncio.get_running_loop().create_future()
        self._requested.append(requested)
        self._wake.set()
        return requested

    def state(self) -> TaskState:
        task = self.task
        run = self._job_states.runs.get(task.key)
        next_s = self._next_s if self.state_name == "waiting" else None
        return TaskState(task.key, task.priority.name.lower(), task.interval_s, self.state_name, run, next_s)

    async def _loop(self) -> None:
        ran = False
        while True:
            if ran and self.task.interval_s == 0 and not self._requested:
                self._show("done")
                await self._wait(None)
                continue
            wall_s = self._job_states.wall()
            if self._next_s is None:
                self._next_s = wall_s + self._wait_s(wall_s)
            if self._next_s - wall_s > max(self.task.interval_s, _SPREAD_S):
                self._next_s = None  # the wall clock was set back
                continue
            if not self._requested and self._next_s > wall_s:
                self._show("waiting")
                await self._wait(self._next_s - wall_s)
                continue
            if not self._requested and not self.task.may_start():
                self._show("ready")
                await self._wait(_WINDOW_POLL_S)
                continue
            await self._run()
            ran, self._next_s = True, None

    def _show(self, name: str) -> None:
        self.state_name = name
        self._changed()

    async def _wait(self, seconds: float | None) -> None:
        """Wait for `seconds`, or until a run is requested or the task is replaced."""
        self._wake.clear()
        try:
            # A bounded time: the wall clock may be set during the wait.
            async with asyncio.timeout(min(seconds, _SAVE_S) if seconds is not None else None):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _wait_s(self, wall_s: float) -> float:
        """Return the seconds until the next run: an interval after the last start, none if that was interrupted."""
        interval_s = self.task.interval_s
        last = self._job_states.runs.get(self.task.key)
        spread_s = self._spread() * min(_SPREAD_S, interval_s * _SPREAD_SHARE)
        if interval_s == 0 or last is None or last.ended_s is None:
            return spread_s
        # A start in the future was recorded with a wrong clock.
        passed_s = max(0.0, wall_s - last.started_s)
        return max(interval_s - passed_s, spread_s if passed_s >= interval_s else 0.0)

    async def _run(self) -> None:
        task, requested, begun_s = self.task, self._requested, time.monotonic()
        self._requested = []
        self._show("running")
        self._record(JobRun(self._job_states.wall()))
        about = fields(module="scheduler", task=task.key, priority=task.priority.name.lower())
        # Frequent tasks would fill the log, even at zot's default level, which is debug.
        level = logging.INFO if task.interval_s == 0 or task.interval_s >= _SELDOM_S else TRACE
        _log.log(level, "task started", extra=about)
        failed = False
        try:
            await self._make_steps(task)
        except (CatalogError, StorageError) as error:
            failed = True
            self._report(str(error))
            _log.error("task failed: %s", error, extra=about)
        except Exception as error:  # noqa: BLE001 - an error of one task is logged and does not stop the others
            failed = True
            self._report(repr(error))
            _log.exception("task failed", extra=about)
        finally:
            run = msgspec.structs.replace(
                self._job_states.runs[task.key], ended_s=self._job_states.wall(), failed=failed
            )
            for each in requested:
                if not each.done():
                    each.set_result(run)
        self._record(run)
        self._observer.task_ran(task.name, time.monotonic() - begun_s)
        _log.log(
            level, "task ended", extra=fields(module="scheduler", task=task.key, failed=failed, result=run.progress)
        )

    async def _make_steps(self, task: Task) -> None:
        count = 0
        async with aclosing(task.run(self._report)) as steps:
            while True:
                async with self._slots.slot(task.priority, count):
                    self._changed()
                    try:
                        pause_s = await anext(steps)
                    except StopAsyncIteration:
                        return
                count += 1
                await asyncio.sleep(max(pause_s, STEP_PAUSE_S))

    def _report(self, text: str) -> None:
        self._record(msgspec.structs.replace(self._job_states.runs[self.task.key], progress=text))

    def _record(self, run: JobRun) -> None:
        self._job_states.runs[self.task.key] = run
