"""The chunks of all uploads together stay within a memory budget."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from maintenance.harness import APP
from servers.versitygw import S3Server
from zot.config.driver_options import S3, driver_options
from zot.oci.digest import CANONICAL, digest_of
from zot.storage.interface import Progress, UploadKey
from zot.storage.object_store.local_locks import LocalLocks
from zot.storage.object_store.s3 import S3Objects
from zot.storage.object_store.staged import ChunkMemory
from zot.storage.object_store.storage import ObjectStorage
from zot.storage.threads import ThreadPools

MIB = 1024 * 1024
CHUNK = 5 * MIB


async def _recorded(_: Progress) -> None:
    """Record nothing: the test has the progress that is returned."""


@pytest.mark.needs("versitygw")
@pytest.mark.xdist_group("s3")
async def test_uploads_beyond_the_budget_wait_and_lose_nothing(s3_server: S3Server, tmp_path: Path) -> None:
    """Uploads side by side that need more than the budget stay within it; all complete, with their bytes."""
    pools, memory = ThreadPools(), ChunkMemory(12 * MIB)
    objects = S3Objects(driver_options(s3_server.make_bucket(), S3, "storageDriver"), "zot")
    locks = LocalLocks(str(tmp_path / "locks"), pools.hash)
    storage = ObjectStorage(objects, pools, locks, expected=None, chunk_bytes=CHUNK, memory=memory)
    peak_bytes = 0

    async def body(content: bytes) -> AsyncIterator[bytes]:
        nonlocal peak_bytes
        for first in range(0, len(content), MIB):
            peak_bytes = max(peak_bytes, memory.taken_bytes)
            yield content[first : first + MIB]
            await asyncio.sleep(0)

    async def push(content: bytes) -> None:
        upload, digest = UploadKey(APP, str(uuid4())), digest_of(content)
        # The second append takes back a short chunk.
        half = await storage.append(upload, Progress(0, CANONICAL), body(content[: 7 * MIB]), _recorded)
        whole = await storage.append(upload, half, body(content[7 * MIB :]), _recorded)
        assert (whole.offset, whole.prefix) == (len(content), digest)
        await storage.place(upload, whole, digest, None)
        opened = await storage.open(APP, digest)
        assert await opened.read(0, len(content)) == content

    await asyncio.gather(*(push(os.urandom(12 * MIB + number)) for number in range(5)))
    assert CHUNK < peak_bytes <= 12 * MIB
    assert memory.taken_bytes == 0
    await storage.close()
    pools.close()


async def test_a_cancelled_wait_takes_nothing() -> None:
    """Those that wait get memory in their order; one that is cancelled holds up none behind it."""
    memory = ChunkMemory(10)
    await memory.take(8)
    large, small = asyncio.create_task(memory.take(9)), asyncio.create_task(memory.take(2))
    await asyncio.sleep(0)
    assert not memory.take_now(1), "none overtakes"
    large.cancel()
    await small
    assert memory.taken_bytes == 10
    memory.give_back(10)
    await memory.take(50)
    assert memory.taken_bytes == 50, "a chunk larger than the budget is alone"
