"""The jobs' process: everything that takes long, so that no request waits for it."""

from __future__ import annotations

import os

from zot.app import Jobs, open_core
from zot.processes.child import Context
from zot.processes.configuration import configuration, connect_catalog
from zot.processes.logs import open_logs

# Where requests want the processor, they have it.
_NICE = 10


async def run(context: Context) -> None:
    """Do what is due until told to stop; then bring every layout level with the catalog."""
    os.nice(_NICE)
    plan = context.plan
    config = configuration(plan)
    core = open_core(config, plan, open_logs(plan), await connect_catalog(plan))
    jobs = Jobs(core)
    context.ready()
    async with jobs.running():
        await context.stop.wait()
    await core.close()
