"""How an upload goes on where the storage driver can, whatever the catalog."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from contract.catalog.examples import APP, OTHER
from storage.pushing import body
from zot.catalog.interface import Catalog
from zot.catalog.upload_commands import CreateUploadRow
from zot.oci.digest import digest_of
from zot.oci.ranges import ByteRange
from zot.registry import uploads
from zot.registry.errors import RangeInvalid
from zot.registry.registry import Registry
from zot.registry.request import AppendUpload, FinishUpload, UploadStatus
from zot.storage.interface import Checkpoint, Progress, UploadKey
from zot.storage.memory import MemoryStorage

CONTENT = b"0123456789"
DIGEST = digest_of(CONTENT)


class Coarse(MemoryStorage):
    """Keeps only whole parts of four bytes between two requests, and knows an upload by a state of its own."""

    PART_BYTES = 4

    async def resume_point(self, upload: UploadKey, recorded: Progress) -> Progress:
        """Return the end of the last whole part."""
        parts = recorded.offset // self.PART_BYTES
        assert recorded.driver_state == (b"of " + upload.session.encode() if recorded.offset else b"")
        if parts * self.PART_BYTES == recorded.offset:
            return recorded
        return Progress(parts * self.PART_BYTES, recorded.algorithm, None, recorded.driver_state)

    async def append(
        self,
        upload: UploadKey,
        start: Progress,
        body: AsyncIterator[bytes],
        checkpoint: Checkpoint,
        last: Checkpoint | None = None,
        *,
        waits: bool = True,
    ) -> Progress:
        """Append, with the state in each progress."""
        state = b"of " + upload.session.encode()

        async def with_state(progress: Progress) -> None:
            await checkpoint(progress if progress is start else msgspec.structs.replace(progress, driver_state=state))

        async def last_with_state(progress: Progress) -> None:
            await (last or checkpoint)(msgspec.structs.replace(progress, driver_state=state))

        return await super().append(upload, start, body, with_state, last_with_state, waits=waits)


async def test_a_driver_may_go_on_earlier_than_recorded(catalog: Catalog) -> None:
    """Its offset is the one that clients are told and have to go on at; its state comes back with the session."""
    registry = Registry(catalog=catalog, storage=Coarse())
    await catalog.do(CreateUploadRow(repository=OTHER, session="another"))  # waits for the writer to start
    session = await uploads.begin(registry, APP, "")
    status, chunk = UploadStatus(repository=APP, session=session), AppendUpload(repository=APP, session=session)
    finish = FinishUpload(repository=APP, session=session, digest=DIGEST)
    assert await uploads.append(registry, chunk, "", body(CONTENT[:6]), None) == 6
    assert await uploads.status(registry, status, "") == 4
    with pytest.raises(RangeInvalid) as refused:
        await uploads.append(registry, chunk, "", body(CONTENT[6:]), ByteRange(6, 10))
    assert refused.value.detail["offset"] == "4"
    with pytest.raises(RangeInvalid):  # the bytes after the fourth are gone
        await uploads.finish(registry, finish, "", None, None)
    await uploads.append(registry, chunk, "", body(CONTENT[4:8]), ByteRange(4, 8))
    await uploads.finish(registry, finish, "", body(CONTENT[8:]), ByteRange(8, 10), announced=2)
    assert await registry.storage.stat(APP, DIGEST) == len(CONTENT)
