"""A file system that is really full: uploads are refused, deletes work, and the store recovers once there is space."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from crash.scenarios import APP, FIRST, SECOND, push
from crash.second_reader import Holdings
from crash.stage import Stage
from crash.store import Store, digest_of
from zot.catalog.interface import CatalogFullError
from zot.registry.errors import InsufficientStorage
from zot.storage.interface import StorageFullError

MIB = 1024 * 1024
SIZE_BYTES = 24 * MIB
KEPT_BYTES = 8 * MIB
REFUSALS = (StorageFullError, CatalogFullError, InsufficientStorage)


@pytest.fixture
def small(stage: Stage) -> Iterator[Stage]:
    """A stage whose root is a file system of 24 MiB."""
    stage.clear()
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "tmpfs", stage.root],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounting.returncode:
        pytest.skip(f"a file system can be mounted by root alone: {mounting.stderr.strip()}")
    yield stage
    subprocess.run(["umount", "--lazy", stage.root], check=True)


def fill(path: Path) -> None:
    """Fill the disk with another program's file."""
    path.write_bytes(bytes(shutil.disk_usage(path.parent).free))


async def push_until_refused(store: Store) -> list[bytes]:
    """Push blobs of 1 MiB until one is refused, and return the others."""
    pushed: list[bytes] = []
    while True:
        content = os.urandom(MIB)
        try:
            await store.push_blob(APP, content)
        except REFUSALS:
            return pushed
        pushed.append(content)


async def test_uploads_leave_room_for_deletes(small: Stage) -> None:
    """Uploads are refused while other requests work: tags move, deletes free space, and uploads work again."""
    store = Store(small.config, small.pools, room_bytes=KEPT_BYTES)
    for step in push(FIRST, "one"):
        await step.act(store)
    pushed = await push_until_refused(store)
    assert len(pushed) > 2
    assert await store.storage.free_bytes(APP) or KEPT_BYTES - 2 * MIB < 0
    await store.push_manifest(APP, FIRST, "two", "three")
    await store.sync_layouts()
    await store.delete_tag(APP, "one")
    for content in pushed:
        await store.delete_blob(APP, content)
    assert await push_until_refused(store)
    await store.sync_layouts()
    await store.tidy()
    await store.close()
    holdings = Holdings(small.root)
    assert not holdings.flaws + holdings.litter


async def test_no_room_at_all(small: Stage) -> None:
    """When another program takes the last byte, writes are refused and existing content stays intact."""
    store = Store(small.config, small.pools)
    for step in push(FIRST, "one"):
        await step.act(store)
    await store.sync_layouts()
    fill(small.root / "other-program")
    for _ in range(5):
        with pytest.raises(REFUSALS):
            await store.push_blob(APP, os.urandom(MIB))
        with pytest.raises(REFUSALS):
            await refused_in_the_end(store)
    content = await store.storage.open(APP, digest_of(FIRST.blobs[0]))
    assert await content.read(0, content.size) == FIRST.blobs[0]
    content.close()
    (small.root / "other-program").unlink()
    for step in push(SECOND, "two"):
        await step.act(store)
    await store.sync_layouts()
    await store.tidy()
    await store.close()
    holdings = Holdings(small.root)
    assert not holdings.flaws + holdings.litter
    assert {key.name for key in holdings.contents if key.kind == "tag"} >= {"one", "two"}


async def refused_in_the_end(store: Store) -> None:
    """Move tags until the catalog is full, too."""
    for number in range(1000):
        await store.push_manifest(APP, FIRST, f"tag-{number}")
