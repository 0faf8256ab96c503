"""The work of a replica that is killed, or suspended for longer than its lease, is taken over by another one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import uuid
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from replicas.replica_program import RENEW_S, engine_of
from servers.postgres import PostgresServer
from servers.redis import RedisServer
from zot.catalog.interface import Catalog, LeaseEndedError
from zot.catalog.owner_commands import WORK_LEASES, AcquireLease
from zot.server.owner_lease import OwnerLease

OTHER, SELF = "other", "self"


@pytest.fixture(
    params=[
        pytest.param("redis", marks=pytest.mark.needs("redis-server")),
        pytest.param("postgres", marks=pytest.mark.needs("postgres")),
    ]
)
def driver(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A `cacheDriver` whose catalog is empty."""
    name = f"takeover_{uuid.uuid4().hex}"
    if request.param == "redis":
        redis: RedisServer = request.getfixturevalue("redis_server")
        return {"name": "redis", "url": redis.url, "keyprefix": name}
    postgres: PostgresServer = request.getfixturevalue("postgres_server")
    postgres.sql(f"CREATE DATABASE {name}")
    return {"name": "postgres", "url": postgres.url(name)}


@asynccontextmanager
async def other_replica(driver: dict[str, Any]) -> AsyncIterator[Process]:
    """Run a replica in another process, which holds all leases of background work."""
    program = str(Path(__file__).with_name("replica_program.py"))
    path = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = await asyncio.create_subprocess_exec(
        sys.executable, program, json.dumps(driver), OTHER, stdout=PIPE, env=path
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            assert await process.stdout.readline() == b"holds\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def this_replica(driver: dict[str, Any]) -> AsyncIterator[tuple[Catalog, OwnerLease]]:
    """Open the catalog as another owner, with a lease of which `renew` is called by hand."""
    catalog = engine_of(driver).open(SELF)
    yield catalog, OwnerLease(catalog, lease_s=60.0)
    await catalog.close()


async def take_over(lease: OwnerLease) -> None:
    """Renew until all leases of background work are acquired."""
    async with asyncio.timeout(60):
        while not all(lease.holds(name) for name in WORK_LEASES):
            await lease.renew()
            await asyncio.sleep(RENEW_S)


async def test_the_work_of_a_killed_replica_is_taken_over(driver: dict[str, Any]) -> None:
    """Not while its lease is held, and once it has expired."""
    async with this_replica(driver) as (_, lease), other_replica(driver) as process:
        await lease.renew()
        assert not any(lease.holds(name) for name in WORK_LEASES)
        process.kill()
        await take_over(lease)


async def test_a_replica_that_was_suspended_is_replaced_and_learns_of_it(driver: dict[str, Any]) -> None:
    """What it sends after another one took over is refused, and it ends, to start again as a new owner."""
    async with this_replica(driver) as (catalog, lease), other_replica(driver) as process:
        process.send_signal(signal.SIGSTOP)
        await take_over(lease)
        with pytest.raises(LeaseEndedError):
            await catalog.do(AcquireLease(name=WORK_LEASES[0], owner=OTHER))
        process.send_signal(signal.SIGCONT)
        assert process.stdout is not None
        async with asyncio.timeout(60):
            assert await process.stdout.readline() == b"ended\n"
        await lease.renew()
        assert all(lease.holds(name) for name in WORK_LEASES)
