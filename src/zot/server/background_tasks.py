"""Runs tasks concurrently with a block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager


@asynccontextmanager
async def background_tasks(tasks: Iterable[Callable[[], Awaitable[None]]]) -> AsyncIterator[None]:
    """Run tasks during the block, and cancel them at its end. A task that fails ends the block, and so the process."""
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(_awaited(task)) for task in tasks]
        try:
            yield
        finally:
            for each in running:
                each.cancel()


async def _awaited(task: Callable[[], Awaitable[None]]) -> None:
    await task()
