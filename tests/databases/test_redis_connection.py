"""The connection to Redis that all tasks of a process share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from servers.redis import RedisServer
from zot.config.redis_options import redis_options
from zot.databases.redis_client import connect, disconnect
from zot.databases.redis_connection import SharedConnection

redis_needed = pytest.mark.needs("redis-server")


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[SharedConnection]:
    """Yield a connection to the server at a URL."""
    options, _ = redis_options({"url": url}, "zot", "cacheDriver")
    client = connect(options)
    connection = SharedConnection(client, "key")
    yield connection
    await connection.close()
    await disconnect(client)


async def test_a_command_fails_if_its_connection_is_closed_before_it_began() -> None:
    """It does not wait for a connection that no task opens any more, and neither does the next one."""
    async with connected("redis://127.0.0.1:1") as connection:
        answer = asyncio.ensure_future(connection.call("PING"))
        await asyncio.sleep(0)
        connection.drop()
        with pytest.raises(RedisConnectionError, match="closed"):
            await answer
        with pytest.raises(RedisConnectionError):
            await connection.call("PING")


@redis_needed
async def test_each_command_gets_its_own_answer(redis_server: RedisServer) -> None:
    """Whatever the size of answers, where others are refused, and where a caller has stopped waiting."""
    async with connected(redis_server.url) as connection:
        values = [str(number).encode() * (number**3) for number in range(100)]
        calls = [asyncio.ensure_future(connection.call("ECHO", value)) for value in values]
        refused = asyncio.ensure_future(connection.call("HGET", "key"))
        calls += [asyncio.ensure_future(connection.call("ECHO", value)) for value in values]
        await asyncio.sleep(0)
        for call in calls[::7]:
            call.cancel()
        with pytest.raises(ResponseError, match="number of arguments"):
            await refused
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert [each for each in found if isinstance(each, bytes)] == [
            value for number, value in enumerate(values * 2) if number % 7
        ]


@redis_needed
async def test_a_connection_that_was_closed_while_idle_is_opened_again(redis_server: RedisServer) -> None:
    """The next command does not fail: it was not sent on the old one."""
    async with connected(redis_server.url) as connection:
        before = await connection.call("CLIENT", "ID")
        with redis.Redis.from_url(redis_server.url) as admin:
            admin.client_kill_filter(_id=before)
            while any(each["id"] == str(before) for each in await asyncio.to_thread(admin.client_list)):
                continue
        while connection._line is not None:  # noqa: ASYNC110 - until the event loop has read that it ended
            await asyncio.sleep(0)
        assert await connection.call("CLIENT", "ID") > before


@redis_needed
async def test_a_server_that_stops_answering_is_given_up(tmp_path: Path) -> None:
    """All commands under way fail after the time limit, and the next one opens a connection."""
    with RedisServer(tmp_path) as server:
        async with connected(f"{server.url}?read_timeout=200ms&write_timeout=200ms") as connection:
            assert await connection.call("PING") == b"PONG"
            server.freeze()
            calls = [asyncio.ensure_future(connection.call("PING")) for _ in range(3)]
            found = await asyncio.gather(*calls, return_exceptions=True)
            server.thaw()
            assert [type(each) for each in found] == [RedisTimeoutError] * 3
            assert await connection.call("PING") == b"PONG"
