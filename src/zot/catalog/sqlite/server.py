"""The writer as a separate process, which the others reach by a Unix socket.

The loop does nothing but this: it reads what the connections have sent, carries a batch out, answers, and looks again.
A commit blocks it on purpose: what arrives during the commit makes up the next batch.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from zot.catalog.command import Command
from zot.catalog.interface import CatalogError
from zot.catalog.sqlite.codec import decode_command
from zot.catalog.sqlite.protocol import Frames, FrameTooLargeError, answer_frame
from zot.catalog.sqlite.writer import BATCH_LIMIT, Writer

IDLE_S = 1.0

# A connection with more than this waiting is not read from until they are fewer.
_WAITING_LIMIT = 1024
_BACKLOG = 128
_OPENING_POLL_S = 0.2
# How long the last answers may take to leave.
_FLUSH_S = 1.0

_logger = logging.getLogger(__name__)


async def serve_writer(directory: Path, socket_path: Path, boot: str, stop: asyncio.Event) -> None:
    """Begin the catalog in `directory` for a start of the store, and be its writer (`serve`).

    Raises CatalogUnusableError, OSError if the socket cannot be made.
    """
    await serve(Writer(directory, boot), socket_path, stop)


async def open_begun(directory: Path, boot: str, stop: asyncio.Event, *, syncs: bool) -> Writer | None:
    """Open the catalog that a start has begun (`recovery.begin`), as soon as it can be opened.

    While it is not there, or another one is in its place, nothing is made, and the log says so once. None: `stop` was
    set before. Without `syncs` no commit waits for the disk.
    """
    reason = ""
    while not stop.is_set():
        try:
            writer = Writer(directory, boot, syncs=syncs, begun=True)
        except CatalogError as error:
            if str(error) != reason:
                _logger.error("the catalog's writer waits, and nothing can be changed: %s", error)  # noqa: TRY400
            reason = str(error)
        else:
            if reason:
                _logger.warning("the catalog in %s is back", directory)
            return writer
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _OPENING_POLL_S)
    return None


async def serve(
    opened: Writer, socket_path: Path, stop: asyncio.Event, ready: Callable[[], object] = lambda: None
) -> None:
    """Carry out what clients send until `stop` is set, then answer what was received, and close the writer.

    Only the owner can connect. `ready` is called once they can. Raises OSError if the socket cannot be made.
    """
    with closing(opened) as writer, _listening(socket_path) as listener:
        dispatcher = _Dispatcher(writer)
        server = await asyncio.get_running_loop().create_unix_server(
            lambda: _ServerConnection(dispatcher), sock=listener
        )
        ready()
        try:
            await stop.wait()
        finally:
            server.close()
            await dispatcher.finish()


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """Listen at `path`, in place of what a writer that died left there; nothing is left behind."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        try:
            listener.bind(str(path))
            path.chmod(0o600)  # before it listens: no client can have connected yet
            listener.listen(_BACKLOG)
            yield listener
        finally:
            path.unlink(missing_ok=True)


class _ServerConnection(asyncio.Protocol):
    """One client: its commands wait here until the desk takes them."""

    def __init__(self, dispatcher: _Dispatcher) -> None:
        self._desk = dispatcher
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self.waiting: deque[Command[Any]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._desk.add(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        self._desk.remove(self)

    def data_received(self, data: bytes) -> None:
        try:
            self.waiting.extend(decode_command(content) for content in self._frames.feed(data))
        except (FrameTooLargeError, ValueError, RecursionError):
            _logger.exception("a client of the catalog's writer sent what is no command")
            self.close()
            return
        self._regulate()
        self._desk.call()

    def answer(self, content: bytes) -> None:
        if self._transport is not None:  # else its client asks again
            self._transport.write(content)
        self._regulate()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _regulate(self) -> None:
        """Stop reading while too much waits."""
        full = len(self.waiting) > _WAITING_LIMIT
        if self._transport is None or full == self._paused:
            return
        self._paused = full
        if full:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()


class _Dispatcher:
    """Has commands carried out, taken from the connections in turn: none waits for all of another's."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._connections: deque[_ServerConnection] = deque()
        self._called = False
        self._worked = False
        """Whether there was a batch since the last look for a pause."""
        self._empty = asyncio.Event()
        self._next_look = self._loop.call_later(IDLE_S, self._look)

    def add(self, connection: _ServerConnection) -> None:
        self._connections.append(connection)

    def remove(self, connection: _ServerConnection) -> None:
        """Forget a connection; what it sent and was not carried out, its client will send again."""
        self._connections.remove(connection)
        if not self._connections:
            self._empty.set()

    def call(self) -> None:
        """Schedule a batch, after the other connections that are ready were read."""
        if not self._called:
            self._called = True
            self._loop.call_soon(self._work)

    async def finish(self) -> None:
        """Carry out what has been received, and close the connections."""
        while self._batch():
            pass
        for connection in list(self._connections):
            connection.close()
        if self._connections:
            self._empty.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), _FLUSH_S)
        self._next_look.cancel()

    def _work(self) -> None:
        self._called = False
        self._batch()
        self._writer.tend(idle=False)
        self._worked = True
        if any(connection.waiting for connection in self._connections):
            self.call()

    def _look(self) -> None:
        """Let the writer tidy up in each second without a batch: one timer, not one a batch."""
        if not self._worked:
            self._writer.tend(idle=True)
        self._worked = False
        self._next_look = self._loop.call_later(IDLE_S, self._look)

    def _batch(self) -> bool:
        """Carry out a batch and answer it; tell whether there was anything to do."""
        taken = self._take()
        if not taken:
            return False
        outcomes = self._writer.run([command for _, command in taken])
        for connection, command in reversed(taken[len(outcomes) :]):
            connection.waiting.appendleft(command)
        answers: dict[_ServerConnection, list[bytes]] = {}
        for (connection, command), outcome in zip(taken, outcomes, strict=False):
            answers.setdefault(connection, []).append(answer_frame(command, outcome))
        for connection, frames in answers.items():
            connection.answer(b"".join(frames))
        return True

    def _take(self) -> list[tuple[_ServerConnection, Command[Any]]]:
        """Take commands from the connections in turn, beginning with another one each time."""
        self._connections.rotate(-1)
        ready = deque(connection for connection in self._connections if connection.waiting)
        taken: list[tuple[_ServerConnection, Command[Any]]] = []
        while ready and len(taken) < BATCH_LIMIT:
            connection = ready.popleft()
            taken.append((connection, connection.waiting.popleft()))
            if connection.waiting:
                ready.append(connection)
        return taken
