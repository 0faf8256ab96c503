"""Making load: the clients of a workload, spread over processes so that one core's Python is not the limit."""

import asyncio
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier

from zot.zb.blobs import Blob
from zot.zb.client import LoadClient, TestedRegistry
from zot.zb.statistics import Record, Summary, summarize
from zot.zb.workloads import Visit, Workload

_START_LIMIT_S = 60


@dataclass(frozen=True)
class Plan:
    """What all workloads of a run have in common. `requests` is a multiple of `concurrency`."""

    concurrency: int
    requests: int
    blobs: Mapping[int, Blob]
    upstream: TestedRegistry | None = None
    prefix: str = ""
    source_ips: Sequence[str] = ()
    cleanup: bool = True


class Load:
    """The processes that clients run in; made by `started`."""

    def __init__(self, plan: Plan, pool: ProcessPoolExecutor, processes: int) -> None:
        """Use `pool`, which has `processes` processes running already."""
        self._plan = plan
        self._pool = pool
        self._processes = processes

    def run(self, workload: Workload, registry: TestedRegistry, seed: float | None = None) -> Summary:
        """Run a workload against one registry and return its figures.

        Equal seeds draw equal sizes, pulls and pushes: what is compared must be the same work. A measured request
        that fails is counted. Raises RequestError when preparation or cleanup fails.
        """
        seed = random.random() if seed is None else seed
        seeds = [f"{seed} {client}" for client in range(self._plan.concurrency)]
        shares = [seeds[first :: self._processes] for first in range(self._processes)]
        started_ns = time.perf_counter_ns()
        running = [self._pool.submit(_visit_all, workload, registry, self._plan, share) for share in shares]
        results = [future.result() for future in running]
        total_ns = time.perf_counter_ns() - started_ns
        records = [record for seen, _ in results for record in seen]
        return summarize(workload.name, total_ns, records, sum((counts for _, counts in results), Counter()))


@contextmanager
def started(plan: Plan) -> Iterator[Load]:
    """Start the client processes, as many as cores and clients allow; they end with the context."""
    processes = min(plan.concurrency, os.cpu_count() or 1)
    context = multiprocessing.get_context("spawn")
    # All processes start and import first, so that no workload's time includes that.
    all_started = context.Barrier(processes + 1)
    with ProcessPoolExecutor(processes, context, initializer=_meet, initargs=(all_started,)) as pool:
        try:
            # A process that is interrupted while it starts would leave the others, and this one, waiting for it. The
            # processes inherit that the signal waits; here it is raised when all have started.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                for _ in range(processes):
                    pool.submit(int)
                all_started.wait(_START_LIMIT_S)
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            yield Load(plan, pool, processes)
        except BaseException:
            # An interrupted run has no use for the remaining work, and the pool would wait for it.
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _meet(all_started: Barrier) -> None:
    # Ctrl-C reaches every process of the terminal's group; only the parent handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    all_started.wait(_START_LIMIT_S)


def _visit_all(
    workload: Workload, registry: TestedRegistry, plan: Plan, seeds: list[str]
) -> tuple[list[Record], Counter[str]]:
    """Run a client for each seed in this process; return what they saw together."""

    async def visit_all() -> list[Visit]:
        return await asyncio.gather(*(_visit(workload, registry, plan, random.Random(seed)) for seed in seeds))

    visits = asyncio.run(visit_all())
    records = [record for visit in visits for record in visit.records]
    return records, sum((visit.counts for visit in visits), Counter())


async def _visit(workload: Workload, registry: TestedRegistry, plan: Plan, draws: random.Random) -> Visit:
    async with AsyncExitStack() as stack:
        source_ip = draws.choice(plan.source_ips) if plan.source_ips else None
        client = await stack.enter_async_context(LoadClient(registry, source_ip))
        origin = client
        if workload.syncs and plan.upstream:
            origin = await stack.enter_async_context(LoadClient(plan.upstream, source_ip))
        visit = Visit(workload, plan.requests // plan.concurrency, client, origin, plan.blobs, draws, plan.prefix)
        await workload.run(visit)
        if plan.cleanup:
            await visit.clean()
    return visit
