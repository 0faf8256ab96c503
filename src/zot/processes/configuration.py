"""The configuration and the catalog that a process of a running server has."""

from __future__ import annotations

import asyncio
from pathlib import Path

from zot.auth.cel import condition
from zot.catalog.interface import Catalog
from zot.catalog.sqlite.driver import connect
from zot.config.errors import ConfigurationError
from zot.config.load import load
from zot.config.model import Config
from zot.processes.child import Fatal
from zot.processes.plan import Plan
from zot.processes.sockets import reachable

_OPENING_POLL_S = 0.01


def configuration(plan: Plan) -> Config:
    """Return the plan's configuration. Raises Fatal if the file became unusable since the server's start."""
    if plan.config is None:
        return Config.default()
    try:
        return load(Path(plan.config), condition).config
    except ConfigurationError as error:
        raise Fatal(f"{plan.config}: {error}") from error


async def connect_catalog(plan: Plan) -> Catalog:
    """Return the catalog, through its writer's process, once that has opened it: on a first start it is being made."""
    path = reachable(Path(plan.writer_socket))
    while True:
        try:
            _, writer = await asyncio.open_unix_connection(path)
        except OSError:
            await asyncio.sleep(_OPENING_POLL_S)
        else:
            writer.close()
            return connect(Path(plan.catalog_directory), path)
