"""Upload sessions: begin, append, finish, cancel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from zot.catalog.interface import CatalogUnavailableError
from zot.catalog.rows import UploadRow
from zot.catalog.upload_commands import AdvanceUpload, BeginOutcome, CancelUploadRow, CreateUploadRow, LeaseUpload
from zot.oci.digest import CANONICAL, Digest, algorithm_of
from zot.oci.names import Repository
from zot.oci.ranges import ByteRange
from zot.registry.blob_commit import commit_upload, ensure_space
from zot.registry.errors import DigestInvalid, RangeInvalid, SizeInvalid, TooManyRequests, UploadUnknown
from zot.registry.registry import Registry
from zot.registry.request import AppendUpload, FinishUpload, OfUpload
from zot.registry.request import CancelUpload as Cancel
from zot.storage.interface import DigestMismatchError, Progress, UploadKey, UploadMissingError

Body = AsyncIterator[bytes]

_FENCE_POLL_S = 0.5
_FINISHING_S = 2.0
_FINISHING_POLL_S = 0.005


class LeaseLostError(Exception):
    """A newer request took the session: the older one's bytes do not count, its connection is closed."""


async def begin(
    registry: Registry, repository: Repository, principal: str, algorithm: str | None = None, *, client: str = ""
) -> str:
    """Open a session and return its id. It survives a crash of all processes, not of the machine.

    It counts against the limit of its client: of a user, or of the address of an anonymous client. Raises
    TooManyRequests, StorageFullError, Unavailable.
    """
    await registry.writable(repository)
    session = str(uuid4())
    begun = await registry.catalog.do(
        CreateUploadRow(
            repository=repository,
            session=session,
            principal=principal,
            by=principal,
            algorithm=algorithm or CANONICAL,
            client=client,
            limit=registry.limits.uploads_per_repository,
        )
    )
    if begun is BeginOutcome.TOO_MANY:
        raise TooManyRequests("the client has too many open uploads in the repository: finish or cancel some")
    try:
        await registry.storage.begin(UploadKey(repository, session))
    except BaseException:
        await registry.catalog.do(CancelUploadRow(repository=repository, session=session))
        raise
    return session


async def status(registry: Registry, request: OfUpload, principal: str) -> int:
    """Return the number of bytes received. Raises UploadUnknown."""
    return (await _unfinished(registry, request, principal)).offset


async def append(
    registry: Registry,
    request: AppendUpload,
    principal: str,
    body: Body,
    chunk: ByteRange | None,
    *,
    announced: int | None = None,
) -> int:
    """Append the body, which has to start where the upload ends if `chunk` is given; return the bytes received.

    `announced` is the body's length, None if it is not known. The bytes of a broken body are kept. Raises RangeInvalid,
    UploadUnknown, UploadLockedError, LeaseLostError, QuotaExceeded, StorageFullError.
    """
    lease = await _lease(registry, request, principal)
    if lease.finished is not None:
        raise UploadUnknown(session_id=request.session)
    await ensure_space(registry, request.repository, None, lease.offset + (announced or 0))
    try:
        return (await _append(registry, lease, body, chunk)).offset
    except UploadMissingError as missing:
        raise UploadUnknown(session_id=request.session) from missing


async def finish(
    registry: Registry,
    request: FinishUpload,
    principal: str,
    body: Body | None,
    chunk: ByteRange | None,
    *,
    announced: int | None = None,
) -> None:
    """Append the body, if there is one, and make all bytes the blob of that digest. Then it survives power loss.

    Idempotent: with the same digest it succeeds again. Raises DigestInvalid (the session is gone then, unless a newer
    request has it), RangeInvalid, UploadUnknown, UploadLockedError, LeaseLostError, QuotaExceeded, StorageFullError,
    Unavailable.
    """
    lease = await _lease(registry, request, principal)
    if lease.finished is not None:
        if lease.finished == request.digest:
            return
        raise UploadUnknown("the upload was finished with another digest", session_id=request.session)
    progress = _progress(registry, lease)
    if progress.offset == 0:
        progress = Progress(0, algorithm_of(request.digest))
    expected = progress.offset + (announced or 0)
    await ensure_space(registry, request.repository, request.digest, expected)
    key = UploadKey(lease.repository, lease.session)
    try:
        if body is not None:
            progress = await _append(registry, lease, body, chunk, progress)
        elif chunk is not None:
            _check_chunk(chunk, progress.offset)
        if progress.offset != expected:  # the length of the body was not announced
            await ensure_space(registry, request.repository, request.digest, progress.offset)
        await registry.storage.verify(key, progress, request.digest)
        await commit_upload(registry, key, request.digest, progress.offset)
    except DigestMismatchError as mismatch:
        # These bytes can never become that digest. A session that is finished, or that a newer request has, is kept.
        await _discard(registry, lease.repository, lease.session, if_epoch=lease.epoch)
        raise DigestInvalid(f"the uploaded content has digest {mismatch.actual}", digest=request.digest) from mismatch
    except UploadMissingError as missing:
        if not await _finished_concurrently(registry, request):
            raise UploadUnknown(session_id=request.session) from missing


