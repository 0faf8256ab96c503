"""Calls on one connection to Redis: matched with their results, limited in time, and never sent twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from servers.redis import RedisServer
from zot.config.redis_options import redis_options
from zot.databases.redis_calls import RedisCalls, RedisScript

pytestmark = pytest.mark.needs("redis-server")


class AwayError(Exception):
    """Redis cannot be reached."""


def calls_to(server: RedisServer) -> RedisCalls:
    """Return calls that connect on first use."""
    options, _ = redis_options({"name": "redis", "url": server.url}, "zot", "storage.cacheDriver")
    return RedisCalls.open(options, AwayError, "the thing", "{test}")


async def test_concurrent_calls_get_their_own_results(tmp_path: Path) -> None:
    """Also when one of them is an error, or is given up."""
    with RedisServer(tmp_path) as server:
        calls = calls_to(server)
        await calls.change("SET", "{test}text", "no number")
        echoes = [calls.read("ECHO", str(number)) for number in range(50)]
        found = await asyncio.gather(*echoes, calls.change("INCR", "{test}text"), return_exceptions=True)
        assert found[:50] == [str(number).encode() for number in range(50)]
        assert isinstance(found[50], AwayError)
        given_up = asyncio.ensure_future(calls.read("ECHO", "late"))
        await asyncio.sleep(0)
        given_up.cancel()
        assert await calls.read("ECHO", "next") == b"next"
        await calls.close()


async def test_a_change_after_a_restart_of_redis_is_sent_once(tmp_path: Path) -> None:
    """A connection that was closed while nothing was sent is replaced before the change; scripts are known again."""
    count = RedisScript("return redis.call('INCR', KEYS[1] .. 'count')")
    with RedisServer(tmp_path) as server:
        calls = calls_to(server)
        assert await calls.run(count, "{test}") == 1
        # In threads: the event loop learns meanwhile that the connection is closed.
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        assert await calls.run(count, "{test}") == 1
        assert await calls.read("GET", "{test}count") == b"1"
        await calls.close()


async def test_a_change_that_has_no_result_is_not_repeated(tmp_path: Path) -> None:
    """Redis that stops while it has the change may have carried it out: the caller is told that it is unknown."""
    with RedisServer(tmp_path) as server:
        calls = calls_to(server)
        assert await calls.change("INCR", "{test}count") == 1
        server.freeze()
        with pytest.raises(AwayError, match="has not responded"):
            await calls.change("INCR", "{test}count")
        server.thaw()
        assert await calls.read("GET", "{test}count") == b"2"
        server.kill()
        with pytest.raises(AwayError, match="the thing cannot be reached"):
            await calls.change("INCR", "{test}count")
        await calls.close()
