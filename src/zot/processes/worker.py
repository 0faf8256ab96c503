"""An HTTP worker's process: answers requests on its own listening socket."""

from __future__ import annotations

import asyncio

from zot.app import open_core
from zot.processes.child import FatalStartError, ProcessContext
from zot.processes.drain import DrainingServer
from zot.processes.logs import open_logs
from zot.server.catalog import connect_catalog
from zot.server.http_server import CANNOT_SERVE, open_http_server


async def run(context: ProcessContext) -> None:
    """Serve until told to stop; then finish what is under way."""
    plan, config = context.plan, context.state.config
    try:
        logs = open_logs(plan, waits=context.replaces)
        core = open_core(config, plan, logs, await connect_catalog(plan))
        http = await open_http_server(
            core, context.slot, context.state, context.report, waits_for_dependencies=context.replaces
        )
    except CANNOT_SERVE as error:
        raise FatalStartError(str(error)) from error
    assert context.listener is not None
    serving = DrainingServer(http.server, http.health, plan)
    await serving.start(context.listener, http.tls)
    http.health.started = True
    context.ready()
    async with http.running():
        await context.stop.wait()
        await serving.drain(at_once=asyncio.Event())  # the supervisor ends who takes too long
    await core.close()
