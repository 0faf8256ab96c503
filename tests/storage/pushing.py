"""Push content to a storage in tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

from zot.oci.digest import Digest, digest_of
from zot.oci.names import Repository
from zot.storage.interface import Progress, Storage, UploadKey


async def body(*chunks: bytes) -> AsyncIterator[bytes]:
    """Iterate over the chunks."""
    for chunk in chunks:
        yield chunk


async def ignore(_: Progress) -> None:
    """Record nothing."""


async def begin(storage: Storage, upload: UploadKey) -> None:
    """Stage an upload without a byte."""
    await storage.append(upload, Progress(0), body(), ignore)


async def push(storage: Storage, repository: Repository, content: bytes, twin: Repository | None = None) -> Digest:
    """Upload, verify and place content."""
    upload, digest = UploadKey(repository, str(uuid4())), digest_of(content)
    progress = await storage.append(upload, Progress(0), body(content), ignore)
    await storage.verify(upload, progress, digest)
    await storage.place(upload, progress, digest, twin)
    return digest
