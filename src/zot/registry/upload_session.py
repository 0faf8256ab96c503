"""One request's hold on an upload session: how it records progress, and how a newer request fences it off.

A request works on the session as its row was when it came. The storage's lock keeps requests to one upload apart; the
row's epoch fences a request that lost the session, also one that stalled before it had the lock:

- A request that finds no staged bytes changes nothing of another request: it needs no lease.
- One that continues staged bytes takes the lease once it has the lock, if the row is still as it was.
- One that finds the upload locked takes the lease at once, so that the holder gives up, and then waits.
- What a fenced request still records is refused, since the row has another epoch by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from zot.catalog.blob_commands import ClaimOutcome
from zot.catalog.interface import CatalogUnavailableError
from zot.catalog.rows import UploadRow
from zot.catalog.upload_commands import AdvanceUpload, LeaseUpload
from zot.oci.digest import Digest, algorithm_of
from zot.registry.blob_commit import BlobClaim
from zot.registry.registry import Registry
from zot.storage.interface import Progress, UploadKey, UploadMissingError

_FENCE_POLL_S = 0.5


class LeaseLostError(Exception):
    """A newer request took the session: the older one's bytes do not count, its connection is closed."""


class UploadSession:
    """An unfinished upload session, as one request sees and changes it."""

    def __init__(self, registry: Registry, row: UploadRow) -> None:
        """Work on the session as `row` has it."""
        self._registry = registry
        self.row = row
        self.key = UploadKey(row.repository, row.session)
        self._taking = False

    async def resume_point(self, digest: Digest | None = None) -> Progress:
        """Return where the upload goes on. One without bytes is hashed by the algorithm of `digest`, if that is given.

        A prefix digest that another owner recorded does not count: the machine may have lost the bytes since.
        """
        row = self.row
        prefix = row.prefix if row.recorded_by == self._registry.catalog.owner else None
        recorded = Progress(row.offset, row.algorithm, prefix, row.driver_state)
        start = await self._registry.storage.resume_point(self.key, recorded)
        if start.offset == 0:
            return Progress(0, start.algorithm if digest is None else algorithm_of(digest))
        return start

    async def take(self, claim: BlobClaim | None = None, algorithm: str | None = None) -> Progress:
        """Take the lease, whichever request has it, and return where the upload goes on.

        The digest of `claim` is claimed with it, if the recorded bytes are known to have it. Raises LeaseLostError if
        the session is gone, UploadMissingError if it is finished.
        """
        recorded = await self.resume_point()
        wanted = claim if claim is not None and claim.digest == recorded.prefix else None
        await self._lease(
            LeaseUpload(
                repository=self.row.repository,
                session=self.row.session,
                principal=self.row.principal,
                owner=self._registry.catalog.owner,
                claim=wanted.wanted() if wanted else None,
            ),
            wanted,
        )
        start = await self.resume_point()
        return Progress(0, algorithm) if algorithm is not None and start.offset == 0 else start

    async def claim(self, claim: BlobClaim) -> None:
        """Take the lease, with the claim, if no other request changed the session since its row was read.

        Raises LeaseLostError; UploadMissingError if the session is finished.
        """
        await self._confirm(claim)

    async def append(
        self, start: Progress, body: AsyncIterator[bytes], claim: BlobClaim | None = None, *, waits: bool = True
    ) -> Progress:
        """Append the body to the staged bytes, record them, and claim their digest if that is `claim`'s.

        Raises LeaseLostError, soon after a newer request took the session; else as `Storage.append` does.
        """

        async def record(progress: Progress) -> None:
            if progress is start:
                await self._confirm()
            else:
                await self._record(progress)

        async def record_all(progress: Progress) -> None:
            await self._record(progress, claim if claim is not None and claim.digest == progress.prefix else None)

        try:
            async with self._unless_fenced():
                return await self._registry.storage.append(self.key, start, body, record, record_all, waits=waits)
        except LeaseLostError:
            row = await self._registry.catalog.upload(self.row.session)
            if row is None or row.finished is not None:  # no request needs bytes that were staged since
                await self._registry.storage.discard(self.key)
            raise

    async def _confirm(self, claim: BlobClaim | None = None) -> None:
        """Take the lease if no other request changed the session since its row was read. Raises LeaseLostError."""
        await self._lease(
            LeaseUpload(
                repository=self.row.repository,
                session=self.row.session,
                principal=self.row.principal,
                owner=self._registry.catalog.owner,
                if_epoch=self.row.epoch,
                if_offset=self.row.offset,
                claim=claim.wanted() if claim else None,
            ),
            claim,
        )

    async def _lease(self, lease: LeaseUpload, claim: BlobClaim | None = None) -> None:
        self._taking = True
        leased = await self._registry.catalog.do(lease)
        if leased is None:
            raise LeaseLostError(self.row.session)
        self.row = leased.row
        self._taking = False
        if leased.row.finished is not None:
            raise UploadMissingError(f"upload {self.row.session} is finished")
        if claim is not None:
            claim.outcome = leased.claim

    async def _record(self, progress: Progress, claim: BlobClaim | None = None) -> None:
        """Record what is staged, and claim its digest. Raises LeaseLostError."""
        command = AdvanceUpload(
            repository=self.row.repository,
            session=self.row.session,
            epoch=self.row.epoch,
            offset=progress.offset,
            algorithm=progress.algorithm,
            prefix=progress.prefix,
            owner=self._registry.catalog.owner,
            driver_state=progress.driver_state,
            claim=claim.wanted() if claim else None,
        )
        recorded = await self._registry.catalog.do(command)
        if recorded is False:
            raise LeaseLostError(self.row.session)
        if claim is not None and isinstance(recorded, ClaimOutcome):
            claim.outcome = recorded

    @asynccontextmanager
    async def _unless_fenced(self) -> AsyncIterator[None]:
        """Cancel the block, by raising LeaseLostError, soon after a newer request took the session.

        A client whose connection broke retries at once, while the server may still wait for bytes of the old one.
        """
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        fenced = False
        watcher: asyncio.Task[None] | None = None

        async def watch() -> None:
            nonlocal fenced
            while True:
                fenced = await self._is_fenced()
                if fenced:
                    task.cancel()
                    return
                await asyncio.sleep(_FENCE_POLL_S)

        def begin() -> None:
            nonlocal watcher
            watcher = loop.create_task(watch())

        # Most bodies have arrived by then: a timer costs less than a task.
        timer = loop.call_later(_FENCE_POLL_S, begin)
        try:
            yield
        except (asyncio.CancelledError, LeaseLostError):
            # Recording may have raised LeaseLostError while the cancellation was under way.
            if fenced and not task.uncancel():
                raise LeaseLostError(self.row.session) from None
            raise
        finally:
            timer.cancel()
            if watcher is not None:
                watcher.cancel()

    async def _is_fenced(self) -> bool:
        epoch = self.row.epoch
        try:
            row = await self._registry.catalog.upload(self.row.session)
        except CatalogUnavailableError:
            return False
        # A lease that this request is taking, or has taken since, is no other request's.
        if self._taking or self.row.epoch != epoch:
            return False
        return row is None or row.finished is not None or row.epoch != epoch
