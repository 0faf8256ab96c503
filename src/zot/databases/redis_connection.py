"""One connection to Redis for all tasks of a process: commands are sent as they come, answers matched in order.

A command costs some microseconds this way, where a connection from a pool costs a hundred: the library connects, logs
in and parses, but hands out no connection for each command.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

_Answer = asyncio.Future[Any]


class _ClosedWhileIdleError(Exception):
    """The server has closed a connection on which nothing was to be answered."""


class SharedConnection:
    """A connection that opens with the first command, and again with the first one after it was lost."""

    def __init__(self, client: Any, key: str) -> None:
        """Connect as `client` does; in a cluster, to the node that has `key`. The client is closed by its owner."""
        self._client = client
        self._key = key
        self._unsent: deque[tuple[Iterable[Any], _Answer]] = deque()
        self._expected: deque[_Answer] = deque()
        self._to_send = asyncio.Event()
        self._to_receive = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def call(self, *arguments: Any) -> Any:
        """Return the answer to a command. Raises ResponseError, or RedisError and OSError if the connection is lost.

        It waits no longer than the time limits of the connection.
        """
        answer: _Answer = asyncio.get_running_loop().create_future()
        self._unsent.append((arguments, answer))
        self._to_send.set()
        if self._running is None:
            self._begin()
        return await answer

    def drop(self) -> None:
        """Close the connection: the next command looks again for the server to use."""
        if self._running is not None:
            self._running.cancel()

    async def close(self) -> None:
        """Close the connection. Commands without an answer fail."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    def _begin(self) -> None:
        self._running = asyncio.create_task(self._run())
        self._running.add_done_callback(self._never_begun)

    def _never_begun(self, run: asyncio.Task[None]) -> None:
        """Fail the commands of a connection that was closed before its task ran at all."""
        if self._running is not run:
            return
        self._running = None
        while self._unsent:
            _, answer = self._unsent.popleft()
            if not answer.done():
                answer.set_exception(RedisConnectionError("the connection was closed"))

    async def _run(self) -> None:
        """Serve commands until the connection is lost; then those without an answer fail."""
        lost: BaseException = RedisConnectionError("the connection was closed")
        idle = False
        connection: Any = None
        tasks: list[asyncio.Task[None]] = []
        try:
            connection = await self._connected()
            tasks += [asyncio.create_task(self._send(connection)), asyncio.create_task(self._receive(connection))]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                idle = idle or isinstance(error, _ClosedWhileIdleError)
                if isinstance(error, RedisError | OSError):
                    lost = error  # any other one follows from that one task has closed it under the other
        except (RedisError, OSError) as error:
            lost = error
        finally:
            # Synchronously: a command that comes from now on opens the next connection.
            self._running = None
            unanswered = list(self._expected)
            self._expected.clear()
            if not idle:
                unanswered += [answer for _, answer in self._unsent]
                self._unsent.clear()
            elif self._unsent:
                # They were not sent: the next connection takes them.
                self._to_send.set()
                self._begin()
            for task in tasks:
                task.add_done_callback(_ended)
                task.cancel()
            for answer in unanswered:
                if not answer.done():
                    answer.set_exception(lost)
            if connection is not None:
                with suppress(RedisError, OSError):
                    await connection.disconnect(nowait=True)

    async def _connected(self) -> Any:
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
        return connection

    async def _send(self, connection: Any) -> None:
        used = False
        while True:
            await self._to_send.wait()
            if used and not self._expected and connection._reader.at_eof():  # noqa: SLF001 - no public name
                raise _ClosedWhileIdleError
            used = True
            self._to_send.clear()
            packed: list[bytes] = []
            while self._unsent:
                arguments, answer = self._unsent.popleft()
                packed += connection.pack_command(*arguments)
                self._expected.append(answer)
            self._to_receive.set()
            await connection.send_packed_command(packed, check_health=False)

    async def _receive(self, connection: Any) -> None:
        while True:
            if not self._expected:
                self._to_receive.clear()
                await self._to_receive.wait()
            reply: Any = None
            error: ResponseError | None = None
            try:
                reply = await connection.read_response()
            except ResponseError as refused:
                error = refused
            answer = self._expected.popleft()
            if answer.done():
                continue
            if error is None:
                answer.set_result(reply)
            else:
                answer.set_exception(error)


def _ended(task: asyncio.Task[None]) -> None:
    """Take note of how a half of the connection ended: both fail when it is lost, and one failure is passed on."""
    if not task.cancelled():
        task.exception()
