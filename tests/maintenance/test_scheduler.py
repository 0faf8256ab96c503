"""The schedule of tasks, and the order of their steps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from zot.catalog.interface import CatalogUnavailableError
from zot.foundation.threads import ThreadPool
from zot.maintenance.job_state import JobRun, JobStates
from zot.maintenance.priority_slots import Priority, PrioritySlots
from zot.maintenance.scheduler import ReportProgress, Scheduler, Task
from zot.maintenance.sweep_stats import Pauses

HOUR_S = 3600.0


class Clock:
    """A wall clock that is set."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    """A wall clock that is set."""
    return Clock()


@pytest.fixture
async def job_states(tmp_path: Path, clock: Clock) -> AsyncIterator[JobStates]:
    """An empty job_states."""
    pool = ThreadPool("job_states", 1, 10)
    yield JobStates(tmp_path / "jobs.json", pool, clock)
    pool.close()


class Work:
    """A task that counts its runs, and ends one when it is let."""

    def __init__(self) -> None:
        self.runs = self.running = self.most = 0
        self.go = asyncio.Event()

    async def __call__(self, report: ReportProgress) -> Pauses:
        """Make two steps."""
        self.runs += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            report("begun")
            yield 0
            await self.go.wait()
            report("all done")
        finally:
            self.running -= 1


@asynccontextmanager
async def running(scheduler: Scheduler) -> AsyncIterator[None]:
    """Run a scheduler during the block."""
    task = asyncio.create_task(scheduler.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    while not condition():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.001)


def schedule(job_states: JobStates, *tasks: Task, workers: int = 2) -> Scheduler:
    """Return a scheduler without jitter."""
    return Scheduler(tasks, job_states, workers=workers, spread=lambda: 0.0)


async def test_a_new_task_runs_at_once_and_is_noted(job_states: JobStates, clock: Clock) -> None:
    """A new task is due; then its state has the result and the time of the next run."""
    work = Work()
    work.go.set()
    scheduler = schedule(job_states, Task("work", work, HOUR_S, about="/root"))
    async with running(scheduler):
        await until(lambda: scheduler.states()[0].last is not None and scheduler.states()[0].state == "waiting")
        (state,) = scheduler.states()
    assert state.task == "work /root"
    assert state.last == JobRun(clock.now_s, clock.now_s, failed=False, progress="all done")
    assert state.next_s == clock.now_s + HOUR_S


@pytest.mark.parametrize("content", [b"", b"{", b'{"tasks": {"\x80": 1}}', b'{"x": ' + b"[" * 20_000, b"[1]"])
async def test_a_damaged_file_of_job_states_counts_as_missing(job_states: JobStates, content: bytes) -> None:
    """A server starts without the file, and runs tasks sooner than necessary."""
    job_states.runs["work"] = JobRun(1.0, 2.0)
    await job_states.save()
    Path(job_states._path).write_bytes(content)
    await job_states.load()
    assert job_states.runs == {}


async def test_an_interval_continues_after_a_restart(job_states: JobStates, clock: Clock) -> None:
    """A task that ran half an interval before a restart waits for the other half."""
    job_states.runs["work"] = JobRun(clock.now_s - HOUR_S / 2, clock.now_s - HOUR_S / 2 + 1)
    await job_states.save()
    again = JobStates(Path(job_states._path), job_states._pool, clock)
    await again.load()
    work = Work()
    scheduler = schedule(again, Task("work", work, HOUR_S))
    async with running(scheduler):
        await until(lambda: scheduler.states()[0].next_s is not None)
        assert scheduler.states()[0].next_s == clock.now_s + HOUR_S / 2
    assert work.runs == 0


async def test_an_interrupted_run_is_repeated(job_states: JobStates, clock: Clock) -> None:
    """A task that a restart interrupted is due."""
    job_states.runs["work"] = JobRun(clock.now_s - 1, None)
    work = Work()
    async with running(schedule(job_states, Task("work", work, HOUR_S))):
        await until(lambda: work.runs == 1)


@pytest.mark.parametrize("jump_s", [-1e9, 1e9])
async def test_a_clock_that_jumps_neither_stops_a_task_nor_runs_it_in_a_loop(
    job_states: JobStates, clock: Clock, jump_s: float
) -> None:
    """After a jump the task has its interval again."""
    job_states.runs["work"] = JobRun(clock.now_s, clock.now_s)
    clock.now_s += jump_s
    work = Work()
    work.go.set()
    scheduler = schedule(job_states, Task("work", work, HOUR_S))
    async with running(scheduler):
        await until(lambda: scheduler.states()[0].next_s == clock.now_s + HOUR_S)
    assert work.runs == (jump_s > 0)


async def test_no_interval_means_once(job_states: JobStates) -> None:
    """A task without an interval runs once after each start, however recently it ran."""
    work = Work()
    work.go.set()
    scheduler = schedule(job_states, Task("work", work, 0))
    async with running(scheduler):
        await until(lambda: scheduler.states()[0].state == "done")
    async with running(schedule(job_states, Task("work", work, 0))):
        await until(lambda: work.runs == 2)


async def test_one_run_at_a_time(job_states: JobStates) -> None:
    """A run that is requested during another one follows it, and never overlaps it."""
    work = Work()
    scheduler = schedule(job_states, Task("work", work, HOUR_S))
    async with running(scheduler):
        await until(lambda: work.running == 1)
        asked = [asyncio.create_task(scheduler.run_now("work")) for _ in range(3)]
        await asyncio.sleep(0)
        work.go.set()
        assert [(await each).progress for each in asked] == ["all done"] * 3
    assert work.most == 1
    assert work.runs == 2


async def test_a_failure_is_noted_and_ends_nothing(job_states: JobStates) -> None:
    """A failed task runs again at its next time, and the others continue."""

    async def fail(_: ReportProgress) -> Pauses:
        yield 0
        raise CatalogUnavailableError("the catalog is away")

    work = Work()
    work.go.set()
    scheduler = schedule(job_states, Task("fail", fail, HOUR_S), Task("work", work, HOUR_S))
    async with running(scheduler):
        await until(lambda: all(state.state == "waiting" and state.last for state in scheduler.states()))
        last = scheduler.states()[0].last
    assert last is not None
    assert (last.failed, last.progress) == (True, "the catalog is away")


async def test_a_task_waits_for_its_window(job_states: JobStates) -> None:
    """A due task outside its window is ready; requested by name it starts all the same."""
    work = Work()
    work.go.set()
    scheduler = schedule(job_states, Task("work", work, HOUR_S, may_start=lambda: False))
    async with running(scheduler):
        await until(lambda: scheduler.states()[0].state == "ready")
        assert work.runs == 0
        await scheduler.run_now("work")
    assert work.runs == 1


async def test_tasks_are_replaced_while_they_run(job_states: JobStates) -> None:
    """A reload adds tasks, ends those that it lacks, and leaves the others as they are."""
    stays, goes, comes = Work(), Work(), Work()
    scheduler = schedule(job_states, Task("stays", stays, HOUR_S), Task("goes", goes, HOUR_S))
    async with running(scheduler):
        await until(lambda: stays.running == goes.running == 1)
        scheduler.replace([Task("stays", stays, 2 * HOUR_S), Task("comes", comes, HOUR_S)])
        await until(lambda: comes.running == 1 and goes.running == 0)
        assert stays.runs == 1
        assert [state.task for state in scheduler.states()] == ["comes", "stays"]


async def test_urgent_tasks_are_first_and_none_starves() -> None:
    """The waiting step with the highest rank is next: priority over the steps that were made."""
    turns = PrioritySlots(1)
    order: list[str] = []

    async def step(name: str, priority: Priority, steps: int) -> None:
        async with turns.slot(priority, steps):
            order.append(name)

    async with turns.slot(Priority.LOW, 0):
        waiting = [
            asyncio.create_task(step(*each))
            for each in (
                ("low, fresh", Priority.LOW, 0),
                ("high, long at it", Priority.HIGH, 999),
                ("medium, fresh", Priority.MEDIUM, 0),
                ("high, fresh", Priority.HIGH, 0),
            )
        ]
        await asyncio.sleep(0)
        assert turns.waiting == {"low": 1, "medium": 1, "high": 2}
    await asyncio.gather(*waiting)
    assert order == ["high, fresh", "medium, fresh", "low, fresh", "high, long at it"]


async def test_the_slot_of_a_cancelled_step_is_passed_on() -> None:
    """Cancelling a waiting step at any moment loses no slot."""
    turns = PrioritySlots(1)

    async def hold() -> None:
        async with turns.slot(Priority.LOW, 0):
            pass

    async with turns.slot(Priority.LOW, 0):
        early, late = asyncio.create_task(hold()), asyncio.create_task(hold())
        await asyncio.sleep(0)
        early.cancel()
        await asyncio.sleep(0)
    late.cancel()  # it has been given the place, and does not know yet
    await asyncio.gather(early, late, return_exceptions=True)
    assert turns.working == 0
    await asyncio.wait_for(hold(), 1)


@pytest.fixture
def torn(tmp_path: Path) -> None:
    """A temporary file that a crash left."""
    (tmp_path / "jobs.json").write_text('{"tasks": {"wo')


async def test_a_torn_file_of_job_states_counts_as_missing(torn: None, job_states: JobStates) -> None:
    """A torn file does not prevent a start."""
    await job_states.load()
    assert job_states.runs == {}
