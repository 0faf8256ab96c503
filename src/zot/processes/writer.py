"""The catalog writer's process: everything that changes what exists goes through it."""

from __future__ import annotations

from pathlib import Path

from zot.catalog.interface import CatalogError
from zot.catalog.sqlite.server import serve_writer
from zot.processes.child import Context, Fatal
from zot.processes.logs import open_logs
from zot.processes.sockets import reachable


async def run(context: Context) -> None:
    """Write what the other processes ask for, until told to stop."""
    plan = context.plan
    try:
        directory = Path(plan.catalog_directory)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # noqa: ASYNC240 (nothing runs yet that could wait)
        # Whoever needs the writer waits for its socket, so there is nothing more to be ready for.
        context.ready()
        with open_logs(plan):
            await serve_writer(
                directory, reachable(Path(plan.writer_socket)), plan.boot, context.stop, syncs=plan.syncs
            )
    except CatalogError as error:
        raise Fatal(str(error)) from error
