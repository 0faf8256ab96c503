"""Everything in one process: for small machines, tests and `zot.testing`."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from zot.app import open_core
from zot.catalog.sqlite.driver import open_in_thread
from zot.config.model import Config
from zot.processes.answering import open_answering
from zot.processes.logs import open_logs
from zot.processes.long_work import open_long_work
from zot.processes.notify import notify
from zot.processes.plan import Plan
from zot.processes.running_state import RunningState, first_state, unreported
from zot.processes.serving import Serving


def serve(config: Config, plan: Plan, state: RunningState, listener: socket.socket, ready: Callable[[], None]) -> int:
    """Serve until a signal says to stop; return the exit status. `ready` is called once requests are answered.

    A second signal ends requests under way at once.
    """
    asyncio.run(_until_signalled(config, plan, state, listener, ready))
    return 0


async def _until_signalled(
    config: Config, plan: Plan, state: RunningState, listener: socket.socket, ready: Callable[[], None]
) -> None:
    stop, at_once = asyncio.Event(), asyncio.Event()

    def signalled() -> None:
        if not stop.is_set():
            sys.stderr.write(f"{plan.stop.announcement()}\n")
            sys.stderr.flush()
        (at_once if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, signalled)
    await run(config, plan, listener, stop, ready, at_once, state)
    notify("STOPPING=1")


async def run(
    config: Config,
    plan: Plan,
    listener: socket.socket,
    stop: asyncio.Event,
    ready: Callable[[], None],
    at_once: asyncio.Event | None = None,
    state: RunningState | None = None,
) -> None:
    """Serve on a listening socket until `stop` is set, then drain, in no time if `at_once` is set as well.

    `ready` is called once requests are answered.
    """
    catalog = open_in_thread(Path(plan.catalog_directory), plan.boot, syncs=plan.syncs)
    core = open_core(config, plan, open_logs(plan), catalog)
    state = state or first_state(config, plan)
    http = await open_answering(core, 0, state, unreported)
    work = await open_long_work(core, http.recorded, state, unreported, measures=False)
    serving = Serving(http.server, http.health, plan)
    await serving.start(listener, http.tls)
    http.health.started = True
    ready()
    async with work.running(), http.running():
        await stop.wait()
        await serving.drain(at_once or asyncio.Event())
    await core.close()
