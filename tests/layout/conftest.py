"""A store on a directory of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from layout.store import Store
from zot.catalog.interface import Catalog
from zot.catalog.memory.driver import MemoryCatalog
from zot.catalog.sqlite.driver import open_in_thread
from zot.storage.disk import Disk
from zot.storage.threads import ThreadPools

MakeStore = Callable[..., Store]


@pytest.fixture(scope="session")
def pools() -> Iterator[ThreadPools]:
    """The threads that all tests share."""
    pools = ThreadPools()
    yield pools
    pools.close()


@pytest.fixture
async def make_store(tmp_path: Path, pools: ThreadPools) -> AsyncIterator[MakeStore]:
    """Return a function that opens the test's store, once for each process."""
    opened: list[Store] = []

    def make(catalog: Catalog | None = None, disk: Disk | None = None, wait_s: float = 5.0) -> Store:
        opened.append(Store(tmp_path / "root", pools, catalog, disk, wait_s))
        return opened[-1]

    yield make
    for store in opened:
        await store.close()


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, make_store: MakeStore) -> AsyncIterator[Store]:
    """The store of a server that is one process, with each kind of catalog."""
    catalog = (
        MemoryCatalog() if request.param == "memory" else open_in_thread(tmp_path / "catalog", "boot", syncs=False)
    )
    store = make_store(catalog)
    yield store
    await store.close()
    await catalog.close()
