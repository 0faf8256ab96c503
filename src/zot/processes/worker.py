"""An HTTP worker's process: answers requests on its own listening socket."""

from __future__ import annotations

import asyncio

from zot.app import open_core
from zot.processes.answering import CANNOT_SERVE, open_answering
from zot.processes.catalog import connect_catalog
from zot.processes.child import Context, Fatal
from zot.processes.logs import open_logs
from zot.processes.serving import Serving


async def run(context: Context) -> None:
    """Serve until told to stop; then finish what is under way."""
    plan, config = context.plan, context.state.config
    try:
        logs = open_logs(plan, waits=context.replaces)
        core = open_core(config, plan, logs, await connect_catalog(plan))
        http = await open_answering(
            core, context.slot, context.state, context.report, waits_for_dependencies=context.replaces
        )
    except CANNOT_SERVE as error:
        raise Fatal(str(error)) from error
    assert context.listener is not None
    serving = Serving(http.server, http.health, plan)
    await serving.start(context.listener, http.tls)
    http.health.started = True
    context.ready()
    async with http.running():
        await context.stop.wait()
        await serving.drain(at_once=asyncio.Event())  # the supervisor ends who takes too long
    await core.close()
