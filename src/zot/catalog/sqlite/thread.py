"""The writer as a thread, for a server that is one process."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

from zot.catalog.command import Command
from zot.catalog.interface import CatalogError, CatalogUnavailableError, Outcome
from zot.catalog.sqlite.writer import BATCH_LIMIT, Writer

IDLE_S = 1.0


class _PendingCommand(NamedTuple):
    command: Command[Any] | None
    """None: close."""
    future: asyncio.Future[Any]


class WriterThread:
    """Takes commands from the event loop to the writer's thread, and outcomes back."""

    def __init__(self, writer: Writer) -> None:
        """Start the thread, which owns the writer from now on."""
        self._writer = writer
        self._queue: SimpleQueue[_PendingCommand] = SimpleQueue()
        self._closed = False
        # A daemon: a commit that a dying interpreter cuts off is as if it had never begun.
        Thread(target=self._serve, name="catalog-writer", daemon=True).start()

    async def do(self, command: Command[Outcome]) -> Outcome:
        """Carry out a change. If the caller is cancelled, it is carried out all the same."""
        outcome: Outcome = await self._put(command)
        return outcome

    async def close(self) -> None:
        """Let the commands given so far be answered, then close the writer."""
        if not self._closed:
            answer = self._put(None)
            self._closed = True
            await answer

    def _put(self, command: Command[Any] | None) -> asyncio.Future[Any]:
        if self._closed:
            raise CatalogUnavailableError("the catalog was closed")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queue.put(_PendingCommand(command, future))
        return future

    def _serve(self) -> None:
        waiting: deque[_PendingCommand] = deque()
        while True:
            self._collect(waiting)
            if not waiting:
                self._writer.tend(idle=True)
                continue
            commands = []
            for each in waiting:
                if each.command is None:
                    break
                commands.append(each.command)
            if not commands:
                self._writer.close()
                _answer([(waiting.popleft().future, None)])
                return
            outcomes = self._writer.run(commands)
            _answer([(waiting.popleft().future, outcome) for outcome in outcomes])
            self._writer.tend(idle=False)

    def _collect(self, waiting: deque[_PendingCommand]) -> None:
        """Add what has arrived; wait for it only if there is nothing to do."""
        with suppress(Empty):
            if not waiting:
                waiting.append(self._queue.get(timeout=IDLE_S))
            while len(waiting) < BATCH_LIMIT:
                waiting.append(self._queue.get_nowait())


def _answer(answers: list[tuple[asyncio.Future[Any], Any]]) -> None:
    """Resolve futures in their loops, each loop woken once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for future, outcome in answers:
        by_loop.setdefault(future.get_loop(), []).append((future, outcome))
    for loop, its in by_loop.items():
        with suppress(RuntimeError):  # the loop was closed: no caller waits any more
            loop.call_soon_threadsafe(_resolve, its)


def _resolve(answers: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, outcome in answers:
        if future.done():  # its caller was cancelled
            continue
        if isinstance(outcome, CatalogError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
