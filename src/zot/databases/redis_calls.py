"""Commands and scripts on a Redis server, each with a time limit and one kind of error."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zot.config.redis_options import RedisOptions
from zot.databases.redis_client import connect, disconnect

if TYPE_CHECKING:
    from zot.databases.redis_connection import SharedConnection

LONGEST_S = 2.0
"""How long a request waits for Redis at most, regardless of timeouts and retries of the connections."""


@dataclass(frozen=True, slots=True)
class RedisScript:
    """A procedure in Lua, which Redis runs as one atomic step.

    KEYS[1] begins the names of all keys that it uses: they share a hash tag, so that a node of a cluster has them all.
    """

    text: str
    repeatable: bool = False
    """Whether a call may be repeated if its result was lost: it only reads."""
    sha: str = field(init=False, default="")

    def __post_init__(self) -> None:
        """Compute the name under which Redis keeps the script."""
        sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", sha)


class RedisCalls:
    """Sends commands to Redis. Every method raises the error that it was opened with while Redis is unavailable.

    A connection that was lost is made again by the next call.
    """

    def __init__(self, client: Any, unavailable: type[Exception], subject: str, key: str = "") -> None:
        """Own the client, which is closed with this; `subject` begins the texts of errors.

        With `key` all calls are made on one connection, in a cluster to the node that has the key.
        """
        self.client = client
        self._key = key
        self._connection: SharedConnection | None = None
        self._unavailable = unavailable
        self._subject = subject

    @classmethod
    def open(cls, options: RedisOptions, unavailable: type[Exception], subject: str, key: str) -> RedisCalls:
        """Return calls on one connection, which is opened with the first. Raises ConfigurationError."""
        return cls(connect(options), unavailable, subject, key)

    async def read(self, *command: Any) -> Any:
        """Return the result of a command that only reads. It is repeated once if the connection is lost."""
        return await self._limited(lambda: self._send(*command), repeatable=True)

    async def change(self, *command: Any) -> Any:
        """Return the result of a command, which is sent once. If this raises, it may have been carried out."""
        return await self._limited(lambda: self._send(*command))

    async def run(self, script: RedisScript, prefix: str, *arguments: Any) -> Any:
        """Return the result of a script on the keys that begin with `prefix`."""

        async def call() -> Any:
            from redis.exceptions import NoScriptError  # noqa: PLC0415 - an extra

            try:
                return await self._send("EVALSHA", script.sha, 1, prefix, *arguments)
            except NoScriptError:  # Redis has been restarted, or has not seen it yet
                return await self._send("EVAL", script.text, 1, prefix, *arguments)

        return await self._limited(call, repeatable=script.repeatable)

    async def scan(self, pattern: str) -> AsyncIterator[bytes]:
        """Yield the keys that match a pattern, some of them perhaps twice."""
        with self._translated():
            async for key in self.client.scan_iter(match=pattern, count=500):
                yield key

    async def close(self) -> None:
        """Close all connections."""
        if self._connection is not None:
            await self._connection.close()
        with self._translated():
            await disconnect(self.client)

    async def _send(self, *command: Any) -> Any:
        if not self._key:
            return await self.client.execute_command(*command)
        if self._connection is None:
            from zot.databases.redis_connection import SharedConnection  # noqa: PLC0415 - an extra

            self._connection = SharedConnection(self.client, self._key)
        return await self._connection.call(*command)

    async def _limited(self, call: Callable[[], Awaitable[Any]], *, repeatable: bool = False) -> Any:
        with self._translated():
            if self._key:
                async with asyncio.timeout(LONGEST_S):
                    return await (_repeated(call) if repeatable else call())
        task = asyncio.ensure_future(_repeated(call) if repeatable else call())
        try:
            # Cancelled without waiting for the end: the library may take long to close a connection.
            done, _ = await asyncio.wait({task}, timeout=LONGEST_S)
        finally:
            task.cancel()
        with self._translated():
            if not done:
                raise TimeoutError
            return task.result()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        from redis.exceptions import MovedError, ReadOnlyError, RedisError  # noqa: PLC0415 - an extra

        try:
            yield
        except (TimeoutError, RedisError, OSError) as error:
            if self._connection is not None and isinstance(error, MovedError | ReadOnlyError):
                self._connection.drop()  # after a failover another server has the keys
            why = str(error) or f"Redis has not responded for {LONGEST_S:.0f} s"
            raise self._unavailable(f"{self._subject} cannot be reached: {why}") from error


async def _repeated(call: Callable[[], Awaitable[Any]]) -> Any:
    from redis.exceptions import ConnectionError as ConnectionLostError  # noqa: PLC0415 - an extra

    try:
        return await call()
    except ConnectionLostError:
        return await call()
