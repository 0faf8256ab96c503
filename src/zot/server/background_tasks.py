"""Tasks beside what a process is there for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager


@asynccontextmanager
async def background_tasks(tasks: Iterable[Callable[[], Awaitable[None]]]) -> AsyncIterator[None]:
    """Run tasks for as long as the block runs. One that fails ends the block, and so the process: it is replaced."""
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(_awaited(task)) for task in tasks]
        try:
            yield
        finally:
            for each in running:
                each.cancel()


async def _awaited(task: Callable[[], Awaitable[None]]) -> None:
    await task()
