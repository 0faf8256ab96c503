"""A catalog whose changes are delivered to a sink, for the tests of deliveries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from zot.catalog.interface import Catalog
from zot.extensions.events.delivery import BackOff, Delivery
from zot.extensions.events.delivery_database import DeliveryDatabase
from zot.extensions.events.event_filter import EventFilter
from zot.extensions.events.sink import Sink
from zot.foundation.threads import ThreadPool

NAME = "receiver"


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, or the test's timeout ends it."""
    while not condition():  # noqa: ASYNC110 (receivers have no event)
        await asyncio.sleep(0.005)


@asynccontextmanager
async def database_at(path: Path) -> AsyncIterator[DeliveryDatabase]:
    """Open a database of deliveries for the block."""
    threads = ThreadPool("events", 1, 64)
    database = DeliveryDatabase(path, threads)
    yield database
    await database.aclose()
    threads.close()


@asynccontextmanager
async def delivering(
    catalog: Catalog, sink: Sink, path: Path, wanted: EventFilter | None = None, name: str = NAME, **options: Any
) -> AsyncIterator[DeliveryDatabase]:
    """Deliver the changes of a catalog to a sink during the block, with short pauses."""
    async with database_at(path) as database:
        back_off = BackOff(0.005, 0.02)
        delivery = Delivery(name, sink, wanted or EventFilter(), catalog, database, **{"back_off": back_off, **options})
        task = asyncio.create_task(delivery.run())
        await until(lambda: database.sink(name) is not None)
        yield database
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
