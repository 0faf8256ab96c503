"""The catalog that a process of a running server has."""

from __future__ import annotations

import asyncio
from pathlib import Path

from zot.catalog.interface import Catalog
from zot.catalog.sqlite.driver import connect
from zot.processes.plan import Plan
from zot.processes.sockets import reachable

_OPENING_POLL_S = 0.01


async def connect_catalog(plan: Plan, *, waits: bool) -> Catalog:
    """Return the catalog, through its writer's process.

    With `waits` once that has opened it, as a start has to: it may be being made. Without, reads go on and changes wait
    for the writer, as in the processes that run already.
    """
    path = reachable(Path(plan.writer_socket))
    while waits:
        try:
            _, writer = await asyncio.open_unix_connection(path)
        except OSError:
            await asyncio.sleep(_OPENING_POLL_S)
        else:
            writer.close()
            break
    return connect(Path(plan.catalog_directory), path)