async def _finished_concurrently(registry: Registry, request: FinishUpload) -> bool:
    """Return whether another request finishes the upload: it has placed the bytes and commits them soon."""
    deadline = asyncio.get_running_loop().time() + _FINISHING_S
    while asyncio.get_running_loop().time() < deadline:
        row = await registry.catalog.upload(request.session)
        if row is None:
            break
        if row.finished is not None:
            return row.finished == request.digest
        await asyncio.sleep(_FINISHING_POLL_S)
    return False


async def whole(
    registry: Registry,
    repository: Repository,
    principal: str,
    digest: Digest,
    body: Body,
    length: int,
    *,
    client: str = "",
) -> None:
    """Push a blob in one request: as `begin` and `finish`, with nothing left behind if it fails."""
    session = await begin(registry, repository, principal, algorithm_of(digest), client=client)
    request = FinishUpload(repository=repository, session=session, digest=digest)
    try:
        await finish(registry, request, principal, _exactly(body, length), None, announced=length)
    except BaseException:
        await _discard(registry, repository, session)
        raise


async def cancel(registry: Registry, request: Cancel, principal: str) -> None:
    """Remove a session and its bytes. Raises UploadUnknown."""
    registry.refuse_if_read_only()
    await _unfinished(registry, request, principal)
    if not await _discard(registry, request.repository, request.session):
        raise UploadUnknown(session_id=request.session)


async def _discard(registry: Registry, repository: Repository, session: str, if_epoch: int | None = None) -> bool:
    """Remove an unfinished session and its bytes; False: there is none, or it is at another epoch."""
    cancel = CancelUploadRow(repository=repository, session=session, if_epoch=if_epoch, unfinished=True)
    cancelled = await registry.catalog.do(cancel)
    if cancelled:
        await registry.storage.discard(UploadKey(repository, session))
    return cancelled


async def _lease(registry: Registry, request: OfUpload, principal: str) -> UploadRow:
    registry.refuse_if_read_only()
    lease = LeaseUpload(repository=request.repository, session=request.session, principal=principal)
    leased = await registry.catalog.do(lease)
    if leased is None:
        raise UploadUnknown(session_id=request.session)
    return leased


async def _unfinished(registry: Registry, request: OfUpload, principal: str) -> UploadRow:
    """Return the unfinished session of the repository and the principal: its id alone is no authority.

    Raises UploadUnknown.
    """
    row = await registry.catalog.upload(request.session)
    if row is None or row.finished is not None or (row.repository, row.principal) != (request.repository, principal):
        raise UploadUnknown(session_id=request.session)
    return row


def _progress(registry: Registry, lease: UploadRow) -> Progress:
    return Progress(
        lease.offset, lease.algorithm, lease.prefix if lease.recorded_by == registry.catalog.owner else None
    )


def _check_chunk(chunk: ByteRange, offset: int) -> None:
    if chunk.start != offset:
        raise RangeInvalid(f"the chunk starts at {chunk.start}, the upload is at {offset}", offset=offset)


async def _append(
    registry: Registry, lease: UploadRow, body: Body, chunk: ByteRange | None, start: Progress | None = None
) -> Progress:
    start = start or _progress(registry, lease)
    if chunk is not None:
        _check_chunk(chunk, start.offset)
        body = _exactly(body, chunk.length)

    async def record(progress: Progress) -> None:
        command = AdvanceUpload(
            repository=lease.repository,
            session=lease.session,
            epoch=lease.epoch,
            offset=progress.offset,
            algorithm=progress.algorithm,
            prefix=progress.prefix,
            owner=registry.catalog.owner,
        )
        if not await registry.catalog.do(command):
            raise LeaseLostError(lease.session)

    async with _unless_fenced(registry, lease):
        return await registry.storage.append(UploadKey(lease.repository, lease.session), start, body, record)


@asynccontextmanager
async def _unless_fenced(registry: Registry, lease: UploadRow) -> AsyncIterator[None]:
    """Cancel the block, by raising LeaseLostError, soon after a newer request took the session.

    A client whose connection broke retries at once, while the server may still wait for bytes of the old one.
    """
    task = asyncio.current_task()
    assert task is not None
    fenced = False

    async def watch() -> None:
        nonlocal fenced
        while not fenced:
            await asyncio.sleep(_FENCE_POLL_S)
            try:
                row = await registry.catalog.upload(lease.session)
            except CatalogUnavailableError:
                continue
            fenced = row is None or row.epoch != lease.epoch
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except (asyncio.CancelledError, LeaseLostError):
        # Recording may have raised LeaseLostError while the cancellation was under way.
        if fenced and not task.uncancel():
            raise LeaseLostError(lease.session) from None
        raise
    finally:
        watcher.cancel()


async def _exactly(body: Body, length: int) -> Body:
    """Iterate over a body that must have this length. Raises SizeInvalid otherwise."""
    received = 0
    async for piece in body:
        received += len(piece)
        if received > length:
            raise SizeInvalid(f"more than the {length} bytes announced")
        yield piece
    if received != length:
        raise SizeInvalid(f"{received} bytes were received where {length} were announced")
