"""The catalog that a process of a running server has."""

from __future__ import annotations

import asyncio
import logging

from zot.catalog.interface import Catalog, CatalogUnavailableError
from zot.catalog.sqlite.driver import SqliteCatalog, connect
from zot.config.state_directory import socket_address
from zot.server.plan import ServerPlan

_OPENING_POLL_S = 0.2

_log = logging.getLogger("zot.server")


async def connect_catalog(plan: ServerPlan) -> Catalog:
    """Return the catalog that the start of the store has begun, with changes through the writer's process.

    A process that is replaced while its disk is away waits here until it is back, before it makes any file.
    """
    catalog: SqliteCatalog | None = None
    waiting = False
    while True:
        try:
            if catalog is None:
                socket = socket_address(plan.state.writer_socket)  # needs the directory if its path is long
                catalog = connect(plan.state.catalog, socket, plan.catalog_boot)
            await catalog.ready()
        except (CatalogUnavailableError, OSError) as error:
            if not waiting:
                _log.error("a replaced process waits for the catalog: %s", error)
            waiting = True
            await asyncio.sleep(_OPENING_POLL_S)
        else:
            return catalog
