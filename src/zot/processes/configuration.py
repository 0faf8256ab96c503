"""The configuration and the catalog that a process of a running server has."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from zot.auth.cel import condition
from zot.catalog.interface import Catalog, CatalogUnavailable
from zot.catalog.sqlite.driver import connect
from zot.config.errors import ConfigurationError
from zot.config.load import load
from zot.config.model import Config
from zot.processes.child import Fatal
from zot.processes.plan import Plan
from zot.processes.sockets import reachable

_OPENING_POLL_S = 0.2

_log = logging.getLogger("zot.server")


def configuration(plan: Plan) -> Config:
    """Return the plan's configuration. Raises Fatal if the file became unusable since the server's start."""
    if plan.config is None:
        return Config.default()
    try:
        return load(Path(plan.config), condition).config
    except ConfigurationError as error:
        raise Fatal(f"{plan.config}: {error}") from error


async def connect_catalog(plan: Plan) -> Catalog:
    """Return the catalog that the start of the store has begun, with changes through the writer's process.

    A process that is replaced while its disk is away waits here until it is back, before it makes any file.
    """
    catalog = connect(Path(plan.catalog_directory), reachable(Path(plan.writer_socket)), plan.catalog_boot)
    waiting = False
    while True:
        try:
            await catalog.ready()
        except CatalogUnavailable as error:
            if not waiting:
                _log.error("a replaced process waits for the catalog: %s", error)
            waiting = True
            await asyncio.sleep(_OPENING_POLL_S)
        else:
            return catalog
