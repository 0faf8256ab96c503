"""Everything in one process: for small machines, tests and `zot.testing`."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from zot.config.model import Config
from zot.processes.child import LEASE_ENDED_STATUS, lease_has_ended
from zot.processes.control import ask_server, control_socket
from zot.processes.drain import DrainingServer
from zot.processes.sd_notify import notify
from zot.server.background import open_background
from zot.server.http_server import HttpServer, open_http_server
from zot.server.plan import ServerPlan
from zot.server.running_state import RunningState, first_state, unreported
from zot.server.store import Store, open_claimed_store


def serve(
    config: Config, plan: ServerPlan, state: RunningState, listener: socket.socket, ready: Callable[[], None]
) -> int:
    """Serve until a signal says to stop; return the exit status. `ready` is called once requests are answered.

    A second signal ends requests under way at once. With LEASE_ENDED_STATUS another server has ended the lease of the
    owner: requests under way were cut off, and a new owner may serve.
    """
    try:
        asyncio.run(_until_signalled(config, plan, state, listener, ready))
    except BaseExceptionGroup as group:
        if not lease_has_ended(group):
            raise
        return LEASE_ENDED_STATUS
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
    """Serve a claimed store on a listening socket until `stop` is set, then drain; at once if `at_once` is set too.

    `ready` is called once requests are answered.
    """
    state = state or first_state(config, plan)
    async with open_claimed_store(config, plan) as store:
        http = await open_http_server(store, 0, state, unreported, partial(ask_server, plan.state))
        async with _background(store, http, state):
            serving = DrainingServer(http.server, http.health, plan)
            await serving.start(listener, http.tls)
            http.health.started = True
            ready()
            async with http.running():
                await stop.wait()
                await serving.drain(at_once or asyncio.Event())


@asynccontextmanager
async def _background(store: Store, http: HttpServer, state: RunningState) -> AsyncIterator[None]:
    """Work in the background during the block. What is in memory has no layouts, and is not maintained."""
    if store.layouts is None:
        yield
        return
    work = await open_background(store, http.recorded, state, unreported, measures=False)
    async with work.running(), control_socket(store.plan.state, work.answer):
        yield
