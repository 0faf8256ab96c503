"""Runs scripts, and asks again while Redis cannot be reached for a moment."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.exceptions import NoScriptError, RedisError, ResponseError

from zot.catalog.interface import CatalogUnavailableError
from zot.catalog.redis.errors import may_pass, translated
from zot.databases.redis_calls import RedisScript
from zot.databases.redis_connection import SharedConnection

_LONGEST_S = 5.0
"""How long a call is tried: a failover takes some seconds, and a client gives up soon after."""

_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 0.5


class ScriptCalls:
    """Runs scripts on one connection, on keys with one prefix."""

    def __init__(self, connection: SharedConnection, prefix: str, place: str) -> None:
        """`place` names the server in errors. `close` closes the connection."""
        self._connection = connection
        self._prefix = prefix
        self._place = place

    async def evaluate(self, script: RedisScript, *arguments: Any, replicas: int = 0) -> Any:
        """Return what a script returns. It is run again if its answer is lost, so it has to be idempotent.

        With `replicas`, once as many replicas have what was written. Raises CatalogUnavailableError after
        some seconds, CatalogFullError, CatalogError.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + _LONGEST_S
        pause_s = _SHORTEST_PAUSE_S
        while True:
            try:
                return await self._evaluate_once(script, arguments, replicas)
            except CatalogUnavailableError:
                if loop.time() + pause_s > until:
                    raise
            except (RedisError, OSError) as error:
                passes = may_pass(error)
                if passes and isinstance(error, ResponseError):
                    # A replica that was promoted, a slot that moved: another server may have the keys now.
                    self._connection.drop()
                if not passes or loop.time() + pause_s > until:
                    raise translated(error, self._place) from error
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def command(self, *arguments: Any) -> Any:
        """Return the answer to a command of Redis, which is sent once. Raises CatalogError."""
        try:
            return await self._connection.call(*arguments)
        except (RedisError, OSError) as error:
            raise translated(error, self._place) from error

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def _evaluate_once(self, script: RedisScript, arguments: tuple[Any, ...], replicas: int) -> Any:
        call = self._connection.call
        try:
            answer = await call("EVALSHA", script.sha, 1, self._prefix, *arguments)
        except NoScriptError:
            # A server that has just started. This also makes the script known to it.
            answer = await call("EVAL", script.text, 1, self._prefix, *arguments)
        if replicas:
            reached = await call("WAIT", replicas, _WAIT_MS)
            if reached < replicas:
                raise CatalogUnavailableError(
                    f"the catalog in {self._place}: {reached} of {replicas} replicas have the change in {_WAIT_MS} ms"
                )
        return answer


_WAIT_MS = 1000
