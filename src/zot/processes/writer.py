"""The catalog writer's process: everything that changes what exists goes through it."""

from __future__ import annotations

from zot.catalog.sqlite.server import open_begun, serve
from zot.config.state_directory import socket_address
from zot.processes.child import ProcessContext
from zot.processes.logs import open_logs


async def run(context: ProcessContext) -> None:
    """Write what the other processes send, until told to stop.

    The start of the store has made the catalog. A replaced writer opens that one, or waits until it is back.
    """
    plan = context.plan
    with open_logs(plan, waits=context.replaces):
        writer = await open_begun(plan.state.catalog, plan.catalog_boot, context.stop, syncs=plan.syncs)
        if writer is not None:
            await serve(writer, socket_address(plan.state.writer_socket), context.stop, context.ready)
