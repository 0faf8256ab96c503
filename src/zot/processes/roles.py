"""What the processes below the supervisor do: write the catalog, work in the background, answer requests."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from zot.processes.child import FatalStartError, ProcessContext
from zot.processes.drain import DrainingServer
from zot.server.drivers import catalog_engine
from zot.server.http_server import CANNOT_SERVE, open_http_server, recorded
from zot.server.plan import ServerPlan
from zot.server.store import open_claimed_store, open_logs
from zot.statistics.interface import StatisticsUnavailableError

if TYPE_CHECKING:
    from zot.admin.asking import Ask
    from zot.admin.requests import AdminRequest

# Requests have priority for the processor.
_BACKGROUND_NICE = 10


async def write_catalog(context: ProcessContext) -> None:
    """Carry out the changes that the other processes send.

    The start of the store has begun the catalog. A replaced writer opens that one, or waits until it is back.
    """
    plan = context.plan
    with open_logs(plan, waits=context.replaces):
        await catalog_engine(plan).run_writer(plan.catalog_boot, context.stop, context.ready)


async def work_in_background(context: ProcessContext) -> None:
    """Do what takes long, so that no request waits for it; at the end export every layout."""
    # Imported here: the others need none of it, and the first request does not wait for it. At full priority: on a busy
    # machine a stop would not wait until a background process has imported all that exports need.
    from zot.processes.control import control_socket  # noqa: PLC0415
    from zot.server.background import open_background  # noqa: PLC0415

    os.nice(_BACKGROUND_NICE)

    plan, state = context.plan, context.state
    try:
        async with open_claimed_store(state.config, plan, waits=context.replaces) as store:
            counts = recorded(state.config, plan, "jobs")
            work = await open_background(
                store, counts, state, context.report, measures=True, first=not context.replaces
            )
            async with work.running(), control_socket(plan.state, work.answer):
                context.ready()
                await context.stop.wait()
    except StatisticsUnavailableError as error:
        raise FatalStartError(str(error)) from error


async def answer_requests(context: ProcessContext) -> None:
    """Answer HTTP requests on a listening socket; at the end finish those under way."""
    plan, state = context.plan, context.state
    try:
        async with open_claimed_store(state.config, plan, waits=context.replaces) as store:
            http = await open_http_server(
                store, context.slot, state, context.report, _asking(plan), waits_for_dependencies=context.replaces
            )
            assert context.listener is not None
            serving = DrainingServer(http.server, http.health, plan)
            await serving.start(context.listener, http.tls)
            http.health.started = True
            context.ready()
            async with http.running():
                await context.stop.wait()
                await serving.drain(at_once=asyncio.Event())  # the supervisor ends a process that takes too long
    except CANNOT_SERVE as error:
        raise FatalStartError(str(error)) from error


def _asking(plan: ServerPlan) -> Ask:
    """Return what asks the process that works in the background."""

    def ask(request: AdminRequest[Any]) -> AsyncGenerator[Any, None]:
        from zot.processes.control import ask_server  # noqa: PLC0415 (few requests ask)

        return ask_server(plan.state, request)

    return ask
