"""The scripts that Redis runs, as they are composed."""

from __future__ import annotations

import inspect
import re

import pytest
from redis import asyncio as redis

from servers.redis import RedisServer
from zot.catalog.redis.reader import RedisReader
from zot.catalog.redis.scripts import command_script, read_script


def functions(text: str) -> set[str]:
    """Return the names of the functions that a script builds."""
    return set(re.findall(r"function ([a-zA-Z_.]+)\(", text))


def test_a_script_builds_no_more_than_it_needs() -> None:
    """Redis builds all functions of a script with each call."""
    assert functions(read_script("manifest_content").text) == {"key", "is_begun", "reads.manifest_content"}
    touch = functions(command_script("TouchBlob").text)
    assert {"handlers.TouchBlob", "blobs.clear_mark", "blobs.settle"} <= touch
    assert not {"handlers.PutBlob", "manifests.store", "uploads.get"} & touch


@pytest.mark.needs("redis-server")
async def test_the_server_takes_each_read(redis_server: RedisServer) -> None:
    """No script has an error of syntax, and no read is without one."""
    names = set(re.findall(r'self\._read\("(\w+)"', inspect.getsource(RedisReader)))
    assert len(names) > 20
    async with redis.Redis.from_url(redis_server.url) as client:
        for name in names:
            script = read_script(name)
            assert f"reads.{name}" in functions(script.text)
            assert await client.script_load(script.text) == script.sha
