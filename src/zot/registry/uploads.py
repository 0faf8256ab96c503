"""Upload sessions: begin, append, finish, cancel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

from zot.catalog.rows import UploadRow
from zot.catalog.upload_commands import BeginOutcome, CancelUploadRow, CreateUploadRow
from zot.oci.digest import CANONICAL, Digest, algorithm_of
from zot.oci.names import Repository
from zot.oci.ranges import ByteRange
from zot.registry.blob_commit import BlobClaim, commit_pieces, commit_upload, ensure_space
from zot.registry.damage import FoundBy
from zot.registry.errors import DigestInvalid, RangeInvalid, SizeInvalid, TooManyRequests, UploadUnknown
from zot.registry.held_blobs import put_blob
from zot.registry.registry import Registry
from zot.registry.request import AppendUpload, FinishUpload, OfUpload
from zot.registry.request import CancelUpload as Cancel
from zot.registry.upload_session import LeaseLostError, UploadSession
from zot.storage.interface import (
    DigestMismatchError,
    Progress,
    UploadKey,
    UploadLockedError,
    UploadMissingError,
    require_digest,
)

Body = AsyncIterator[bytes]

_FINISHING_S = 2.0
_FINISHING_POLL_S = 0.005


async def begin(
    registry: Registry, repository: Repository, principal: str, algorithm: str | None = None, *, client: str = ""
) -> str:
    """Open a session and return its id. It survives a crash of all processes, not of the machine.

    Only the catalog knows it until bytes come. It counts against the limit of its client: of a user, or of the address
    of an anonymous client. Raises TooManyRequests, Unavailable.
    """
    await registry.writable(repository, principal)
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
    return session


async def status(registry: Registry, request: OfUpload, principal: str) -> int:
    """Return where the upload goes on: the number of bytes received. Raises UploadUnknown."""
    session = UploadSession(registry, await _unfinished(registry, request, principal))
    return (await session.resume_point()).offset


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
    registry.refuse_if_read_only()
    session = UploadSession(registry, await _unfinished(registry, request, principal))
    start = await session.resume_point()
    await ensure_space(registry, request.repository, None, start.offset + (announced or 0))
    try:
        return (await _append(session, start, body, chunk)).offset
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
    registry.refuse_if_read_only()
    row = await _session(registry, request, principal)
    if row.finished is not None:
        if row.finished == request.digest:
            return
        raise UploadUnknown("the upload was finished with another digest", session_id=request.session)
    session = UploadSession(registry, row)
    start = await session.resume_point(request.digest)
    if body is None and start.offset == 0:
        body, announced = _nothing(), 0
    try:
        if body is not None and start.offset == 0:
            with registry.small_bodies.admit(announced, request.digest) as is_small:
                if is_small:
                    _check_chunk(chunk, 0)
                    await _finish_small(registry, request, session, _exactly(body, announced or 0), announced or 0)
                    return
        expected = start.offset + (announced or 0)
        await ensure_space(registry, request.repository, request.digest, expected)
        async with BlobClaim(registry, request.repository, request.digest) as claim:
            if body is not None:
                # The commit needs the quota's leave first: without a length that is asked for after the body.
                progress = await _append(session, start, body, chunk, claim if announced is not None else None)
            else:
                progress = await session.take(claim)
                _check_chunk(chunk, progress.offset)
                if progress.offset < session.row.offset:
                    raise RangeInvalid("the last bytes are to be sent again", offset=progress.offset)
            if progress.offset != expected:  # the length of the body was not announced
                await ensure_space(registry, request.repository, request.digest, progress.offset)
            await registry.storage.verify(session.key, progress, request.digest)
            await commit_upload(registry, session.key, progress, claim)
    except DigestMismatchError as mismatch:
        # These bytes can never become that digest. A session that is finished, or that a newer request has, is kept.
        await _discard(registry, request.repository, request.session, if_epoch=session.row.epoch)
        raise DigestInvalid(f"the uploaded content has digest {mismatch.actual}", digest=request.digest) from mismatch
    except UploadMissingError as missing:
        if not await _finished_concurrently(registry, request):
            raise UploadUnknown(session_id=request.session) from missing
    except LeaseLostError:
        if (await _session(registry, request, principal)).finished != request.digest:
            raise


async def _finish_small(
    registry: Registry, request: FinishUpload, session: UploadSession, body: Body, length: int
) -> None:
    """Commit a body that was admitted to memory, and finish the session without staged bytes. Raises LeaseLostError."""
    repository, digest, row = request.repository, request.digest, session.row
    if length <= registry.small_bodies.held_bytes:
        content = await _small(registry, repository, digest, body, length)
        if not await put_blob(registry, repository, digest, content, FoundBy.PUSH, upload=row):
            raise LeaseLostError(row.session)
    else:
        await ensure_space(registry, repository, digest, length)
        pieces = [piece async for piece in body]
        async with BlobClaim(registry, repository, digest) as claim:
            await session.claim(claim)
            await commit_pieces(registry, repository, pieces, claim, row.session)
    if row.epoch or row.recorded_by:  # an earlier request may have staged bytes
        await registry.storage.discard(session.key)


async def _small(registry: Registry, repository: Repository, digest: Digest, body: Body, length: int) -> bytes:
    """Receive a body that the catalog holds, if there is space for it. Its commit decides on the quota.

    Raises DigestMismatchError.
    """
    await ensure_space(registry, repository, None, length)
    await registry.storage.ensure_space(repository, length)
    content = b"".join([piece async for piece in body])
    require_digest((content,), digest)
    return content


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
    """Push a blob in one request: as `begin` and `finish`, with nothing left behind if it fails.

    One that the catalog holds needs no session.
    """
    if length <= registry.small_bodies.held_bytes:
        with registry.small_bodies.admit(length, digest) as is_small:
            if is_small:
                await _put_small(registry, repository, principal, digest, _exactly(body, length), length)
                return
    session = await begin(registry, repository, principal, algorithm_of(digest), client=client)
    request = FinishUpload(repository=repository, session=session, digest=digest)
    try:
        await finish(registry, request, principal, _exactly(body, length), None, announced=length)
    except BaseException:
        await _discard(registry, repository, session)
        raise


async def _put_small(
    registry: Registry, repository: Repository, principal: str, digest: Digest, body: Body, length: int
) -> None:
    """Push a blob that the catalog holds, without a session."""
    await registry.writable(repository, principal)
    try:
        content = await _small(registry, repository, digest, body, length)
    except DigestMismatchError as mismatch:
        raise DigestInvalid(f"the uploaded content has digest {mismatch.actual}", digest=digest) from mismatch
    await put_blob(registry, repository, digest, content, FoundBy.PUSH, by=principal)


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


async def _session(registry: Registry, request: OfUpload, principal: str) -> UploadRow:
    """Return the session of the repository and the principal: its id alone is no authority. Raises UploadUnknown."""
    row = await registry.catalog.upload(request.session)
    if row is None or (row.repository, row.principal) != (request.repository, principal):
        raise UploadUnknown(session_id=request.session)
    return row


async def _unfinished(registry: Registry, request: OfUpload, principal: str) -> UploadRow:
    """Return the session, which must not be finished. Raises UploadUnknown."""
    row = await _session(registry, request, principal)
    if row.finished is not None:
        raise UploadUnknown(session_id=request.session)
    return row


def _check_chunk(chunk: ByteRange | None, offset: int) -> None:
    if chunk is not None and chunk.start != offset:
        raise RangeInvalid(f"the chunk starts at {chunk.start}, the upload is at {offset}", offset=offset)


async def _append(
    session: UploadSession, start: Progress, body: Body, chunk: ByteRange | None, claim: BlobClaim | None = None
) -> Progress:
    """Append the body and claim the digest, if it has that. While another request holds the upload, fence that off."""
    if chunk is not None:
        body = _exactly(body, chunk.length)
    _check_chunk(chunk, start.offset)
    try:
        return await session.append(start, body, claim, waits=False)
    except UploadLockedError:
        start = await session.take(algorithm=start.algorithm)
    _check_chunk(chunk, start.offset)
    return await session.append(start, body, claim)


async def _nothing() -> Body:
    """Iterate over a body without bytes."""
    pieces: tuple[bytes, ...] = ()
    for piece in pieces:
        yield piece


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
