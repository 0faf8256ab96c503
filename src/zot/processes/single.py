"""Everything in one process: for small machines, tests and `zot.testing`."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable

from zot.app import open_core
from zot.catalog.sqlite.driver import open_in_thread
from zot.config.model import Config
from zot.processes.drain import DrainingServer
from zot.processes.logs import open_logs
from zot.processes.sd_notify import notify
from zot.server.background import open_background
from zot.server.http_server import open_http_server
from zot.server.plan import ServerPlan
from zot.server.running_state import RunningState, first_state, unreported


def serve(
    config: Config, plan: ServerPlan, state: RunningState, listener: socket.socket, ready: Callable[[], None]
) -> int:
    """Serve until a signal says to stop; return the exit status. `ready` is called once requests are answered.

    A second signal ends requests under way at once.
    """
    asyncio.run(_until_signalled(config, plan, state, listener, ready))
    return 0


async def _until_signalled(
    config: Config, plan: ServerPlan, state: RunningState, listener: socket.socket, ready: Callable[[], None]
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
    plan: ServerPlan,
    listener: socket.socket,
    stop: asyncio.Event,
    ready: Callable[[], None],
    at_once: asyncio.Event | None = None,
    state: RunningState | None = None,
) -> None:
    """Serve on a listening socket until `stop` is set, then drain, in no time if `at_once` is set as well.

    `ready` is called once requests are answered.
    """
    catalog = open_in_thread(plan.state.catalog, plan.boot, syncs=plan.syncs)
    core = open_core(config, plan, open_logs(plan), catalog)
    state = state or first_state(config, plan)
    http = await open_http_server(core, 0, state, unreported)
    work = await open_background(core, http.recorded, state, unreported, measures=False)
    serving = DrainingServer(http.server, http.health, plan)
    await serving.start(listener, http.tls)
    http.health.started = True
    ready()
    async with work.running(), http.running():
        await stop.wait()
        await serving.drain(at_once or asyncio.Event())
    await core.close()
