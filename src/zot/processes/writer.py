"""The catalog writer's process: everything that changes what exists goes through it."""

from __future__ import annotations

from pathlib import Path

from zot.catalog.sqlite.server import open_begun, serve
from zot.processes.child import ProcessContext
from zot.processes.logs import open_logs
from zot.processes.sockets import reachable


async def run(context: ProcessContext) -> None:
    """Write what the other processes send, until told to stop.

    The start of the store has made the catalog. A replaced writer opens that one, or waits until it is back.
    """
    plan = context.plan
    with open_logs(plan, waits=context.replaces):
        writer = await open_begun(Path(plan.catalog_directory), plan.catalog_boot, context.stop, syncs=plan.syncs)
        if writer is not None:
            await serve(writer, reachable(Path(plan.writer_socket)), context.stop, context.ready)
