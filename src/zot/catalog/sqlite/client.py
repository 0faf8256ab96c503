"""The client of a writer in a separate process."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, NamedTuple, cast

from zot.catalog.command import Command
from zot.catalog.interface import CatalogError, CatalogUnavailableError, Outcome
from zot.catalog.sqlite.codec import encode
from zot.catalog.sqlite.protocol import Frames, frame, outcome_of, read_answer

DEADLINE_S = 10.0
"""How long a command waits for its outcome, a writer's death and new start included."""

WAITING_LIMIT = 4096
"""How many commands of one process may be without an answer."""

_FIRST_DELAY_S = 0.01
_LONGEST_DELAY_S = 0.25


class _PendingReply(NamedTuple):
    command: Command[Any]
    frame: bytes
    future: asyncio.Future[Any]
    deadline_s: float
    """By the clock of the event loop."""


class WriterClient:
    """Sends commands to the writer, and resends them to its replacement, until answer or deadline.

    It connects when the first command is given. All of it belongs to one event loop, and commands of one turn of that
    travel together.
    """

    def __init__(self, socket_path: Path, deadline_s: float = DEADLINE_S) -> None:
        """Connect to `socket_path` with the first command; the writer need not listen yet."""
        self._socket_path = socket_path
        self._deadline_s = deadline_s
        # In the order of their deadlines.
        self._waiting: dict[str, _PendingReply] = {}
        self._unsent: list[bytes] = []
        self._expiry: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._closed = False

    async def do(self, command: Command[Outcome]) -> Outcome:
        """Carry out a change. If the caller is cancelled, it may be carried out all the same."""
        if self._closed:
            raise CatalogUnavailableError("the catalog was closed")
        if len(self._waiting) >= WAITING_LIMIT:
            raise CatalogUnavailableError(f"{WAITING_LIMIT} commands wait for the catalog's writer already")
        if command.id in self._waiting:
            raise CatalogError(f"{type(command).__name__} was given again before its outcome")
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._deadline_s
        waiting = _PendingReply(command, frame(encode(command)), loop.create_future(), deadline_s)
        self._waiting[command.id] = waiting
        if self._expiry is None:
            self._expiry = loop.call_at(deadline_s, self._expire)
        self._send(waiting.frame)
        try:
            outcome: Outcome = await waiting.future
        finally:
            del self._waiting[command.id]
        return outcome

    async def close(self) -> None:
        """Let the commands given so far be answered, then disconnect."""
        self._closed = True
        await asyncio.gather(*(each.future for each in self._waiting.values()), return_exceptions=True)
        if self._expiry is not None:
            self._expiry.cancel()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._transport is not None:
            self._transport.close()

    def connected(self, transport: asyncio.Transport) -> None:
        """Send all unanswered commands: the client cannot know which of them an earlier writer received."""
        self._transport = transport
        self._unsent.clear()
        transport.write(b"".join(each.frame for each in self._waiting.values()))

    def disconnected(self) -> None:
        """Connect to the next writer, if commands wait for it."""
        self._transport = None
        self._unsent.clear()
        if self._waiting:
            self._connect()

    def received(self, content: bytes) -> None:
        """Hand an answer to its caller."""
        answer = read_answer(content)
        waiting = self._waiting.get(answer.id)
        if waiting is None or waiting.future.done():  # its caller has gone
            return
        outcome = outcome_of(answer, waiting.command)
        if isinstance(outcome, CatalogError):
            waiting.future.set_exception(outcome)
        else:
            waiting.future.set_result(outcome)

    def _send(self, content: bytes) -> None:
        if self._transport is None:
            self._connect()  # which sends it with the others
            return
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent.append(content)

    def _flush(self) -> None:
        """Send the commands of one turn of the loop at once."""
        if self._transport is not None and self._unsent:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def _expire(self) -> None:
        """End the wait of commands whose deadline has passed; look again at the next deadline.

        One timer for all, since hardly any is ever late: it looks again at the oldest that still waits.
        """
        loop = asyncio.get_running_loop()
        self._expiry = None
        for waiting in self._waiting.values():
            if waiting.deadline_s > loop.time():
                self._expiry = loop.call_at(waiting.deadline_s, self._expire)
                return
            if not waiting.future.done():
                waiting.future.set_exception(
                    CatalogUnavailableError(f"the catalog's writer did not answer in {self._deadline_s:g} s")
                )

    def _connect(self) -> None:
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.get_running_loop().create_task(self._keep_trying(), name="catalog-connect")

    async def _keep_trying(self) -> None:
        delay_s = _FIRST_DELAY_S
        loop = asyncio.get_running_loop()
        while self._waiting:
            try:
                await loop.create_unix_connection(lambda: _ClientConnection(self), str(self._socket_path))
            except OSError:  # it is being started, or replaced
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, _LONGEST_DELAY_S)
            else:
                return


class _ClientConnection(asyncio.Protocol):
    """A connection to one writer."""

    def __init__(self, client: WriterClient) -> None:
        self._client = client
        self._frames = Frames()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._client.connected(cast("asyncio.Transport", transport))

    def data_received(self, data: bytes) -> None:
        for content in self._frames.feed(data):
            self._client.received(content)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._client.disconnected()
