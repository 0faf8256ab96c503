"""The catalog in Redis does what the in-memory one does, whatever is asked of it in whatever order."""

from __future__ import annotations

import asyncio
import secrets
from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from catalog.test_model import PEERS, THIS, batches, everything
from servers.redis import RedisServer
from zot.catalog.change_log import TrimChanges
from zot.catalog.command import Command
from zot.catalog.interface import Catalog, CatalogError
from zot.catalog.memory.driver import MemoryCatalog
from zot.catalog.owner_commands import ReleaseLease, RenewOwner
from zot.catalog.redis.engine import RedisCatalogEngine
from zot.catalog.redis.server import RedisPlace
from zot.config.redis_options import redis_options

# Longer than a test: the two have clocks of their own.
LONG_S = 600.0
_TIME_NS = 10**15


def plain(value: Any) -> Any:
    """Return a value without its times, which differ."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return "time" if isinstance(value, int) and value > _TIME_NS else value


def with_long_times(command: Command[Any], id_: str) -> Command[Any]:
    """Return a command in which no time passes, under an id."""
    fields: dict[str, Any] = {"id": id_}
    if isinstance(command, RenewOwner):
        fields["lease_s"] = LONG_S
    if isinstance(command, TrimChanges) and command.older_than_s:
        fields["older_than_s"] = LONG_S
    return msgspec.structs.replace(command, **fields)


async def outcome(catalog: Catalog, command: Command[Any]) -> Any:
    """Return what comes of a command: of a refused one, the kind of the error."""
    try:
        return plain(msgspec.to_builtins(await catalog.do(command)))
    except CatalogError as error:
        return type(error)


async def compare(url: str, commands: list[Command[Any]]) -> None:
    """Give both the same commands; compare each outcome, and at the end all that can be read."""
    options, _ = redis_options({"url": url, "keyprefix": secrets.token_hex(8)}, "zot", "cacheDriver")
    model = MemoryCatalog(owner=THIS)
    catalog = RedisCatalogEngine(RedisPlace(options), "store", is_alone=True).open(THIS)
    try:
        ids = count()
        begun = [RenewOwner(owner=each) for each in PEERS]
        for each in [*begun, *commands]:
            command = with_long_times(each, str(next(ids)))
            expected = await outcome(model, command)
            assert await outcome(catalog, command) == expected, command
            if isinstance(command, ReleaseLease):
                continue
            repeated = await outcome(model, command)
            assert await outcome(catalog, command) == repeated, command
        found = plain(msgspec.to_builtins(await everything(catalog)))
        assert found == plain(msgspec.to_builtins(await everything(model)))
    finally:
        await catalog.close()


@pytest.mark.needs("redis-server")
@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
@given(first=batches(), second=batches())
def test_redis_does_what_the_model_does(
    redis_server: RedisServer, first: list[Command[Any]], second: list[Command[Any]]
) -> None:
    """Outcomes are equal, those of repeated commands too, and so is all that can be read."""
    asyncio.run(compare(redis_server.url, first + second))
