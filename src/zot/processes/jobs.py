"""The jobs' process: everything that takes long, so that no request waits for it."""

from __future__ import annotations

import os

from zot.accounts.statistics import StatisticsUnavailable
from zot.app import open_core
from zot.processes.answering import metrics_path, recorded
from zot.processes.catalog import connect_catalog
from zot.processes.child import Context, Fatal
from zot.processes.logs import open_logs
from zot.processes.long_work import open_long_work

# Where requests want the processor, they have it.
_NICE = 10


async def run(context: Context) -> None:
    """Do what is due until told to stop; then bring every layout level with the catalog."""
    os.nice(_NICE)
    plan, config = context.plan, context.state.config
    try:
        logs = open_logs(plan, waits=context.replaces)
        core = open_core(config, plan, logs, await connect_catalog(plan))
    except StatisticsUnavailable as error:
        raise Fatal(str(error)) from error
    counted = recorded(plan, "jobs") if metrics_path(config) is not None else None
    state = context.state
    work = await open_long_work(core, counted, state, context.report, measures=True, first=not context.replaces)
    context.ready()
    async with work.running():
        await context.stop.wait()
    await core.close()
