"""Replicas know of each other, whichever engine they share; a server announces itself while it runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from accounts.shared_engines import SHARED_ENGINES, replicas
from servers.redis import RedisServer
from zot import __version__
from zot.accounts.engine import AccountsEngine
from zot.accounts.memory_engine import MemoryAccountsEngine
from zot.accounts.redis_engine import RedisAccountsEngine
from zot.catalog.memory.driver import MemoryCatalog
from zot.catalog.owner_commands import WORK_LEASES
from zot.config.load import load_tree
from zot.extensions.search.interface import IndexStatus, Search
from zot.replicas.interface import Replica, Replicas, ReplicasUnavailableError
from zot.replicas.memory import MemoryReplicas
from zot.server.owner_lease import OwnerLease
from zot.server.plan import make_plan
from zot.server.presence import Presence

FIRST = Replica("owner-1", "one.example.org", "0.0.0.0:8080", "1.0", 10.25, ("export", "import"), 3)
SECOND = Replica("owner-2", "two.example.org", "0.0.0.0:8080", "1.1", 20.5)


@pytest.fixture(params=["memory", *SHARED_ENGINES])
def engines(request: pytest.FixtureRequest) -> Iterator[tuple[AccountsEngine, AccountsEngine]]:
    """The engines of two replicas; memory has one for both."""
    if request.param == "memory":
        engine = MemoryAccountsEngine()
        yield engine, engine
    else:
        yield replicas(request, request.param)


async def known(store: Replicas) -> list[Replica]:
    """Return who is there."""
    return [each.replica for each in await store.all()]


async def test_replicas_see_each_other_until_they_are_withdrawn(
    engines: tuple[AccountsEngine, AccountsEngine], request: pytest.FixtureRequest
) -> None:
    """In the order of their starts, each with its last announcement and the seconds since."""
    one = engines[0].open_replicas()
    other = one if request.node.callspec.params["engines"] == "memory" else engines[1].open_replicas()
    assert await known(one) == []
    await other.announce(SECOND)
    await one.announce(FIRST)
    await one.announce(FIRST)
    assert await known(other) == [FIRST, SECOND]
    assert all(0 <= each.silent_s < 60 for each in await other.all())
    await one.withdraw(FIRST.owner)
    await one.withdraw(FIRST.owner)
    assert await known(other) == [SECOND]
    for each in {id(each): each for each in (one, other)}.values():
        await each.close()


class Index:
    """A search index that is three changes behind, once it is filled."""

    complete = False

    async def status(self) -> IndexStatus:
        return IndexStatus(complete=self.complete, importing=False, done=0, total=9, behind=3, repositories=0, images=0)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.01)


class Announced(MemoryReplicas):
    """Replicas that can be unavailable, and tell what was announced last."""

    away = False
    last: Replica | None = None
    failures = 0

    async def announce(self, replica: Replica) -> None:
        if self.away:
            self.failures += 1
            raise ReplicasUnavailableError("away")
        self.last = replica
        await super().announce(replica)


async def test_a_server_announces_what_it_holds_while_it_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With its leases and the state of its index; an engine that is away is logged once and costs nothing else."""
    plan = make_plan(load_tree({"storage": {"rootDirectory": str(tmp_path)}}).config, None, workers=0, read_only=False)
    catalog, store, index = MemoryCatalog(owner=plan.owner), Announced(), Index()
    lease = OwnerLease(catalog)
    presence = Presence(store, plan, lease, cast("Search", index), announce_s=0.01)
    running = asyncio.create_task(presence.run())
    await until(lambda: store.last is not None)
    assert store.last is not None
    assert (store.last.owner, store.last.version, store.last.started_s) == (plan.owner, __version__, plan.started_s)
    assert (store.last.leases, store.last.behind) == ((), None)
    assert plan.started_s <= time.time()
    store.away = True
    await until(lambda: store.failures > 2)
    await lease.renew()
    index.complete = True
    store.away = False
    await until(lambda: store.last is not None and store.last.leases == WORK_LEASES and store.last.behind == 3)
    assert caplog.text.count("does not appear among the replicas") == 1
    running.cancel()
    await asyncio.wait([running])
    await presence.end()
    assert await known(store) == []
    await catalog.close()


@pytest.mark.needs("redis-server")
async def test_an_unreadable_announcement_is_named(redis_server: RedisServer, request: pytest.FixtureRequest) -> None:
    """What another program wrote is an error that says so."""
    one, _ = replicas(request, "shared redis")
    assert isinstance(one, RedisAccountsEngine)
    store = one.open_replicas()
    await store.announce(FIRST)
    prefix = f"{one._prefix}replicas:"
    calls = store._calls  # type: ignore[attr-defined]
    await calls.change("HSET", f"{prefix}announced", FIRST.owner, "no announcement")
    with pytest.raises(ReplicasUnavailableError, match="unreadable"):
        await store.all()
    await store.close()
