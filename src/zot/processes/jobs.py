"""The jobs' process: everything that takes long, so that no request waits for it."""

from __future__ import annotations

import os

from zot.accounts.statistics import StatisticsUnavailableError
from zot.app import open_core
from zot.processes.child import FatalStartError, ProcessContext
from zot.processes.logs import open_logs
from zot.server.background import open_background
from zot.server.catalog import connect_catalog
from zot.server.http_server import metrics_path, recorded

# Where requests want the processor, they have it.
_NICE = 10


async def run(context: ProcessContext) -> None:
    """Do what is due until told to stop; then bring every layout level with the catalog."""
    os.nice(_NICE)
    plan, config = context.plan, context.state.config
    try:
        logs = open_logs(plan, waits=context.replaces)
        core = open_core(config, plan, logs, await connect_catalog(plan))
    except StatisticsUnavailableError as error:
        raise FatalStartError(str(error)) from error
    counted = recorded(plan, "jobs") if metrics_path(config) is not None else None
    state = context.state
    work = await open_background(core, counted, state, context.report, measures=True, first=not context.replaces)
    context.ready()
    async with work.running():
        await context.stop.wait()
    await core.close()
