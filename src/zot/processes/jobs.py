"""The jobs' process: everything that takes long, so that no request waits for it."""

from __future__ import annotations

from zot.app import open_core, open_jobs
from zot.processes.child import Context
from zot.processes.configuration import configuration, connect_catalog


async def run(context: Context) -> None:
    """Do what is due until told to stop; then bring every layout level with the catalog."""
    plan = context.plan
    core = await open_core(configuration(plan), plan, await connect_catalog(plan))
    jobs = open_jobs(core)
    context.ready()
    async with jobs.running():
        await context.stop.wait()
    await core.close()
