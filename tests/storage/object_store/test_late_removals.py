"""A removal that reaches the object store late removes nothing that was pushed since."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from maintenance.harness import APP, Seconds, Site, drain
from servers.s3_faults import Fault, FaultyS3
from servers.versitygw import S3Server
from zot.catalog.blob_commands import Disposal, DoomBlob
from zot.catalog.memory.driver import MemoryCatalog
from zot.catalog.owner_commands import EndOwner, RenewOwner
from zot.config.driver_options import S3, driver_options
from zot.maintenance.unfinished_deletes import UnfinishedDeletes
from zot.oci.digest import Digest
from zot.registry import blob_commit
from zot.registry.blob_commit import BlobClaim
from zot.registry.blob_deletion import delete_blob, finish_delete
from zot.registry.errors import Unavailable
from zot.storage.interface import StorageUnavailableError
from zot.storage.object_store.local_locks import LocalLocks
from zot.storage.object_store.s3 import S3Objects
from zot.storage.object_store.storage import ObjectStorage
from zot.storage.threads import ThreadPools

pytestmark = [pytest.mark.needs("versitygw"), pytest.mark.xdist_group("s3")]

CONTENT = b"removed and pushed again"


@pytest.fixture
def faulty(s3_server: S3Server) -> Iterator[FaultyS3]:
    """A proxy before the S3 server, without faults yet."""
    with FaultyS3(s3_server) as proxy:
        yield proxy


@pytest.fixture
async def site(s3_server: S3Server, faulty: FaultyS3, tmp_path: Path) -> AsyncIterator[Site]:
    """An empty registry whose content is in S3, behind the proxy."""
    pools, wall = ThreadPools(), Seconds()
    parameters = s3_server.make_bucket() | {"regionendpoint": faulty.url}
    objects = S3Objects(driver_options(parameters, S3, "storageDriver"), "zot")
    locks = LocalLocks(str(tmp_path / "locks"), pools.hash)
    storage = ObjectStorage(objects, pools, locks, expected=None, chunk_bytes=5 * 1024 * 1024)
    yield Site(MemoryCatalog(wall.ns), storage, Seconds(), wall)
    await storage.close()
    pools.close()


async def is_refused(site: Site, digest: Digest) -> bool:
    """Tell whether a push of the blob is told to come again."""
    claim = BlobClaim(site.registry, APP, digest)
    try:
        await claim.take()
    except Unavailable as refused:
        return refused.retry_after_s is not None
    return False


@pytest.mark.parametrize("died", [False, True], ids=["unknown outcome", "dead process"])
@pytest.mark.parametrize("disposal", [Disposal.UNLINK, Disposal.QUARANTINE])
async def test_a_blob_stays_doomed_until_its_removal_has_expired(
    site: Site, faulty: FaultyS3, monkeypatch: pytest.MonkeyPatch, disposal: Disposal, *, died: bool
) -> None:
    """A removal whose answer is lost is repeated, and the blob may be pushed, only when no late one can arrive."""
    monkeypatch.setattr(blob_commit, "_DOOMED_WAIT_S", 0.0)
    owner = "before" if died else site.catalog.owner
    await site.catalog.do(RenewOwner(owner=owner))
    digest = await site.blob(CONTENT)
    faulty.faults["DELETE"] = Fault.LATE
    doom = DoomBlob(repository=APP, digest=digest, token="t", owner=owner, disposal=disposal)
    with pytest.raises(StorageUnavailableError):
        await delete_blob(site.catalog, site.storage, doom)
    assert faulty.met == [("DELETE", Fault.LATE)], "the removal is sent once"
    faulty.faults.clear()
    if died:
        await site.catalog.do(EndOwner(owner=owner))

    unfinished = UnfinishedDeletes(site.registry, site.monotonic)
    await drain(unfinished.finish(print))
    site.monotonic.now_s += site.storage.removal_expires_s(APP) - 1
    await drain(unfinished.finish(print))
    assert await is_refused(site, digest)
    assert faulty.deliver() == [204]
    site.monotonic.now_s += 1
    await drain(unfinished.finish(print))
    assert await site.blob(CONTENT) == digest
    assert await site.storage.stat(APP, digest) == len(CONTENT)


async def test_a_failed_repetition_is_waited_for_as_long(site: Site, faulty: FaultyS3) -> None:
    """A repeated removal that fails may arrive late as well: the time is counted from it."""
    digest = await site.blob(CONTENT)
    await site.catalog.do(DoomBlob(repository=APP, digest=digest, token="t", owner=site.catalog.owner))
    unfinished = UnfinishedDeletes(site.registry, site.monotonic)
    await drain(unfinished.finish(print))
    faulty.faults["DELETE"] = Fault.LATE
    site.monotonic.now_s += site.storage.removal_expires_s(APP)
    with pytest.raises(StorageUnavailableError):
        await drain(unfinished.finish(print))
    faulty.faults.clear()
    site.monotonic.now_s += site.storage.removal_expires_s(APP) - 1
    await drain(unfinished.finish(print))
    assert await site.catalog.doomed(1)
    site.monotonic.now_s += 1
    await drain(unfinished.finish(print))
    assert not await site.catalog.doomed(1)


async def test_a_delayed_process_sends_no_removal(site: Site, faulty: FaultyS3) -> None:
    """A process that stood still between its decision and its request leaves the delete to others."""
    digest = await site.blob(CONTENT)
    faulty.faults["DELETE"] = Fault.RESET
    await site.catalog.do(DoomBlob(repository=APP, digest=digest, token="t", owner=site.catalog.owner))
    with pytest.raises(StorageUnavailableError, match="delayed"):
        await finish_delete(
            site.catalog, site.storage, APP, digest, "t", Disposal.UNLINK, begun_s=time.monotonic() - 11
        )
    assert faulty.met == []
    assert await site.storage.stat(APP, digest) == len(CONTENT)


async def test_a_finished_delete_can_be_pushed_at_once(site: Site) -> None:
    """Nothing waits after a removal whose answer came."""
    digest = await site.blob(CONTENT)
    await delete_blob(
        site.catalog,
        site.storage,
        DoomBlob(repository=APP, digest=digest, token="t", owner=site.catalog.owner),
    )
    assert await site.blob(CONTENT) == digest
