"""A store in a bucket of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from layout.object_store.bucket import BucketStore
from servers.versitygw import S3Server
from zot.catalog.interface import Catalog
from zot.config.driver_options import S3, driver_options
from zot.storage.object_store.s3 import S3Objects
from zot.storage.threads import ThreadPools

MakeBucketStore = Callable[..., BucketStore]


@pytest.fixture
async def make_store(s3_server: S3Server, tmp_path: Path, pools: ThreadPools) -> AsyncIterator[MakeBucketStore]:
    """Return a function that opens the test's bucket, once for each process."""
    parameters = s3_server.make_bucket()
    opened: list[BucketStore] = []

    def make(catalog: Catalog | None = None, wait_s: float = 5.0) -> BucketStore:
        objects = S3Objects(driver_options(parameters, S3, "storageDriver"), "zot")
        opened.append(BucketStore(objects, tmp_path / "locks", pools, catalog, wait_s))
        return opened[-1]

    yield make
    for store in opened:
        await store.close()


@pytest.fixture
def store(make_store: MakeBucketStore) -> BucketStore:
    """The store of a server that is one process, with the catalog in memory."""
    return make_store()
