"""What each server of a shared catalog does about its lease: `replica_program.py DRIVER OWNER`.

DRIVER is a `cacheDriver` as JSON. It prints `holds` once it holds the leases of background work, and `ended` when
another replica has taken over.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from zot.catalog.engine import CatalogEngine
from zot.catalog.interface import LeaseEndedError
from zot.catalog.owner_commands import WORK_LEASES
from zot.catalog.postgres.engine import PostgresCatalogEngine
from zot.catalog.redis.engine import RedisCatalogEngine
from zot.catalog.redis.server import RedisPlace
from zot.config.postgres_address import driver_address
from zot.config.redis_options import redis_options
from zot.server.owner_lease import OwnerLease

LEASE_S = 2.0
RENEW_S = 0.2


def engine_of(driver: dict[str, Any]) -> CatalogEngine:
    """Return the engine of a catalog that several servers share."""
    if driver["name"] == "redis":
        options, _ = redis_options(driver, "zot", "storage.cacheDriver")
        return RedisCatalogEngine(RedisPlace(options), "store", is_alone=False)
    return PostgresCatalogEngine(driver_address(driver, "storage.cacheDriver"), "store", is_alone=False)


async def main(driver: str, owner: str) -> None:
    """Keep the lease of an owner until it ends."""
    catalog = engine_of(json.loads(driver)).open(owner)
    lease = OwnerLease(catalog, lease_s=LEASE_S, renew_s=RENEW_S, retry_s=RENEW_S)
    running = asyncio.create_task(lease.run())
    for name in WORK_LEASES:
        await lease.acquired(name)
    print("holds", flush=True)  # noqa: T201 - read by the test
    try:
        await running
    except LeaseEndedError:
        print("ended", flush=True)  # noqa: T201 - read by the test
    await catalog.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
