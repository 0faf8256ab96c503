"""The connection to Redis that all tasks of a process share."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from zot.config.redis_options import redis_options
from zot.databases.redis_client import connect, disconnect
from zot.databases.redis_connection import SharedConnection


async def test_a_command_fails_if_its_connection_is_closed_before_it_began() -> None:
    """It does not wait for a connection that no task opens any more, and neither does the next one."""
    options, _ = redis_options({"url": "redis://127.0.0.1:1"}, "zot", "cacheDriver")
    client = connect(options)
    connection = SharedConnection(client, "key")
    answer = asyncio.ensure_future(connection.call("PING"))
    await asyncio.sleep(0)
    connection.drop()
    with pytest.raises(RedisConnectionError, match="closed"):
        await answer
    with pytest.raises(RedisConnectionError):
        await connection.call("PING")
    await connection.close()
    await disconnect(client)
