"""One connection to Redis for all tasks of a process: commands are sent as they come, answers matched in order.

A command costs some microseconds this way, where a connection from a pool costs a hundred: the library connects and
logs in; then its parser is fed as bytes arrive, and no task runs between a command and its answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

_Answer = asyncio.Future[Any]

_UNFINISHED = object()


class SharedConnection:
    """A connection that opens with the first command, and again with the first one after it was lost."""

    def __init__(self, client: Any, key: str) -> None:
        """Connect as `client` does; in a cluster, to the node that has `key`. The client is closed by its owner."""
        self._client = client
        self._key = key
        self._unsent: list[tuple[bytes, _Answer]] = []
        self._opening: asyncio.Task[_Line] | None = None
        self._line: _Line | None = None

    async def call(self, *arguments: Any) -> Any:
        """Return the answer to a command. Raises ResponseError, or RedisError and OSError if the connection is lost.

        It waits no longer than the time limits of the connection.
        """
        packed: bytes = hiredis.pack_command(arguments)
        answer: _Answer = asyncio.get_running_loop().create_future()
        if self._line is not None:
            self._line.send(packed, answer)
        else:
            self._unsent.append((packed, answer))
            if self._opening is None:
                self._opening = asyncio.create_task(self._opened())
                self._opening.add_done_callback(self._after_opening)
        return await answer

    def drop(self) -> None:
        """Close the connection: the next command looks again for the server to use. Commands without an answer fail."""
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()
            self._fail_unsent(RedisConnectionError("the connection was closed"))
        if self._line is not None:
            self._line.lose(RedisConnectionError("the connection was closed"))

    async def close(self) -> None:
        """Close the connection. Commands without an answer fail."""
        opening, line = self._opening, self._line
        self.drop()
        if opening is not None:
            await asyncio.wait([opening])
        if line is not None:
            await line.closed

    async def _opened(self) -> _Line:
        client = self._client
        if hasattr(client, "nodes_manager"):
            await client.initialize()
            node = client.get_node_from_key(self._key)
            connection = node.connection_class(**node.connection_kwargs)
        else:
            connection = client.connection_pool.make_connection()
        # A caller decides itself whether and when it asks again.
        connection.retry = Retry(NoBackoff(), 0)
        await connection.connect()
        return _Line(connection, self._lost)

    def _after_opening(self, opening: asyncio.Task[_Line]) -> None:
        error = None if opening.cancelled() else opening.exception()
        if self._opening is not opening:
            if not opening.cancelled() and error is None:
                opening.result().lose(RedisConnectionError("the connection was closed"))
            return
        self._opening = None
        if opening.cancelled() or error is not None:
            is_known = isinstance(error, RedisError | OSError)
            self._fail_unsent(error if error and is_known else RedisConnectionError(f"no connection: {error}"))
            return
        line = opening.result()
        if not line.is_lost:
            self._line = line
        unsent, self._unsent = self._unsent, []
        for packed, answer in unsent:
            line.send(packed, answer)

    def _fail_unsent(self, error: BaseException) -> None:
        unsent, self._unsent = self._unsent, []
        for _, answer in unsent:
            if not answer.done():
                answer.set_exception(error)

    def _lost(self, line: _Line) -> None:
        if self._line is line:
            self._line = None


class _Line(asyncio.Protocol):
    """An open connection, which answers commands in their order."""

    def __init__(self, connection: Any, on_lost: Callable[[_Line], None]) -> None:
        """Take over the transport of a connection of the library that has logged in."""
        self._connection = connection
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self.is_lost = False
        self._transport: asyncio.WriteTransport = connection._writer.transport  # noqa: SLF001 - no public name
        # The library's own kinds of errors, for what the server refuses.
        parse_error = connection._parser.parse_error  # noqa: SLF001 - no public name
        self._parser = hiredis.Reader(protocolError=InvalidResponse, replyError=parse_error, notEnoughData=_UNFINISHED)
        self._expected: deque[_Answer] = deque()
        self._to_write: list[bytes] = []
        self._limit_s: float | None = connection.socket_timeout
        self._heard = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        closed_by_server = connection._reader.at_eof()  # noqa: SLF001 - no public name
        self._transport.set_protocol(self)
        if closed_by_server or self._transport.is_closing():
            self.closed.set_result(None)  # the library's protocol was told
            self.lose(RedisConnectionError("the server closed the connection"))

    def send(self, packed: bytes, answer: _Answer) -> None:
        """Send a command at once if no other is under way, else with all that come in this turn of the loop."""
        if self.is_lost:
            answer.set_exception(RedisConnectionError("the connection was closed"))
            return
        if not self._expected:
            self._heard = self._loop.time()
            if self._timer is None and self._limit_s is not None:
                self._timer = self._loop.call_later(self._limit_s, self._check_time)
            self._transport.write(packed)
        else:
            if not self._to_write:
                self._loop.call_soon(self._write)
            self._to_write.append(packed)
        self._expected.append(answer)

    def lose(self, error: BaseException) -> None:
        """Close the connection; commands without an answer fail."""
        if self.is_lost:
            return
        self.is_lost = True
        self._on_lost(self)
        if self._timer is not None:
            self._timer.cancel()
        self._transport.abort()
        self._connection._close()  # noqa: SLF001 - no public name; it forgets the transport
        expected = list(self._expected)
        self._expected.clear()
        for answer in expected:
            if not answer.done():
                answer.set_exception(error)

    def data_received(self, data: bytes) -> None:
        """Give the answers to those who wait for them."""
        self._heard = self._loop.time()
        try:
            self._parser.feed(data)
            while (reply := self._parser.gets()) is not _UNFINISHED:
                self._give(reply)
        except InvalidResponse as error:
            self.lose(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what has no answer yet."""
        self.lose(exc or RedisConnectionError("the server closed the connection"))
        if not self.closed.done():
            self.closed.set_result(None)

    def _give(self, reply: Any) -> None:
        if isinstance(reply, hiredis.PushNotification) or not self._expected:
            return
        answer = self._expected.popleft()
        if answer.done():
            return
        if isinstance(reply, Exception):
            answer.set_exception(reply)
        else:
            answer.set_result(reply)

    def _write(self) -> None:
        if not self.is_lost:
            self._transport.write(b"".join(self._to_write))
        self._to_write.clear()

    def _check_time(self) -> None:
        """Lose the connection if nothing has come for too long, and look again later while anything is expected."""
        self._timer = None
        if not self._expected or self._limit_s is None:
            return
        left_s = self._heard + self._limit_s - self._loop.time()
        if left_s <= 0:
            self.lose(RedisTimeoutError(f"the server has not answered for {self._limit_s:g} s"))
        else:
            self._timer = self._loop.call_later(left_s, self._check_time)
