"""Copy content that cannot be shared: to another root, or where the file system refuses hard links."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

from zot.oci.digest import Digest, algorithm_of
from zot.oci.names import Repository
from zot.storage.interface import Content, ContentDamagedError, DigestMismatchError, Progress, Storage, UploadKey

_PIECE_BYTES = 1024 * 1024


async def copy_content(
    storage: Storage, repository: Repository, target_storage: Storage, target: Repository, digest: Digest, size: int
) -> None:
    """Copy content of `size` bytes into another repository and verify its digest. Durable.

    Raises ContentMissingError, ContentDamagedError, StorageFullError, StorageError; then no file is left behind.
    """
    content = await storage.open(repository, digest)
    if content.size != size:
        content.close()
        raise ContentDamagedError(f"{digest} of {repository} has {content.size} bytes instead of {size}")
    upload = UploadKey(target, str(uuid4()))
    try:
        progress = await target_storage.append(
            upload, Progress(0, algorithm_of(digest)), _pieces(content), _nothing_to_record
        )
        await target_storage.verify(upload, progress, digest)
        await target_storage.place(upload, progress, digest, None)
    except DigestMismatchError as mismatch:
        await target_storage.discard(upload)
        raise ContentDamagedError(f"{digest} of {repository} is damaged: {mismatch}") from mismatch
    except BaseException:
        await target_storage.discard(upload)
        raise
    finally:
        content.close()


async def _pieces(content: Content) -> AsyncIterator[bytes]:
    offset = 0
    while piece := await content.read(offset, _PIECE_BYTES):
        yield piece
        offset += len(piece)


async def _nothing_to_record(_: Progress) -> None:
    """Record nothing: an interrupted copy starts again from the first byte."""
