"""A blob on its way from an upstream: received once for all clients, which read it while it is staged.

A fetch is an upload whose body comes from an upstream: staged, hashed, claimed, placed and committed as a push is. A
server that is killed leaves a stale upload behind. The session's id follows from the start of the server and the
digest, and the storage's lock on its staged bytes admits one receiver among the processes of the server; the others
read what it stages.

A reader gets each byte when it has come, from memory or else from the staged bytes, but the last one only once the
blob is committed. If its digest is another one, readers end short, and nothing is stored.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing, closing
from uuid import NAMESPACE_OID, uuid5

from zot.catalog.command import ChangeSource
from zot.catalog.rows import BlobRow, UploadRow
from zot.catalog.upload_commands import BeginOutcome, CancelUploadRow, CreateUploadRow
from zot.oci.digest import Digest, algorithm_of
from zot.oci.names import Repository
from zot.registry.blob_commit import BlobClaim, commit_upload, ensure_space
from zot.registry.errors import TooManyRequests, Unavailable
from zot.registry.registry import Registry
from zot.registry.sources import Upstream
from zot.registry.upload_session import LeaseLostError, UploadSession
from zot.storage.interface import (
    Content,
    ContentMissingError,
    DigestMismatchError,
    Location,
    UploadKey,
    UploadLockedError,
    UploadMissingError,
)

BY = "upstream"
"""What the catalog records as the principal, and as the client whose open uploads are counted."""
RECENT_BYTES = 4 * 1024 * 1024
"""The bytes that came last are kept in memory: more than an append holds back, so that all older ones are staged."""
_LOOK_S = 0.01
_ATTEMPTS = 5
_IDLE_S = 1.0
"""How long another process may stage nothing before this one tries to take its place."""


class _AbsentError(Exception):
    """The upstream does not have the blob."""


class BlobFetch:
    """Receives one blob, and tells its readers how far it is."""

    def __init__(self, registry: Registry, repository: Repository, digest: Digest) -> None:
        """Prepare it; `run` receives the blob."""
        self._registry = registry
        self._repository = repository
        self._digest = digest
        session = str(uuid5(NAMESPACE_OID, f"{registry.catalog.owner}/{repository}/{digest}"))
        self._key = UploadKey(repository, session)
        self._recent: deque[bytes] = deque()
        self._recent_bytes = 0
        self._received = 0
        self._committed = False
        self._ended = False
        self._changed = asyncio.Event()
        self.size: int | None = None
        """The size of the blob, once an upstream or the catalog has told it."""

    async def run(self, upstream: Upstream) -> BlobRow | None:
        """Receive the blob from an upstream, or wait for the process that does; None: the upstream has none.

        Raises Unavailable, QuotaExceeded, StorageFullError, TooManyRequests.
        """
        known = await self._registry.exists(self._repository)
        if not known and await upstream.blob_size(self._repository, self._digest) is None:
            return None  # a request for what is nowhere makes no repository
        attempts = 0
        while True:
            row = await self._registry.catalog.blob(self._repository, self._digest)
            if row is not None:
                self._committed = True
                self._tell(row.size, row.size)
                return row
            attempts += 1
            if attempts > _ATTEMPTS:
                raise Unavailable("what is received of a blob is lost again and again", digest=self._digest)
            try:
                await self._receive(upstream)
            except (UploadLockedError, LeaseLostError):
                attempts = 0
                await self._follow(upstream)
            except _AbsentError:
                return None

    def end(self) -> None:
        """Wake all readers: nothing more will come."""
        self._ended = True
        self._wake()

    async def opened(self) -> None:
        """Return once the size is known, or the fetch has ended without."""
        while self.size is None and not self._ended:
            await self._changed.wait()

    async def until(self, offset: int) -> int:
        """Return how many bytes can be read, once that is more than `offset` or all. Raises ConnectionAbortedError."""
        assert self.size is not None
        while True:
            ready = self.size if self._committed else min(self._received, self.size - 1)
            if ready > offset or self._committed:
                return ready
            if self._ended:
                raise ConnectionAbortedError(f"{self._digest} could not be fetched")
            await self._changed.wait()

    def recent(self, start: int, stop: int) -> bytes | None:
        """Return bytes that are in memory, None if they came too long ago."""
        position = self._received - self._recent_bytes
        if start < position or stop > self._received:
            return None
        found = []
        for chunk in self._recent:
            if position + len(chunk) > start and position < stop:
                found.append(chunk[max(0, start - position) : stop - position])
            position += len(chunk)
        return b"".join(found)

    async def stored(self) -> Content | None:
        """Open the bytes that are staged, or the blob; None: the storage cannot read them before they are committed."""
        try:
            return await self._registry.storage.open_staged(self._key)
        except UploadMissingError:
            pass
        try:
            return await self._registry.storage.open(self._repository, self._digest)
        except ContentMissingError:
            return None

    async def _receive(self, upstream: Upstream) -> None:
        """Receive the blob as an upload, and commit it.

        Raises UploadLockedError, LeaseLostError: another process does that.
        """
        session = UploadSession(self._registry, await self._session())
        self._received = 0
        try:
            start = await session.resume_point(self._digest)
            async with BlobClaim(self._registry, self._repository, self._digest) as claim:
                if start.offset and start.prefix == self._digest:
                    progress = await session.take(claim)
                else:
                    async with aclosing(self._body(upstream, start.offset)) as body:
                        progress = await session.append(start, body, claim, waits=False)
                await self._registry.storage.verify(session.key, progress, self._digest)
                await commit_upload(self._registry, session.key, progress, claim)
        except DigestMismatchError as mismatch:
            await self._discard(session.row)
            raise Unavailable(
                f"an upstream sent other content, of digest {mismatch.actual}", digest=self._digest
            ) from mismatch
        except UploadMissingError:  # finished, or its staged bytes are lost: it begins again
            await self._discard(session.row)
        except (UploadLockedError, LeaseLostError):
            raise
        except _AbsentError:
            await self._discard(session.row)
            raise
        except BaseException:
            if not self._received:  # bytes that came are continued by the next fetch
                await self._discard(session.row)
            raise

    async def _session(self) -> UploadRow:
        """Return the session, which is begun if there is none. One that is finished is of a blob deleted since."""
        registry, repository, session = self._registry, self._repository, self._key.session
        while True:
            await registry.writable(repository, BY, ChangeSource.SYNC)
            begun = await registry.catalog.do(
                CreateUploadRow(
                    repository=repository,
                    session=session,
                    principal=BY,
                    by=BY,
                    algorithm=algorithm_of(self._digest),
                    client=BY,
                    limit=registry.limits.uploads_per_repository,
                )
            )
            if begun is BeginOutcome.TOO_MANY:
                raise TooManyRequests("too many blobs of the repository are being fetched")
            row = await registry.catalog.upload(session)
            if row is not None and row.finished is None:
                return row
            if row is not None:
                await registry.catalog.do(CancelUploadRow(repository=repository, session=session, if_epoch=row.epoch))

    async def _discard(self, row: UploadRow) -> None:
        cancel = CancelUploadRow(repository=row.repository, session=row.session, if_epoch=row.epoch, unfinished=True)
        if await self._registry.catalog.do(cancel):
            await self._registry.storage.discard(self._key)

    async def _body(self, upstream: Upstream, start: int) -> AsyncGenerator[bytes]:
        """Iterate over the bytes from `start` on, while readers get them, too."""
        async with upstream.blob(self._repository, self._digest, start) as found:
            if found is None:
                raise _AbsentError
            await ensure_space(self._registry, self._repository, self._digest, found.size)
            self._recent.clear()
            self._recent_bytes = 0
            self._tell(found.size, start)
            async for chunk in found.chunks:
                if self._received + len(chunk) > found.size:
                    raise Unavailable("an upstream sends more bytes than it announced", digest=self._digest)
                self._recent.append(chunk)
                self._recent_bytes += len(chunk)
                while self._recent_bytes - len(self._recent[0]) >= RECENT_BYTES:
                    self._recent_bytes -= len(self._recent.popleft())
                self._tell(found.size, self._received + len(chunk))
                yield chunk
            if self._received != found.size:
                raise Unavailable("an upstream sends fewer bytes than it announced", digest=self._digest)

    async def _follow(self, upstream: Upstream) -> None:
        """Tell readers what another process stages, until it has committed the blob, or stages nothing any more."""
        loop = asyncio.get_running_loop()
        size = self.size
        if size is None and (size := await upstream.blob_size(self._repository, self._digest)) is None:
            return
        self._recent.clear()
        self._recent_bytes = 0
        changed_s, staged = loop.time(), -1
        while loop.time() - changed_s < _IDLE_S:
            if await self._registry.catalog.blob(self._repository, self._digest) is not None:
                return
            try:
                with closing(await self._registry.storage.open_staged(self._key)) as opened:
                    now = opened.size
            except UploadMissingError:
                now = staged
            if now != staged:
                changed_s, staged = loop.time(), now
                self._tell(size, min(now, size))
            await asyncio.sleep(_LOOK_S)

    def _tell(self, size: int, received: int) -> None:
        self.size = size
        self._received = received
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class FetchedContent:
    """What a reader has of a fetch (a `Content`): it waits for bytes that have not come yet."""

    data = None
    identity = None

    def __init__(self, fetch: BlobFetch) -> None:
        """Read a fetch whose size is known."""
        assert fetch.size is not None
        self.size: int = fetch.size
        self._fetch = fetch
        self._stored: Content | None = None

    def fileno(self) -> int | None:
        """Return None: a descriptor would end where the staged bytes end now."""
        return None

    async def location(self) -> Location | None:
        """Return None: only this server has the bytes."""
        return None

    async def available(self, offset: int, length: int) -> int:
        """Return how many of `length` bytes from `offset` can be read now, at least one.

        Raises ConnectionAbortedError if they will not come.
        """
        return min(length, await self._fetch.until(offset) - offset)

    async def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`, fewer only at the end. Raises ConnectionAbortedError, StorageError."""
        stop = min(offset + length, self.size)
        while stop > offset:
            await self._fetch.until(stop - 1)
            piece = self._fetch.recent(offset, stop)
            if piece is not None:
                return piece
            if self._stored is None:
                self._stored = await self._fetch.stored()
            if self._stored is not None:
                piece = await self._stored.read(offset, stop - offset)
                if len(piece) == stop - offset:
                    return piece
                self.close()
            await asyncio.sleep(_LOOK_S)
        return b""

    def will_need(self, offset: int, length: int) -> None:
        """Do nothing: the bytes are in memory, or were written a moment ago."""

    def close(self) -> None:
        """Close the staged bytes."""
        stored, self._stored = self._stored, None
        if stored is not None:
            stored.close()
